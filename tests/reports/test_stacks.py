import numpy as np
import pytest

from ptmiss.histograms import book_met
from ptmiss.normalisation import PER_FB
from ptmiss.reports import stacks
from ptmiss.results import RunResult


def spectra(seed, n, shifts=None):
    rng = np.random.default_rng(seed)
    histograms = book_met(["pf", "puppi"])
    for estimator, width in (("pf", 20), ("puppi", 15)):
        met = rng.rayleigh(width, n)
        for systematic, factor in {"nominal": 1.0, **(shifts or {})}.items():
            histograms["met"].fill(systematic, estimator, met * factor)
            histograms["met_phi"].fill(systematic, estimator, rng.uniform(-np.pi, np.pi, n))
    return histograms


def about(kind, sumw, **metadata):
    ledger = {"sumw": sumw, "events": sumw, "skipped": [], "duplicates": None}
    return {"metadata": {"kind": kind, **metadata}, "ledger": ledger}


def run(**changed):
    histograms = {"run_a": spectra(1, 600), "run_b": spectra(2, 400), "dy": spectra(3, 5000), "top": spectra(4, 100)}
    datasets = {
        "run_a": about("data", 600, luminosity=3.0),
        "run_b": about("data", 400, luminosity=2.0),
        "dy": about("mc", 5000, cross_section=0.18),
        "top": about("mc", 100, cross_section=0.02),
    }
    return RunResult({"datasets": {**datasets, **changed}}, histograms)


def test_simulation_has_the_luminosity_of_the_data():
    result = run()
    stack = stacks.of_run(result)
    assert stack.scaling == "5 fb$^{-1}$"
    rows = stacks.rows(stack, "met", "puppi")
    inside = result.histograms["dy"]["met"]["nominal", "puppi", :].sum().value
    assert rows["dy"].sum() == pytest.approx(inside * PER_FB * 0.18 * 5 / 5000)
    np.testing.assert_allclose(rows["simulation"], rows["dy"] + rows["top"])
    np.testing.assert_allclose(rows["ratio"] * rows["simulation"], rows["data"].where(rows["simulation"] > 0))
    both = [result.histograms[name]["met"]["nominal", "puppi", :].values() for name in ("run_a", "run_b")]
    np.testing.assert_array_equal(rows["data"], sum(both).reshape(-1, 2).sum(axis=1))
    np.testing.assert_allclose(rows["data_error"], np.sqrt(rows["data"]))


@pytest.mark.parametrize("changed", [{"run_b": about("data", 400)}, {"top": about("mc", 100)}])
def test_without_a_luminosity_there_are_as_many_events_as_in_data(changed):
    stack = stacks.of_run(run(**changed))
    assert stack.scaling == "simulation scaled to the data"
    rows = stacks.rows(stack, "met", "pf")
    assert rows["simulation"].sum() == pytest.approx(rows["data"].sum())


def test_cross_sections_share_among_datasets_even_so():
    rows = stacks.rows(stacks.of_run(run(run_b=about("data", 400))), "met_phi", "pf")
    assert rows["top"].sum() / rows["dy"].sum() == pytest.approx(0.02 / 0.18)


def test_systematics_add_in_quadrature():
    result = run()
    shifts = {"smoothing": 1.03, "scale_up": 1.1, "scale_down": 0.9}
    result.histograms["dy"].update(spectra(3, 5000, shifts))
    rows = stacks.rows(stacks.of_run(result), "met", "pf")
    dy = result.histograms["dy"]["met"]
    moved = {name: (dy[name, "pf", :].values() - dy["nominal", "pf", :].values()) for name in shifts}
    one, up, down = (m.reshape(-1, 2).sum(axis=1) * PER_FB * 0.18 * 5 / 5000 for m in moved.values())
    expected = np.sqrt(one**2 + (up**2 + down**2) / 2)
    filled = rows["simulation"] > 0
    np.testing.assert_allclose((rows["systematic"] * rows["simulation"])[filled], expected[filled], atol=1e-9)


def test_there_have_to_be_both():
    result = run()
    for kept in (["run_a", "run_b"], ["dy", "top"]):
        some = RunResult(result.manifest, {name: result.histograms[name] for name in kept})
        assert stacks.of_run(some) is None


def test_the_figure_shows_all_of_it():
    stack = stacks.of_run(run())
    figure = stacks.figure(stacks.rows(stack, "met", "puppi"), "pTmiss", stack.scaling, "CMS-like simulation")
    main, below = figure.axes
    words = [text.get_text() for text in main.get_legend().get_texts()]
    assert words[:2] == ["top", "dy"]
    assert set(words) == {"top", "dy", "uncertainty", "data"}
    assert main.get_legend().get_title().get_text() == "PUPPI"
    assert main.texts[0].get_text() == "CMS-like simulation, 5 fb$^{-1}$"
    assert below.get_xlabel() == "pTmiss"
