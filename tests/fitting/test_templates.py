from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.errors import LedgerError, OptionError, UnknownName
from ptmiss.fitting.templates import Template, bins_of, collect, remove_negative
from ptmiss.normalisation import Skipped
from ptmiss.results import RunResult

from .conftest import DATASETS, LUMINOSITY, about, fill, make_run


def test_yields_are_those_of_cross_section_and_luminosity():
    region = collect(make_run(), "mt", "deepmet")
    for name, (_, cross_section) in DATASETS.items():
        assert region.processes[name].nominal.values.sum() == pytest.approx(1e3 * cross_section * LUMINOSITY)
    assert (region.luminosity, region.observed, region.systematics) == (LUMINOSITY, True, ["jes", "smoothing"])
    assert [name for name, process in region.processes.items() if process.signal] == ["wmunu"]


def test_what_is_beyond_the_range_is_in_the_first_and_last_bins():
    result = make_run()
    region = collect(result, "mt", "pf")
    recorded = result.histograms["data"]["mt"]["nominal", "pf", :]
    assert region.data.sum() == recorded.sum(flow=True).value > recorded.sum().value


def test_a_variation_with_one_side_is_mirrored():
    process = collect(make_run(), "mt", "pf", minimum=100).processes["wmunu"]
    sides = process.variations["smoothing_up"].values + process.variations["smoothing_down"].values
    inside = process.variations["smoothing_down"].values > 0
    np.testing.assert_allclose(sides[inside], 2 * process.nominal.values[inside])
    assert not np.allclose(process.variations["jes_up"].values, process.nominal.values)


def test_datasets_of_one_process_are_added_and_keep_each_other_s_variations():
    result = make_run()
    for name in ("dy", "ttbar"):
        result.manifest["datasets"][name]["metadata"]["process"] = "other"
    region = collect(result, "mt", "pf")
    alone = collect(make_run(), "mt", "pf", minimum=0.0001).processes
    assert set(region.processes) == {"wmunu", "other"}
    total = sum(alone[name].nominal.values.sum() for name in ("dy", "ttbar"))
    assert region.processes["other"].nominal.values.sum() == pytest.approx(total)
    shifted = alone["dy"].variations["jes_up"].values.sum() + alone["ttbar"].nominal.values.sum()
    assert region.processes["other"].variations["jes_up"].values.sum() == pytest.approx(shifted)


def test_without_data_the_luminosity_is_given_and_the_sum_stands_for_data():
    with pytest.raises(OptionError, match="no data with a luminosity: expected --luminosity"):
        collect(make_run(data=False), "mt", "pf")
    region = collect(make_run(data=False), "mt", "pf", luminosity=2.0)
    assert not region.observed
    np.testing.assert_allclose(region.data, sum(each.nominal.values for each in region.processes.values()))


def test_bins_are_merged_until_each_has_enough_events():
    run = make_run(n=300)
    region = collect(run, "mt", "pf", minimum=25.0)
    total = sum(each.nominal.values for each in region.processes.values())
    variance = sum(each.nominal.variances for each in region.processes.values())
    assert (total**2 / variance >= 25 - 1e-9).all()
    assert "80 bins merged to" in region.notes[0]
    assert region.data.sum() == run.histograms["data"]["mt"]["nominal", "pf", :].sum(flow=True).value


@given(st.lists(st.floats(-3, 10), min_size=1, max_size=40), st.floats(0.1, 50))
def test_merged_bins_hold_all_events(values, minimum):
    template = Template(np.array(values), np.abs(values) + 0.1)
    try:
        starts = bins_of(template, minimum)
    except OptionError:
        return
    merged = template.merge(starts)
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()
    assert merged.values.sum() == pytest.approx(template.values.sum(), abs=1e-9)


def test_negative_bins_are_set_to_zero_and_said():
    region = collect(make_run(), "mt", "pf")
    process = region.processes["ttbar"]
    values = process.nominal.values.copy()
    values[:2] = -3.0
    odd = replace(process, nominal=process.nominal._replace(values=values))
    mended = remove_negative(replace(region, processes={**region.processes, "ttbar": odd}))
    assert (mended.processes["ttbar"].nominal.values[:2] == 0).all()
    assert "ttbar: 2 bins below zero (-6 of" in mended.notes[-1]


def test_a_background_without_events_is_left_out_and_a_signal_is_an_error():
    run = make_run()
    run.histograms["ttbar"]["mt"] *= 0.0
    region = collect(run, "mt", "pf")
    assert "ttbar" not in region.processes
    assert "ttbar has no events here and is left out" in region.notes
    run.histograms["wmunu"]["mt"] *= 0.0
    with pytest.raises(OptionError, match="the signal wmunu has no events"):
        collect(run, "mt", "pf")


def test_what_a_run_does_not_have():
    run = make_run()
    with pytest.raises(UnknownName, match="unknown observable of the run 'met'"):
        collect(run, "met", "pf")
    with pytest.raises(UnknownName, match="unknown estimator of the run 'puppi'"):
        collect(run, "mt", "puppi")
    with pytest.raises(UnknownName, match="unknown process 'wmumu'"):
        collect(run, "mt", "pf", signal=["wmumu"])
    only = RunResult({"datasets": {"data": about("data", 3)}}, {"data": fill(np.ones(3))})
    with pytest.raises(OptionError, match="templates need simulation"):
        collect(only, "mt", "pf")


def test_no_signal_and_too_few_events():
    run = make_run()
    run.manifest["datasets"]["wmunu"]["metadata"]["role"] = "background"
    with pytest.raises(OptionError, match="no process is signal: expected --signal with one of wmunu, dy, ttbar"):
        collect(run, "mt", "pf")
    with pytest.raises(OptionError, match=r"templates need 1e\+09 effective simulated events"):
        collect(run, "mt", "pf", signal=["wmunu"], minimum=1e9)


def test_a_dataset_that_is_not_complete():
    run = make_run()
    skipped = Skipped("dy", "a.root", None, None, 5, "io", "gone")
    run.manifest["datasets"]["dy"]["ledger"]["skipped"] = [asdict(skipped)]
    with pytest.raises(LedgerError, match="'dy' is not complete"):
        collect(run, "mt", "pf")
