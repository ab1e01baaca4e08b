import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ptmiss import resolutions, sample, table
from ptmiss.binning import DEFAULT, NPV_EDGES, PLATEAU
from ptmiss.errors import OptionError, UnknownName
from ptmiss.histograms import book_recoil, fill_recoil, scale, subtract
from ptmiss.recoil import Recoil
from ptmiss.resolutions import measure, moments, tabulate
from ptmiss.resolutions.moments import EVERYWHERE

SIGMA = 12.0
WIDTHS = ("rms_par", "rms_perp", "half_width_par", "half_width_perp")


def gaussian(n=20_000, response=0.8, sigma=SIGMA, seed=0, qt=None, weight=None):
    """Histograms and events of a Gaussian recoil with a known response."""
    rng = np.random.default_rng(seed)
    qt = rng.exponential(60, n) if qt is None else qt
    recoil = Recoil(response * qt + rng.normal(0, sigma, n), rng.normal(0, sigma, n), qt)
    weight = np.ones(n) if weight is None else weight
    out = book_recoil(["pf"])
    fill_recoil(out, "pf", recoil, rng.poisson(25, n), rng.poisson(0.5, n), weight)
    return out, recoil, weight


def test_response_and_rms_are_those_of_the_events():
    histograms, recoil, _ = gaussian()
    row = measure(histograms, "pf", "none").row(EVERYWHERE)
    assert row["response"] == pytest.approx(recoil.u_par.mean() / recoil.qt.mean(), rel=1e-12)
    assert row["rms_par"] == pytest.approx((recoil.u_par - recoil.qt).std(), rel=1e-9)
    assert row["rms_perp"] == pytest.approx(recoil.u_perp.std(), rel=1e-9)
    assert row["slope"] == pytest.approx((recoil.u_par * recoil.qt).sum() / (recoil.qt**2).sum(), rel=1e-12)
    assert row["n_eff"] == len(recoil.qt)


def test_weighted_moments_with_negative_weights():
    rng = np.random.default_rng(5)
    weight = rng.choice([-1.0, 1.0, 3.0], 20_000, p=[0.1, 0.6, 0.3])
    histograms, recoil, _ = gaussian(weight=weight)
    row = measure(histograms, "pf", "none").row(EVERYWHERE)
    mean = np.average(recoil.u_perp, weights=weight)
    assert row["rms_perp"] == pytest.approx(np.sqrt(np.average((recoil.u_perp - mean) ** 2, weights=weight)), rel=1e-9)
    assert row["n_eff"] == pytest.approx(weight.sum() ** 2 / (weight**2).sum())


def test_plateau_correction_divides_by_the_response_above_150_gev():
    histograms, recoil, _ = gaussian()
    high = recoil.qt > 150
    r = recoil.u_par[high].mean() / recoil.qt[high].mean()
    row = measure(histograms, "pf", "plateau").row(EVERYWHERE)
    assert row["rms_perp"] == pytest.approx((recoil.u_perp / r).std(), rel=1e-9)
    assert row["rms_par"] == pytest.approx((recoil.u_par / r - recoil.qt).std(), rel=1e-9)


def test_correction_in_bins_divides_each_event_by_the_response_of_its_bin():
    histograms, recoil, _ = gaussian()
    number = np.digitize(recoil.qt, DEFAULT.qt_stored)
    r = np.array([recoil.u_par[number == i].sum() / recoil.qt[number == i].sum() for i in number])
    keep = recoil.qt >= 10
    row = measure(histograms, "pf", "bin").row(EVERYWHERE)
    assert row["n_eff"] == keep.sum()
    assert row["rms_par"] == pytest.approx((recoil.u_par / r - recoil.qt)[keep].std(), rel=1e-9)
    assert row["rms_perp"] == pytest.approx((recoil.u_perp / r)[keep].std(), rel=1e-9)


def test_quantile_resolution_is_that_of_the_events():
    histograms, recoil, _ = gaussian(100_000)
    row = measure(histograms, "pf", "plateau").row(EVERYWHERE)
    r = recoil.u_par[recoil.qt > 150].mean() / recoil.qt[recoil.qt > 150].mean()
    for name, residual in (("par", recoil.u_par / r - recoil.qt), ("perp", recoil.u_perp / r)):
        low, high = np.quantile(residual, [0.16, 0.84])
        assert row[f"half_width_{name}"] == pytest.approx((high - low) / 2, rel=0.01)


