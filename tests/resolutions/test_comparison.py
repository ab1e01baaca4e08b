import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptmiss import bootstrap, resolutions, sample, table
from ptmiss.binning import DEFAULT
from ptmiss.errors import OptionError, UnknownName
from ptmiss.recoil import Recoil, met_from_recoil
from ptmiss.resolutions import comparison
from ptmiss.resolutions.comparison import WIDTHS, compare, of_table
from ptmiss.table import RecoilTable, polar

N = 4000


def recoils(seed=0, n=N, response=0.9, share=0.8):
    """Two estimators that share most of their noise, the second a little narrower: 10 and 9.5 GeV."""
    rng = np.random.default_rng(seed)
    q = rng.uniform(20, 120, n)
    common, own = rng.normal(size=(2, n)), rng.normal(size=(2, 2, n))
    made = {}
    for i, (name, width) in enumerate((("wide", 10.0), ("narrow", 9.5))):
        par, perp = response * width * (np.sqrt(share) * common + np.sqrt(1 - share) * own[i])
        made[name] = Recoil(response * q + par, perp, q)
    return made


def weights(n=N, seed=1):
    return np.random.default_rng(seed).uniform(0.2, 2, n)


def straight(recoil, weight):
    """Corrected residuals par and perp, bin by bin, and the response."""
    cell = np.digitize(recoil.qt, DEFAULT.qt_stored)
    par, perp = np.empty_like(recoil.qt), np.empty_like(recoil.qt)
    for c in np.unique(cell):
        here = cell == c
        r = np.average(recoil.u_par[here], weights=weight[here]) / np.average(recoil.qt[here], weights=weight[here])
        par[here], perp[here] = recoil.u_par[here] / r - recoil.qt[here], recoil.u_perp[here] / r
    return par, perp, (weight * recoil.u_par).sum() / (weight * recoil.qt).sum()


def test_widths_are_those_of_corrected_residuals():
    recoil, weight = recoils()["wide"], weights()
    found = compare({"wide": recoil}, weight, replicas=0).iloc[0]
    *residuals, response = straight(recoil, weight)
    assert found["response"] == pytest.approx(response)
    for component, values in zip(("par", "perp"), residuals, strict=True):
        mean = np.average(values, weights=weight)
        assert found[f"rms_{component}"] == pytest.approx(np.sqrt(np.average((values - mean) ** 2, weights=weight)))
        order = np.argsort(values)
        share = np.cumsum(weight[order]) / weight.sum()
        low, high = np.interp([0.16, 0.84], share, values[order])
        assert found[f"half_width_{component}"] == pytest.approx((high - low) / 2, abs=0.05)


def test_errors_are_those_of_the_whole_chain_in_each_draw():
    """A draw counts an event as often as it was drawn, and takes the response again, for half widths too."""
    recoil, weight = recoils(n=500)["wide"], weights(500)
    found = compare({"wide": recoil}, weight, replicas=30).iloc[0]
    rows = []
    for number in range(1, 31):
        drawn = np.repeat(np.arange(500), bootstrap.draw(500, number).astype(int))
        again = Recoil(*(component[drawn] for component in recoil))
        rows.append(compare({"wide": again}, weight[drawn], replicas=0).iloc[0])
    for width in (*WIDTHS, "response"):
        assert found[f"{width}_error"] == pytest.approx(np.std([row[width] for row in rows])), width


def test_half_widths_know_the_error_of_the_response():
    """u_perp is known without error (all 10 GeV wide with few events), so most of the error is that of R."""
    rng = np.random.default_rng(0)
    n, qt = 400, np.full(400, 12.0)
    u = Recoil(qt + rng.normal(0, 30, n), rng.permutation(np.linspace(-30, 30, n)), qt)
    row = compare({"pf": u}, np.ones(n)).iloc[0]
    of_response = row["response_error"] / row["response"] * row["half_width_perp"]
    assert row["half_width_perp_error"] > of_response > 1.5 * 0.021 * 30


def test_the_error_of_a_gaussians_rms():
    row = compare(recoils(response=1.0), np.ones(N)).set_index("estimator").loc["wide"]
    assert row["rms_perp"] == pytest.approx(10, rel=0.04)
    assert row["rms_perp_error"] == pytest.approx(10 / np.sqrt(2 * N), rel=0.2)
    assert row["half_width_perp"] == pytest.approx(9.945, rel=0.05)


def test_the_error_of_a_difference_knows_that_the_events_are_the_same():
    row = compare(recoils(), weights(), ["wide"]).set_index("estimator").loc["narrow"]
    unpaired = np.sqrt(2) * row["rms_perp_error"] / row["rms_perp"]
    assert row["rms_perp_vs_wide"] == pytest.approx(0.05, abs=0.02)
    assert 0 < row["rms_perp_vs_wide_error"] < 0.75 * unpaired


