import numpy as np
import pytest

from ptmiss import comparison, sample, table
from ptmiss.comparison import EDGES, Events, compare, of_table
from ptmiss.errors import OptionError, UnknownName
from ptmiss.recoil import Recoil
from ptmiss.table import RecoilTable

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
    cell = np.digitize(recoil.qt, EDGES)
    par, perp = np.empty_like(recoil.qt), np.empty_like(recoil.qt)
    for c in np.unique(cell):
        here = cell == c
        r = np.average(recoil.u_par[here], weights=weight[here]) / np.average(recoil.qt[here], weights=weight[here])
        par[here], perp[here] = recoil.u_par[here] / r - recoil.qt[here], recoil.u_perp[here] / r
    return par, perp, (weight * recoil.u_par).sum() / (weight * recoil.qt).sum()


def test_widths_are_those_of_corrected_residuals():
    recoil, weight = recoils()["wide"], weights()
    found = Events.of(recoil.qt, weight, replicas=0).widths(recoil)
    *residuals, response = straight(recoil, weight)
    assert found.response == pytest.approx([response])
    for i, values in enumerate(residuals):
        mean = np.average(values, weights=weight)
        assert found.rms[0, i] == pytest.approx(np.sqrt(np.average((values - mean) ** 2, weights=weight)))
        order = np.argsort(values)
        share = np.cumsum(weight[order]) / weight.sum()
        low, high = np.interp([0.16, 0.84], share, values[order])
        assert found.half[0, i] == pytest.approx((high - low) / 2, abs=0.05)


def test_a_draw_counts_an_event_as_often_as_it_was_drawn():
    recoil, weight = recoils(n=500)["wide"], weights(500)
    events = Events.of(recoil.qt, weight, replicas=3)
    found = events.widths(recoil)
    drawn = np.repeat(np.arange(500), events.draws[2].astype(int))
    again = Recoil(*(component[drawn] for component in recoil))
    expected = Events.of(again.qt, weight[drawn], replicas=0).widths(again)
    np.testing.assert_allclose(found.rms[2], expected.rms[0], rtol=1e-6)
    np.testing.assert_allclose(found.response[2], expected.response[0], rtol=1e-6)


def test_the_error_of_a_gaussians_rms():
    row = compare(recoils(response=1.0), np.ones(N)).set_index("estimator").loc["wide"]
    assert row["rms_perp"] == pytest.approx(10, rel=0.04)
    assert row["rms_perp_error"] == pytest.approx(10 / np.sqrt(2 * N), rel=0.2)
    assert row["half_perp"] == pytest.approx(9.945, rel=0.05)


def test_the_error_of_a_difference_knows_that_the_events_are_the_same():
    row = compare(recoils(), weights(), ["wide"]).set_index("estimator").loc["narrow"]
    unpaired = np.sqrt(2) * row["rms_perp_error"] / row["rms_perp"]
    assert row["rms_perp_vs_wide"] == pytest.approx(0.05, abs=0.02)
    assert 0 < row["rms_perp_vs_wide_error"] < 0.75 * unpaired


def test_an_estimator_is_as_wide_as_itself():
    row = compare(recoils(), weights(), ["wide"]).set_index("estimator").loc["wide"]
    for component in ("par", "perp"):
        assert row[f"rms_{component}_vs_wide"] == row[f"half_{component}_vs_wide_error"] == 0


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
    assert found["axis"].tolist() == ["inclusive"] * len(sample.ESTIMATORS) + ["npv"] * 2 * len(sample.ESTIMATORS)
    assert set(found["estimator"]) == set(sample.ESTIMATORS)
    events = found[found["estimator"] == "pf"].set_index(["axis", "low"])["events"]
    assert events["npv"].sum() == events["inclusive"].sum()
    puppi = found[found["estimator"] == "puppi"]
    assert (puppi["rms_perp_vs_pf"] > 3 * puppi["rms_perp_vs_pf_error"]).all()


def test_events_are_those_above_a_qt(zmumu):
    counts = [of_table(zmumu, above=above, replicas=1)["events"].iloc[0] for above in (0, 20.003, 60.003)]
    inside = (zmumu["boson_mass"] > 80) & (zmumu["boson_mass"] < 100)
    assert counts == [np.count_nonzero(inside & (zmumu["boson_pt"] > above)) for above in (0, 20.003, 60.003)]


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
