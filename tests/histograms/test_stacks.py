import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptmiss.errors import LedgerError, OptionError
from ptmiss.histograms import book_met, fill_met, stacks
from ptmiss.normalisation import PER_FB
from ptmiss.results import RunResult

from ..helpers import about, spectra, stacked_run


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


def test_a_process_without_a_selected_event_stacks_as_nothing():
    result = stacked_run()
    result.histograms["top"] = book_met(["pf", "puppi"])
    rows = stacks.rows(stacks.of_run(result), "met", "pf")
    assert not rows["top"].any()
    np.testing.assert_array_equal(rows["simulation"], rows["dy"])


def test_a_dataset_may_be_called_as_a_column():
    result = stacked_run()
    for kept in (result.histograms, result.manifest["datasets"]):
        kept["simulation"] = kept.pop("dy")
    rows, plain = (stacks.rows(stacks.of_run(each), "met", "pf") for each in (result, stacked_run()))
    np.testing.assert_array_equal(rows["simulation"], plain["simulation"])
    np.testing.assert_array_equal(rows["simulation (dataset)"], plain["dy"])


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


def test_simulation_alone_is_at_one_inverse_femtobarn():
    result = stacked_run()
    alone = RunResult(result.manifest, {name: result.histograms[name] for name in ("dy", "top")})
    stack, both = stacks.expected(alone), stacks.of_run(result)
    assert (stack.luminosity, stack.recorded) == (1.0, "expected")
    rows, at_five = stacks.rows(stack, "met", "puppi"), stacks.rows(both, "met", "puppi")
    np.testing.assert_allclose(rows["simulation"], at_five["simulation"] / 5)
    np.testing.assert_allclose(rows["data"], rows["simulation"])
    np.testing.assert_allclose(rows["data_error"] ** 2, rows["simulation"])
    np.testing.assert_allclose(rows["systematic"].fillna(0), at_five["systematic"].fillna(0))


@pytest.mark.parametrize("kept", [["dy"], ["run_a", "dy"], ["dy", "top"]])
def test_what_cannot_be_added_up_is_not_expected(kept):
    result = stacked_run(top=about("mc", 100))
    assert stacks.expected(RunResult(result.manifest, {name: result.histograms[name] for name in kept})) is None


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


def filled(events, estimators=("pf", "puppi")):
    """Histograms of events (pTmiss_x, weight), the same for all estimators."""
    out = book_met(list(estimators))
    x, weight = np.array(events, float).reshape(-1, 2).T
    for name in estimators:
        fill_met(out, name, np.stack([x, 0 * x], axis=1), weight)
    return out


def simulated(events, order=("dy", "top"), with_luminosity=True, constant=1.0):
    """A run with data and two simulated datasets, one of these events, whose weights are multiplied by a constant."""
    of = {"dy": events, "top": [(40.0, 1.0), (60.0, 2.0)]}
    of = {name: [(x, constant * w) for x, w in of[name]] for name in order}
    datasets = {"data": about("data", 3, **({"luminosity": 3.0} if with_luminosity else {}))}
    for name, part in of.items():
        datasets[name] = about("mc", 3, cross_section={"dy": 2.0, "top": 1.0}[name])
        datasets[name]["ledger"] |= {"events": len(part), "listed": len(part), "sumw": sum(w for _, w in part)}
    histograms = {name: filled(part) for name, part in of.items()}
    return RunResult({"datasets": datasets}, {"data": filled([(20.0, 1.0)] * 3), **histograms})


SIMULATED = st.lists(st.tuples(st.floats(1, 300) | st.just(np.nan), st.sampled_from([-1.0, 1.0, 3.0])), max_size=8)


@given(SIMULATED, st.permutations(["dy", "top"]), st.booleans(), st.sampled_from([0.25, 7.0, 1e6]))
@settings(max_examples=25)
def test_scale_of_weights_and_order_of_datasets_change_nothing(events, order, with_luminosity, constant):
    """Few events, none, negative weights, pTmiss that is not finite: numbers or one clear line."""

    def found(*run):
        try:
            return stacks.rows(stacks.of_run(simulated(events, *run)), "met", "pf")
        except LedgerError as error:
            return str(error).partition("add up to")[0]

    one = found(("dy", "top"), with_luminosity, 1.0)
    other = found(order, with_luminosity, constant)
    if isinstance(one, str):
        assert one == other
        return
    pd.testing.assert_frame_equal(one, other[one.columns], rtol=1e-9)
    assert not np.isinf(one.select_dtypes("number")).any(axis=None)


def test_data_in_two_datasets_or_in_one():
    """Two ways to one result."""
    result = stacked_run()
    joined = stacks.sum_of([result.histograms[name]["met"] for name in ("run_a", "run_b")])
    datasets = {name: about for name, about in result.manifest["datasets"].items() if name in ("dy", "top")}
    histograms = {name: {"met": result.histograms[name]["met"]} for name in ("dy", "top")}
    one = RunResult(
        {"datasets": {"runs": about("data", 1000, luminosity=5.0), **datasets}}, {"runs": {"met": joined}, **histograms}
    )
    rows = [stacks.rows(stacks.of_run(each), "met", "puppi") for each in (one, result)]
    pd.testing.assert_frame_equal(*rows)


def test_a_dataset_without_a_selected_event():
    result = stacked_run()
    rows = stacks.rows(stacks.of_run(result), "met", "pf")
    for name in ("run_b", "top"):
        empty = RunResult(result.manifest, {**result.histograms, name: filled([])})
        found = stacks.rows(stacks.of_run(empty), "met", "pf")
        assert found["data" if name == "run_b" else name].sum() < rows["data" if name == "run_b" else name].sum()
        pd.testing.assert_series_equal(found["dy"], rows["dy"])


def test_weights_that_add_up_to_less_than_nothing_are_one_clear_line():
    events = [(20.0, -1.0)] * 9
    stack = stacks.Stack({"met": filled([(20.0, 1.0)])["met"]}, {"dy": {"met": filled(events)["met"]}}, None)
    with pytest.raises(LedgerError, match="met, pf: the weights of simulation add up to -9, expected more than 0"):
        stacks.rows(stack, "met", "pf")


@pytest.mark.parametrize(("error", "limits"), [(0.1, (0.55, 1.45)), (0.6, (0.34, 1.66)), (2.0, (0.0, 2.0))])
def test_the_ratio_shows_its_band(error, limits):
    table = pd.DataFrame({"simulation": [10.0, 20.0], "simulation_error": [10 * error, 1.0], "systematic": [0.0, 0.0]})
    assert stacks.ratio_range(table) == pytest.approx(limits)
