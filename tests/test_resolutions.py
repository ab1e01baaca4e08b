import numpy as np
import pytest

from ptmiss import resolutions
from ptmiss.errors import OptionError, UnknownName
from ptmiss.histograms import NPV_EDGES, QT_STORED, book_recoil, fill_recoil, subtracted
from ptmiss.recoil import Recoil
from ptmiss.resolutions import GRID, Spectrum, measure, quantile, tabulate

EVERYWHERE = (slice(None), slice(None), slice(None))
SIGMA = 12.0


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
    number = np.digitize(recoil.qt, QT_STORED)
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
        assert row[f"quantile_{name}"] == pytest.approx((high - low) / 2, rel=0.01)


def test_errors_are_the_spread_over_toys():
    """Response, RMS and quantile errors against 200 independent Gaussian samples."""
    names = ["response", "rms_par", "rms_perp", "quantile_par", "quantile_perp"]
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
    assert row["quantile_perp_error"] == pytest.approx(analytic, rel=0.25)
    assert row["quantile_perp"] == pytest.approx(z * SIGMA, rel=0.02)


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
    left = {name: subtracted(data[name], again[name]) for name in ("moments", "spectra")}
    row, alone, polluted = (measure(h, "pf", "none").row(EVERYWHERE) for h in (left, signal, data))
    for name in ("response", "rms_perp", "quantile_perp"):
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
    assert empty[["rms_par", "quantile_par"]].isna().all(axis=None)


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


def test_stretching_keeps_the_sum_and_moves_the_quantiles():
    histograms, _, _ = gaussian(20_000)
    s = resolutions.sums(histograms["moments"], "pf")
    for r in (0.5, 1.0, 1.3):
        cells = resolutions.stretched(histograms["spectra"], "pf", s, np.array([r]))["perp"]
        total = Spectrum(cells.values.sum(axis=(0, 1, 2)), cells.variances.sum(axis=(0, 1, 2)))
        assert total.values.sum() == pytest.approx(20_000)
        assert total.half_width()[0] == pytest.approx(0.99446 * SIGMA / r, rel=0.02)


def test_quantile_in_the_flow_is_unknown_and_negative_bins_do_no_harm():
    contents = np.zeros((3, len(GRID) + 1))
    contents[0, 0] = 1  # all in the underflow
    contents[1, 400:404] = [2, -0.5, 2, 2]
    values = quantile(contents, 0.16)
    assert np.isnan(values[0])
    assert GRID[398] < values[1] < GRID[402]
    assert np.isnan(values[2])


def manifest(**metadata):
    return {"metadata": metadata, "ledger": {"events": 1000, "sumw": 1000.0, "skipped": [], "duplicates": {}}}


def test_backgrounds_are_brought_to_the_luminosity_of_the_data():
    from ptmiss.results import RunResult

    data, _, _ = gaussian(1000, seed=1)
    top, _, _ = gaussian(500, seed=2)
    described = {"datasets": {"data": manifest(luminosity=2.0), "top": manifest(cross_section=0.1)}}
    result = RunResult(described, {"data": data, "top": top})
    left = resolutions.without_backgrounds(result, "data", {"top": 1.5})
    total = resolutions.sums(left["moments"], "pf").part(EVERYWHERE)
    factor = 1.5 * 0.1e3 * 2.0 / 1000
    assert total() == pytest.approx(1000 - factor * 500)
    assert total(2) == pytest.approx(1000 + factor**2 * 500)
    with pytest.raises(UnknownName, match="dataset in the run 'topp'"):
        resolutions.without_backgrounds(result, "data", {"topp": 1})
    described["datasets"]["top"]["metadata"] = {}
    with pytest.raises(OptionError, match="needs a cross_section"):
        resolutions.without_backgrounds(result, "data", {"top": 1})
    described["datasets"]["data"]["metadata"] = {}
    with pytest.raises(OptionError, match="needs a luminosity"):
        resolutions.without_backgrounds(result, "data", {"top": 1})