@pytest.mark.slow
def test_errors_are_the_spread_over_toys():
    """Response, RMS and quantile errors against 200 independent Gaussian samples."""
    names = ["response", "rms_par", "rms_perp", "half_width_par", "half_width_perp"]
    qt = np.full(1000, 70.0)
    rows = [measure(gaussian(1000, seed=s, qt=qt)[0], "pf", "none").row(EVERYWHERE) for s in range(200)]
    for name in names:
        spread = np.std([row[name] for row in rows])
        stated = np.mean([row[f"{name}_error"] for row in rows])
        assert stated == pytest.approx(spread, rel=0.2), name


def test_errors_are_the_analytic_ones_of_a_gaussian():
    n = 20_000
    row = measure(gaussian(n, qt=np.full(n, 70.0))[0], "pf", "none").row(EVERYWHERE)
    assert row["rms_perp_error"] == pytest.approx(SIGMA / np.sqrt(2 * n), rel=0.05)
    assert row["response_error"] == pytest.approx(SIGMA / 70 / np.sqrt(n), rel=0.05)
    z, p = 0.99446, 0.16  # the 16 % quantile of a Gaussian
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) / SIGMA
    analytic = np.sqrt((p * (1 - p) - p * p) / 2 / n) / density
    assert row["half_width_perp_error"] == pytest.approx(analytic, rel=0.25)
    assert row["half_width_perp"] == pytest.approx(z * SIGMA, rel=0.02)


def test_errors_of_weighted_events_agree_with_a_bootstrap():
    rng = np.random.default_rng(1)
    weight = rng.exponential(1, 2000)
    histograms, recoil, _ = gaussian(2000, weight=weight)
    row = measure(histograms, "pf", "none").row(EVERYWHERE)
    replicas = []
    for _ in range(300):
        w = weight * rng.poisson(1, len(weight))
        mean = np.average(recoil.u_perp, weights=w)
        replicas.append(
            (
                np.sqrt(np.average((recoil.u_perp - mean) ** 2, weights=w)),
                (w * recoil.u_par).sum() / (w * recoil.qt).sum(),
            )
        )
    rms, response = np.std(replicas, axis=0)
    assert row["rms_perp_error"] == pytest.approx(rms, rel=0.2)
    assert row["response_error"] == pytest.approx(response, rel=0.2)


@pytest.mark.slow
def test_the_error_of_an_rms_with_tails_is_larger_than_that_of_a_gaussian():
    rng = np.random.default_rng(2)
    stated, values = [], []
    for _ in range(150):
        u = np.where(rng.random(1000) < 0.1, 4, 1) * rng.normal(0, 10, 1000)
        histograms = book_recoil(["pf"])
        fill_recoil(
            histograms, "pf", Recoil(u, u, np.full(1000, 60.0)), np.full(1000, 20), np.zeros(1000, int), np.ones(1000)
        )
        row = measure(histograms, "pf", "none").row(EVERYWHERE)
        values.append(row["rms_perp"])
        stated.append(row["rms_perp_error"])
    assert np.mean(stated) == pytest.approx(np.std(values), rel=0.2)
    assert np.mean(stated) > 1.5 * np.mean(values) / np.sqrt(2 * 1000)


def test_a_subtracted_background_leaves_the_signal():
    signal, _, _ = gaussian(50_000, seed=1)
    background, _, _ = gaussian(20_000, response=0.2, sigma=40, seed=2)
    again, _, _ = gaussian(20_000, response=0.2, sigma=40, seed=3)
    data = {name: signal[name] + background[name] for name in signal}
    left = {name: subtract(data[name], again[name]) for name in ("moments", "spectra")}
    row, alone, polluted = (measure(h, "pf", "none").row(EVERYWHERE) for h in (left, signal, data))
    for name in ("response", "rms_perp", "half_width_perp"):
        assert abs(row[name] - alone[name]) < 4 * max(row[f"{name}_error"], 0.01), name
        assert abs(polluted[name] - alone[name]) > 4 * polluted[f"{name}_error"], name
        assert row[f"{name}_error"] > alone[f"{name}_error"]