def test_an_estimator_is_as_wide_as_itself():
    row = compare(recoils(), weights(), ["wide"]).set_index("estimator").loc["wide"]
    for component in ("par", "perp"):
        assert row[f"rms_{component}_vs_wide"] == row[f"half_width_{component}_vs_wide_error"] == 0


def test_a_response_that_is_too_small_is_no_gain():
    wide = recoils()["wide"]
    halved = Recoil(wide.u_par / 2, wide.u_perp / 2, wide.qt)
    found = compare({"wide": wide, "halved": halved}, weights(), ["wide"]).set_index("estimator")
    np.testing.assert_allclose(found.filter(regex="^rms_par$|^rms_perp$").diff().iloc[1], 0, atol=1e-9)
    assert found["response"]["halved"] == pytest.approx(found["response"]["wide"] / 2)


def test_no_events():
    with pytest.raises(OptionError, match="no events to compare estimators on"):
        compare({"pf": Recoil(*np.empty((3, 0)))}, np.empty(0))


@pytest.fixture(scope="module")
def zmumu():
    return table.read(sample.recoil("zmumu"))


def test_estimators_of_a_table_in_bins(zmumu):
    found = of_table(zmumu, ["pf"], edges={"npv": (0, 25, np.inf)}, replicas=10)
    rows = len(zmumu.estimators)
    assert found["axis"].tolist() == ["inclusive"] * rows + ["npv"] * 2 * rows
    assert set(found["estimator"]) == set(zmumu.estimators)
    events = found[found["estimator"] == "pf"].set_index(["axis", "low"])["events"]
    assert events["npv"].sum() == events["inclusive"].sum()
    puppi = found[found["estimator"] == "puppi"]
    assert (puppi["rms_perp_vs_pf"] > 3 * puppi["rms_perp_vs_pf_error"]).all()


def test_events_are_those_above_a_qt(zmumu):
    counts = [of_table(zmumu, above=above, replicas=1)["events"].iloc[0] for above in (10.003, 20.003, 60.003)]
    inside = (zmumu["boson_mass"] > 80) & (zmumu["boson_mass"] < 100)
    assert counts == [np.count_nonzero(inside & (zmumu["boson_pt"] > above)) for above in (10.003, 20.003, 60.003)]


def test_a_bin_of_few_events_is_left_out(zmumu):
    small = RecoilTable(zmumu.data.slice(0, 3000), {})
    found = of_table(small, edges={"qt": (20, 60, 5000, 6000)}, replicas=1)
    assert set(found["low"]) == {-np.inf, 20, 60}
    with pytest.raises(OptionError, match="fewer than 50 events with 9000 < qT < inf GeV"):
        of_table(small, above=9000)


def test_unknown_names(zmumu):
    with pytest.raises(UnknownName, match="unknown estimator in the table 'pupi', did you mean 'puppi'"):
        of_table(zmumu, ["pupi"])
    with pytest.raises(UnknownName, match="unknown axis 'nvp', did you mean 'npv'"):
        comparison.edges(["qt", "nvp"])


def test_generated_pt_miss_as_the_truth():
    found = of_table(table.read(sample.recoil("wmunu")), ["pf"], boson="genmet", replicas=5).set_index("estimator")
    assert 0.7 < found["response"]["pf"] < 1.3


