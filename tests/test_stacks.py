import numpy as np
import pytest

from ptmiss import stacks
from ptmiss.errors import LedgerError, OptionError
from ptmiss.normalisation import PER_FB
from ptmiss.results import RunResult

from .helpers import about, spectra, stacked_run


def test_simulation_has_the_luminosity_of_the_data():
    result = stacked_run()
    stack = stacks.of_run(result)
    assert stack.luminosity == 5
    assert stack.recorded == "data"
    rows = stacks.rows(stack, "met", "puppi")
    inside = result.histograms["dy"]["met"]["nominal", "puppi", :].sum().value
    assert rows["dy"].sum() == pytest.approx(inside * PER_FB * 0.18 * 5 / 5000)
    np.testing.assert_allclose(rows["simulation"], rows["dy"] + rows["top"])
    np.testing.assert_allclose(rows["ratio"] * rows["simulation"], rows["data"].where(rows["simulation"] > 0))
    both = [result.histograms[name]["met"]["nominal", "puppi", :].values() for name in ("run_a", "run_b")]
    np.testing.assert_array_equal(rows["data"], sum(both).reshape(-1, 2).sum(axis=1))
    np.testing.assert_allclose(rows["data_error"], np.sqrt(rows["data"]))


def test_without_a_luminosity_there_are_as_many_events_as_in_data():
    stack = stacks.of_run(stacked_run(run_b=about("data", 400)))
    assert stack.luminosity is None
    rows = stacks.rows(stack, "met", "pf")
    assert rows["simulation"].sum() == pytest.approx(rows["data"].sum())


def test_one_process_needs_no_cross_section():
    result = stacked_run(dy=about("mc", 5000))
    alone = RunResult(result.manifest, {name: result.histograms[name] for name in ("run_a", "dy")})
    rows = stacks.rows(stacks.of_run(alone), "met", "pf")
    assert rows["simulation"].sum() == pytest.approx(rows["data"].sum())


def test_raw_weights_of_several_processes_are_not_added():
    with pytest.raises(OptionError, match=r"dataset 'top' has no cross_section \(pb\)"):
        stacks.of_run(stacked_run(top=about("mc", 100)))
    with pytest.raises(OptionError, match="dataset 'top' needs a kind in its metadata"):
        stacks.of_run(stacked_run(top=about(None, 100, cross_section=1.0)))


def test_data_that_share_events_are_not_stacked():
    shared = about("data", 400, luminosity=2.0)
    shared["ledger"]["duplicates"] = {"events": 5, "files": ["a.root"], "datasets": ["run_a"]}
    with pytest.raises(LedgerError, match="'run_b' and 'run_a' share events"):
        stacks.of_run(stacked_run(run_b=shared))


def test_cross_sections_share_among_datasets_even_so():
    rows = stacks.rows(stacks.of_run(stacked_run(run_b=about("data", 400))), "met_phi", "pf")
    assert rows["top"].sum() / rows["dy"].sum() == pytest.approx(0.02 / 0.18)


def test_systematics_add_in_quadrature():
    result = stacked_run()
    shifts = {"smoothing": 1.03, "scale_up": 1.1, "scale_down": 0.9}
    result.histograms["dy"].update(spectra(3, 5000, shifts))
    rows = stacks.rows(stacks.of_run(result), "met", "pf")
    dy = result.histograms["dy"]["met"]
    moved = {name: (dy[name, "pf", :].values() - dy["nominal", "pf", :].values()) for name in shifts}
    one, up, down = (m.reshape(-1, 2).sum(axis=1) * PER_FB * 0.18 * 5 / 5000 for m in moved.values())
    expected = np.sqrt(one**2 + (up**2 + down**2) / 2)
    filled = rows["simulation"] > 0
    np.testing.assert_allclose((rows["systematic"] * rows["simulation"])[filled], expected[filled], atol=1e-9)


def test_each_systematic_has_a_band_of_its_own():
    result = stacked_run()
    shifts = {"smoothing": 1.03, "jes_up": 1.1, "jes_down": 0.9, "jer_up": 1.02, "hf_up": 1.01, "muons_up": 1.005}
    result.histograms["dy"].update(spectra(3, 5000, shifts))
    stack = stacks.of_run(result)
    rows = stacks.rows(stack, "met", "pf")
    names = ["jes", "jer", "hf", "muons", "smoothing"]
    parts = rows[[f"systematic_{name}" for name in names]]
    np.testing.assert_allclose(np.sqrt((parts**2).sum(axis=1)), rows["systematic"].fillna(0))
    labels, sizes, _ = zip(*stacks.bands(rows), strict=True)
    assert labels[:2] == ("sim. events", "+ jes")
    assert labels[-1] == "+ others"
    assert (np.diff(sizes, axis=0) >= 0).all()
    np.testing.assert_allclose(sizes[-1], stacks.band(rows))
    legend = stacks.figure(rows, "pTmiss", stack.luminosity).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()][-len(labels) :] == list(labels)


def test_there_have_to_be_both():
    result = stacked_run()
    for kept in (["run_a", "run_b"], ["dy", "top"]):
        some = RunResult(result.manifest, {name: result.histograms[name] for name in kept})
        assert stacks.of_run(some) is None


def test_the_figure_shows_all_of_it():
    stack = stacks.of_run(stacked_run())
    rows = stacks.rows(stack, "met", "puppi")
    main, below = stacks.figure(rows, "pTmiss (GeV)", stack.luminosity, "CMS-like simulation", "pseudo-data").axes
    words = [text.get_text() for text in main.get_legend().get_texts()]
    assert words[:2] == ["top", "dy"]
    assert set(words) == {"top", "dy", "uncertainty", "pseudo-data"}
    assert main.get_legend().get_title().get_text() == "PUPPI"
    assert {"CMS-like simulation", "5 fb$^{-1}$"} <= {text.get_text().strip() for text in main.texts}
    assert main.get_ylabel() == "Events / 4 GeV"
    assert below.get_xlabel() == "pTmiss (GeV)"
    assert below.get_ylabel() == "Pseudo-data / sim."
    (hatched,) = [patch for patch in main.patches if patch.get_hatch()]
    assert hatched.get_edgecolor()[3] == 1
    scaled = stacks.figure(rows, "pTmiss (GeV)", None, recorded="pseudo-data").axes[0].get_legend()
    assert scaled.get_title().get_text() == "PUPPI\nsimulation scaled to pseudo-data"


def test_the_azimuth_is_shown_to_its_last_bin():
    rows = stacks.rows(stacks.of_run(stacked_run()), "met_phi", "pf")
    main, _ = stacks.figure(rows, "azimuth (rad)", 5.0).axes
    assert main.get_xlim() == (rows["low"].iloc[0], rows["high"].iloc[-1])