def test_window_is_for_comparison_with_code_that_truncates():
    histograms, recoil, _ = gaussian(sigma=90)
    row = measure(histograms, "pf", "none").row(EVERYWHERE, window=100.0)
    inside = np.abs(recoil.u_perp) < 100
    assert row["rms_perp_window"] == pytest.approx(recoil.u_perp[inside].std(), rel=0.01)
    assert row["rms_perp"] > 1.3 * row["rms_perp_window"]


def test_table_covers_every_event_once_in_each_division():
    histograms, recoil, _ = gaussian(5000)
    table = tabulate(histograms, "none")
    inclusive = table[table["axis"] == "inclusive"].set_index("region")["n_eff"]
    assert inclusive["inclusive"] == 5000
    assert inclusive["qT < 50 GeV"] + inclusive["qT ≥ 50 GeV"] == 5000
    assert inclusive[["0 jets", "1 jet", "2 or more jets"]].sum() == 5000
    by_qt = table[(table["axis"] == "qt") & (table["region"] == "inclusive")]
    assert by_qt["n_eff"].sum() == (recoil.qt < 350).sum()
    row = by_qt[by_qt["low"] == 140].iloc[0]
    assert (row["high"], row["n_eff"]) == (170, ((recoil.qt >= 140) & (recoil.qt < 170)).sum())
    by_npv = table[(table["axis"] == "npv") & (table["region"] == "inclusive")]
    assert by_npv["low"].tolist() == list(NPV_EDGES[:-1])


def test_empty_bins_are_nan_and_raise_no_warning():
    table = tabulate(gaussian(50)[0], "none")
    empty = table[table["n_eff"] == 0]
    assert len(empty) > 0
    assert empty[["rms_par", "half_width_par"]].isna().all(axis=None)


def test_what_cannot_be_measured_says_so():
    empty = book_recoil(["pf"])
    with pytest.raises(OptionError, match="no event was selected"):
        measure(empty, "pf")
    histograms, _, _ = gaussian(100, qt=np.full(100, 30.0))
    with pytest.raises(OptionError, match="no plateau response"):
        measure(histograms, "pf", "plateau")
    with pytest.raises(UnknownName, match="unknown estimator in the histograms 'puppi'"):
        measure(histograms, "puppi")
    with pytest.raises(UnknownName, match="response correction 'bins', did you mean 'bin'"):
        measure(histograms, "pf", "bins")


def manifest(**metadata):
    return {
        "metadata": metadata,
        "ledger": {"listed": 1000, "events": 1000, "sumw": 1000.0, "skipped": [], "duplicates": {}},
    }


def test_backgrounds_are_brought_to_the_luminosity_of_the_data():
    from ptmiss.results import RunResult

    data, _, _ = gaussian(1000, seed=1)
    top, _, _ = gaussian(500, seed=2)
    described = {"datasets": {"data": manifest(luminosity=2.0), "top": manifest(cross_section=0.1)}}
    result = RunResult(described, {"data": data, "top": top})
    left = resolutions.without_backgrounds(result, "data", {"top": 1.5})
    total = moments.sums(left["moments"], "pf").part(EVERYWHERE)
    factor = 1.5 * 0.1e3 * 2.0 / 1000
    assert total() == pytest.approx(1000 - factor * 500)
    assert total(2) == pytest.approx(1000 + factor**2 * 500)
    with pytest.raises(UnknownName, match="dataset in the run 'topp'"):
        resolutions.without_backgrounds(result, "data", {"topp": 1})
    described["datasets"]["top"]["metadata"] = {}
    with pytest.raises(OptionError, match="has no cross_section"):
        resolutions.without_backgrounds(result, "data", {"top": 1})
    described["datasets"]["data"]["metadata"] = {}
    with pytest.raises(OptionError, match="has no luminosity"):
        resolutions.without_backgrounds(result, "data", {"top": 1})