def test_what_is_printed(zmumu, capsys):
    found = of_table(zmumu.only(["pf", "puppi", "track"]), ["pf"], edges={"npv": (0, 25, np.inf)}, replicas=10)
    comparison.show(found, ["pf"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["response", "par,", "GeV", "perp,", "GeV", "vs", "pf,", "%"]
    row = found.iloc[1]
    assert f"{row['rms_perp']:.2f}±{row['rms_perp_error']:.2f}" in lines[2]
    assert sum("npv" in line for line in lines) == 2


def table_of(found, weight, npv=20, njets=0):
    """A recoil table of Z → μμ events with these recoils."""
    n = len(weight)
    boson = np.stack([next(iter(found.values())).qt, np.zeros(n)], axis=1)
    columns = polar("boson", boson) | {"boson_mass": np.full(n, 91.0), "weight": np.asarray(weight, float)}
    columns |= {"npv": np.full(n, npv), "njets": np.full(n, njets)}
    for name, u in found.items():
        columns |= polar(f"met_{name}", met_from_recoil(u.u_par, u.u_perp, boson))
    return RecoilTable(pa.table(columns), {})


def test_an_event_without_one_estimator_counts_for_none():
    """Other estimators have the same events with and without it in the table, and both ways agree."""
    made, weight = recoils(n=600), weights(600)
    broken = {**made, "wide": Recoil(np.where(np.arange(600) < 40, np.nan, made["wide"].u_par), *made["wide"][1:])}
    rest = table_of({name: Recoil(*(x[40:] for x in u)) for name, u in made.items()}, weight[40:])
    found, expected = (of_table(t, ["wide"], replicas=5) for t in (table_of(broken, weight), rest))
    assert found["left_out"].tolist() == [40, 40]
    assert found["events"].tolist() == [560, 560]
    columns = ["response", *WIDTHS, "rms_par_vs_wide"]
    pd.testing.assert_frame_equal(found[columns], expected[columns], rtol=1e-5)
    _, common = resolutions.recoils(table_of(broken, weight))
    assert len(common["narrow"].qt) == len(common["wide"].qt) == 560


def test_what_is_left_out_is_said(capsys):
    found = of_table(table_of(recoils(n=300), weights(300)), above=0, replicas=2).assign(left_out=7)
    comparison.show(found, [])
    assert "events left out: 7" in capsys.readouterr().out
    wide = recoils(n=300)["wide"]
    nothing = table_of({"wide": wide, "never": Recoil(*np.full((2, 300), np.nan), wide.qt)}, weights(300))
    with pytest.raises(OptionError, match="never has no finite pTmiss there"):
        of_table(nothing)


def test_low_qt_is_in_no_bin_of_the_response():
    """Events with qT below 10 GeV have no response; they do not go into the bin from 10 to 15."""
    made = recoils(n=600)
    q = np.where(np.arange(600) < 200, 7.0, made["wide"].qt)
    low = {name: Recoil(np.where(q < 10, -500.0, u.u_par), u.u_perp, q) for name, u in made.items()}
    found = of_table(table_of(low, np.ones(600)), above=5, replicas=0)
    expected = of_table(table_of(low, np.ones(600)), above=10, replicas=0)
    assert found["left_out"].tolist() == [200, 200]
    pd.testing.assert_frame_equal(found.drop(columns="left_out"), expected.drop(columns="left_out"))


def test_a_table_compared_and_its_histograms_give_the_same_numbers():
    """``compare`` in bins of qT, and ``resolution --correction bin``."""
    weight = np.random.default_rng(5).choice([-1.0, 1, 2], N, p=[0.1, 0.6, 0.3])
    made = table_of(recoils(), weight)
    compared = of_table(made, edges={"qt": (30, 40, 50)}, replicas=0).set_index(["estimator", "axis", "low"])
    tabulated = resolutions.tabulate(resolutions.from_table(made), "bin")
    tabulated = tabulated[tabulated["region"] == "inclusive"].set_index(["estimator", "axis", "low"])
    for key, row in compared.drop(index="inclusive", level="axis").iterrows():
        for name in ("response", "rms_par", "rms_perp"):
            assert row[name] == pytest.approx(tabulated.loc[key][name], rel=1e-4), (key, name)
        for name in ("half_width_par", "half_width_perp"):
            assert row[name] == pytest.approx(tabulated.loc[key][name], rel=0.05), (key, name)


@given(st.permutations(["wide", "narrow", "other"]), st.sampled_from([0.25, 1.0, 1024.0]))
@settings(max_examples=6, deadline=None)
def test_order_of_estimators_and_scale_of_weights_change_nothing(order, scale):
    made = recoils(n=300)
    made["other"] = made["narrow"]._replace(u_perp=np.roll(made["wide"].u_perp, 1))
    weight = np.random.default_rng(2).choice([-1.0, 1, 2], 300, p=[0.1, 0.6, 0.3])
    expected = compare(made, weight, ["other"], 5).set_index("estimator")
    found = compare({name: made[name] for name in order}, scale * weight, ["other"], 5).set_index("estimator")
    pd.testing.assert_frame_equal(found.loc[expected.index], expected)


OF_U, WEIGHT = st.integers(-200, 200), st.sampled_from([-1.0, 0.0, 1.0, 1e6])
FEW = st.lists(st.tuples(OF_U, OF_U, st.floats(1, 400), WEIGHT), min_size=1, max_size=6)


@given(FEW)
@settings(max_examples=20)
def test_any_few_events_give_numbers_or_nan_and_no_warning(events):
    """One event, events below 10 GeV, negative and absurd weights, and a reference without any width."""
    par, perp, qt, weight = np.array(events, float).T
    flat = Recoil(qt, 0 * perp, qt)
    found = compare({"some": Recoil(par, perp, qt), "flat": flat}, weight, ["some", "flat"], 2)
    assert not (found[list(WIDTHS)] < 0).any(axis=None)
    assert not np.isinf(found.select_dtypes("number")).any(axis=None)