def responses(u, weight, kind):
    """(events,) R of a correction, NaN where there is none."""
    if kind == "none":
        return np.ones_like(u.qt)
    if kind == "plateau":
        inside = (u.qt >= PLATEAU[0]) & (u.qt < PLATEAU[1])
        return np.full_like(u.qt, (weight * u.u_par)[inside].sum() / (weight * u.qt)[inside].sum())
    number = np.digitize(u.qt, DEFAULT.qt_stored)
    top, bottom = (np.bincount(number, weight * x, len(DEFAULT.qt_stored) + 1) for x in (u.u_par, u.qt))
    r = np.divide(top, bottom, out=np.full_like(top, np.nan), where=(bottom > 0) & (top > 0))
    return np.where(u.qt >= 10, r[number], np.nan)


def widths(u, weight, kind, cells):
    """(cells, widths) in GeV of events, by sorting: the whole chain, with its response."""
    r = responses(u, weight, kind)
    rows = []
    for cell in cells:
        keep = cell & np.isfinite(r)
        w, row = weight[keep], {}
        for name, x in (("par", u.u_par / r - u.qt), ("perp", u.u_perp / r)):
            x = x[keep]
            mean = np.average(x, weights=w)
            row[f"rms_{name}"] = np.sqrt(np.average((x - mean) ** 2, weights=w))
            order = np.argsort(x)
            low, high = np.interp([0.16, 0.84], np.cumsum(w[order]) / w.sum(), x[order])
            row[f"half_width_{name}"] = (high - low) / 2
        rows.append([row[name] for name in WIDTHS])
    return np.asarray(rows)


def spread(u, weight, kind, cells, replicas):
    """(cells, widths) standard deviation of the whole chain in bootstrap samples."""
    rng = np.random.default_rng(7)
    drawn = (rng.poisson(1, len(weight)) * weight for _ in range(replicas))
    return np.std([widths(u, w, kind, cells) for w in drawn], axis=0)


def row_of(histograms, kind, low, high):
    """Numbers of an estimator, all nPV and nJets, in a range of qT."""
    return measure(histograms, "pf", kind).row(DEFAULT.qt_range(low, high))


@pytest.mark.parametrize("kind", ["none", "plateau", "bin"])
def test_errors_contain_that_of_the_response(kind):
    """Few events on the plateau: their response is worse known than the widths of all. A bootstrap repeats it all."""
    rng = np.random.default_rng(3)
    histograms, u, weight = gaussian(6000, sigma=20, qt=rng.exponential(30, 6000), weight=rng.exponential(1, 6000))
    ranges = [(0, 1000), (10, 15), (30, 40)] if kind != "none" else [(0, 1000)]
    cells = [(u.qt >= low) & (u.qt < high) for low, high in ranges]
    expected = spread(u, weight, kind, cells, 200)
    for bounds, errors in zip(ranges, expected, strict=True):
        row = row_of(histograms, kind, *bounds)
        for name, right in zip(WIDTHS, errors, strict=True):
            assert row[f"{name}_error"] == pytest.approx(right, rel=0.15 if "rms" in name else 0.3), (bounds, name)


def test_the_common_part_of_an_error_is_the_shift_by_the_plateaus_response():
    histograms, u, weight = gaussian(8000, sigma=20)
    row = row_of(histograms, "plateau", 20, 30)
    plateau = measure(histograms, "pf", "none").row(DEFAULT.qt_range(*PLATEAU))
    r = responses(u, weight, "plateau")[0]
    cell = (u.qt >= 20) & (u.qt < 30)
    for sign, shifted in ((1, r + plateau["response_error"]), (-1, r - plateau["response_error"])):
        assert row["rms_par"] + sign * row["rms_par_common"] == pytest.approx(
            (u.u_par / shifted - u.qt)[cell].std(), abs=0.02 * abs(row["rms_par_common"]) + 1e-3
        )
        assert row["rms_perp"] + sign * row["rms_perp_common"] == pytest.approx(
            (u.u_perp / shifted)[cell].std(), rel=1e-3
        )
    assert row["half_width_perp_common"] == pytest.approx(-row["half_width_perp"] * plateau["response_error"] / r)
    for kind in ("none", "bin"):
        assert row_of(histograms, kind, 20, 30)["rms_par_common"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["none", "plateau", "bin"])
def test_errors_of_the_embedded_sample_are_those_of_the_whole_chain(kind):
    """RMS within 10 %; half widths on average: a bootstrap of a quantile has 10 % and more of noise itself."""
    read, found = resolutions.recoils(table.read(sample.recoil("zmumu")).only(["pf", "puppi", "deepmet"]))
    histograms = resolutions.from_table(read)
    tabulated = tabulate(histograms, kind).set_index(["estimator", "region", "axis", "low"])
    qt, npv = found["pf"].qt, read["npv"]
    cells = {("inclusive", 0): qt >= 0, ("qt", 15): (qt >= 15) & (qt < 20), ("npv", 23.5): (npv > 23) & (npv < 28)}
    for name, u in found.items():
        errors = spread(u, read["weight"], kind, list(cells.values()), 800)
        stated = np.asarray([[tabulated.loc[(name, "inclusive", *key)][f"{w}_error"] for w in WIDTHS] for key in cells])
        ratio = stated / errors
        assert ratio[:, :2] == pytest.approx(1, abs=0.1), name
        assert ratio[:, 2:].mean() == pytest.approx(1, abs=0.1), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plateau", "bin"])
def test_errors_are_the_spread_over_independent_samples(kind):
    """150 toys of a known law: what is quoted is the true standard deviation."""
    qt = np.random.default_rng(0).exponential(40, 3000)
    rows = [row_of(gaussian(3000, sigma=20, seed=seed, qt=qt)[0], kind, 30, 40) for seed in range(150)]
    for name in WIDTHS:
        stated, true = np.mean([row[f"{name}_error"] for row in rows]), np.std([row[name] for row in rows])
        assert stated == pytest.approx(true, rel=0.15), name


def test_the_windows_rms_has_the_error_of_the_response_too():
    histograms, _, _ = gaussian(6000, sigma=20, qt=np.random.default_rng(3).exponential(30, 6000))
    row = measure(histograms, "pf", "plateau").row(EVERYWHERE, window=200)
    assert row["rms_perp_window_error"] == pytest.approx(row["rms_perp_error"], rel=0.05)
    assert row["rms_par_window_error"] == pytest.approx(row["rms_par_error"], rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["none", "plateau", "bin"])
def test_a_factor_on_all_weights_changes_nothing(kind):
    histograms, _, _ = gaussian(2000, weight=np.random.default_rng(1).choice([-1.0, 1, 2], 2000, p=[0.1, 0.6, 0.3]))
    larger = {name: scale(histograms[name], 7.3) for name in ("moments", "spectra")}
    pd.testing.assert_frame_equal(tabulate(larger, kind), tabulate(histograms, kind), rtol=1e-6, atol=1e-5)


OF_U = st.integers(-200, 200)


@pytest.mark.slow
@given(st.lists(st.tuples(OF_U, OF_U, st.floats(1, 400), st.sampled_from([-1.0, 1.0])), min_size=1, max_size=5))
@settings(max_examples=12, deadline=None, phases=[Phase.generate])
def test_any_few_events_give_numbers_or_nan_and_no_warning(events):
    par, perp, qt, weight = np.asarray(events, float).reshape(-1, 4).T
    histograms = book_recoil(["pf"])
    fill_recoil(histograms, "pf", Recoil(par, perp, qt), np.full(len(qt), 20), np.zeros(len(qt), int), weight)
    for kind in ("none", "bin"):
        row = measure(histograms, "pf", kind).row(EVERYWHERE)
        if row["n_eff"] <= 1 or weight.sum() <= 0:
            assert all(np.isnan(row[name]) for name in WIDTHS if kind == "none")
        assert not any(row[f"{name}_error"] <= 0 for name in WIDTHS)


def test_one_event_has_no_width():
    histograms, _, _ = gaussian(1)
    row = measure(histograms, "pf", "none").row(EVERYWHERE)
    assert all(np.isnan(row[name]) and np.isnan(row[f"{name}_error"]) for name in WIDTHS)
