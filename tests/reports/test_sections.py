import json
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ptmiss import plots, resolutions, results, sample, table
from ptmiss.errors import FileError
from ptmiss.evaluation import figures
from ptmiss.histograms import book_met, book_recoil, fill_met
from ptmiss.networks import registry
from ptmiss.reports import sections
from ptmiss.reports.sources import CALIBRATION, EVALUATION, MODEL, RUN, TABLE, ReportSource
from ptmiss.reports.svg import Drawing

from ..helpers import about, stacked_run

DRAWN = "<svg xmlns='http://www.w3.org/2000/svg'/>"


@pytest.fixture
def undrawn(monkeypatch):
    """Without what takes most of the time: a figure is the arguments that it was asked for with; few replicas."""
    monkeypatch.setattr(sections.plots, "panels", lambda *asked: asked)
    monkeypatch.setattr(sections.plots, "spectrum", lambda *asked: asked)
    monkeypatch.setattr(sections.stacks, "figure", lambda *asked: asked)
    monkeypatch.setattr(sections.jacobian, "of_table", partial(sections.jacobian.of_table, replicas=5))


def start_of(name, n, estimators):
    """The first events of an embedded table."""
    read = table.read(sample.recoil(name)).only(estimators)
    return read.select(np.arange(len(read)) < n)


def written(directory, **files):
    """A directory with tables, texts and drawings of these names."""
    for name, content in files.items():
        if isinstance(content, pd.DataFrame):
            content.to_csv(directory / f"{name}.csv", index=False)
        else:
            (directory / name).write_text(content)
    return directory


def test_a_run_with_data_and_simulation(tmp_path, undrawn):
    made = stacked_run()
    results.save(tmp_path, made.manifest, made.histograms)
    found = sections.section(ReportSource(RUN, tmp_path, "both"), "none", "CMS-like simulation")
    assert [part.title for part in found] == [
        "both: run_a",
        "both: run_b",
        "both: dy",
        "both: top",
        "both: data and simulation",
    ]
    assert [one.title for one in found[-1].exhibits] == [
        "PF: pTmiss in data and simulation",
        "PUPPI: pTmiss in data and simulation",
        "PF: azimuth of pTmiss in data and simulation",
        "PUPPI: azimuth of pTmiss in data and simulation",
    ]
    rows = found[-1].exhibits[0].table
    assert {"data", "dy", "top", "simulation", "systematic", "ratio"} <= set(rows)
    assert rows["data"].sum() > 900


def test_data_of_w_have_spectra_and_no_recoil(tmp_path, undrawn):
    histograms = book_recoil(["pf"]) | book_met(["pf"])
    fill_met(histograms, "pf", np.full((3, 2), 20.0), np.ones(3))
    results.save(tmp_path, {"datasets": {"data": about("data", 3)}}, {"data": histograms})
    (found,) = sections.section(ReportSource(RUN, tmp_path, "W"), "bin", "")
    assert [one.title for one in found.exhibits] == ["pTmiss"]


def test_a_page_says_why_data_and_simulation_are_not_compared(tmp_path):
    made = stacked_run(top=about("mc", 100))
    results.save(tmp_path, made.manifest, made.histograms)
    *_, last = sections.section(ReportSource("run", tmp_path, "both"), "none", "")
    assert (last.title, list(last.exhibits)) == ("both: data and simulation", [])
    assert last.warnings == ["dataset 'top' has no cross_section (pb) in its metadata, which a luminosity needs"]


def test_what_files_say_of_weights_is_a_warning():
    described = about("mc", 100)
    described["ledger"]["generated"] = {"files": 1, "of": 1, "events": 100, "sumw": 7.0, "elsewhere": 0.0}
    [line] = sections.warnings(described)
    assert "add up to 100, `Runs` of the files say 100 events and 7" in line


def test_a_dataset_of_a_run_has_its_cut_flow_and_what_was_skipped(tmp_path, undrawn):
    made = stacked_run()
    described = dict(made.manifest["datasets"]["dy"])
    entry = {"dataset": "dy", "path": "a.root", "start": 0, "stop": 9, "events": 9, "kind": "read", "reason": "broken"}
    twice = {"events": 3, "files": ["a.root", "b.root"]}
    described |= {
        "cutflow": {"events": {"all": 100, "two muons": 40}},
        "ledger": {"listed": 100, "events": 91, "sumw": 91.0, "skipped": [entry], "duplicates": twice},
    }
    manifest = {"datasets": {"dy": described}, "command": "ptmiss run", "plan": {"left": "out"}}
    results.save(tmp_path, manifest, {"dy": made.histograms["dy"]})
    (section,) = sections.section(ReportSource(RUN, tmp_path, "one"), "none", "")
    assert [one.title for one in section.exhibits] == ["pTmiss", "Cut flow"]
    assert section.exhibits[1].table.to_dict("list") == {"cut": ["all", "two muons"], "events": [100, 40]}
    assert set(section.facts) == {"command", "sha256"}
    assert section.warnings == [
        "skipped a.root, entries 0 to 9 of dataset 'dy', 9 events: broken",
        "3 events (run, lumi, event) are there more than once, in a.root, b.root",
    ]


COUNTED = {"listed": 9, "events": 9, "sumw": 9.0}


def test_nothing_to_warn_of():
    assert sections.warnings({}) == []
    assert sections.warnings({"ledger": {**COUNTED, "skipped": [], "duplicates": None}}) == []


def test_a_table_tells_its_notes_and_what_its_datasets_went_without(tmp_path, undrawn):
    entry = {
        "dataset": "w",
        "path": "a.root",
        "start": None,
        "stop": None,
        "events": None,
        "kind": "",
        "reason": "gone",
    }
    described = about("mc", 5)
    described["ledger"]["skipped"] = [entry]
    made = {"notes": {"candidates without a number": 7}, "datasets": {"w": described}}
    few = start_of("wmunu", 5, ["pf"])
    with table.writing(tmp_path / "w.parquet") as writer:
        writer.write(few.data)
        writer.close(made)
    (section,) = sections.section(ReportSource(TABLE, tmp_path / "w.parquet", "W"), "none", "")
    assert section.facts["events"] == "5"
    assert section.warnings == [
        "candidates without a number: 7",
        "w: skipped a.root of dataset 'w', an unknown number of events: gone",
    ]


def test_every_figure_of_the_measurement_has_its_own_rows(undrawn):
    few = start_of("zmumu", 1000, ["pf", "puppi"])
    histograms = sections.resolutions.from_table(few, "boson")
    found = sections.resolutions.tabulate(histograms, "bin").assign(n_eff=100.0)  # as if it had events enough
    exhibits = sections.of_resolutions(found, "bin", "here")
    assert len({one.title for one in exhibits}) == len(exhibits)
    shared = {}
    for one in exhibits:
        rows, ((quantity, axis),), label, title, within = one.figure
        assert label == "here"
        assert {title or "inclusive"} == set(rows["region"])
        shared.setdefault(
            (axis, quantity.removesuffix("_par").removesuffix("_perp"), title and "GeV" in title), set()
        ).add(within)
        assert set(rows["axis"]) == {axis}
        assert rows["region"].nunique() == 1
        np.testing.assert_array_equal(one.table[quantity], rows[quantity])
        assert f"{quantity}_error" in one.table
    assert all(len(ranges) == 1 for ranges in shared.values())  # what is compared has the same axes
    assert len(shared) == 7
    first = exhibits[0]
    assert first.title == "Response"
    assert list(first.table.columns).count("response") == 1
    assert all(plots.CORRECTED["bin"] in one.title for one in exhibits[1:])


def test_transverse_masses_need_a_single_lepton(undrawn):
    assert sections.transverse_masses(start_of("zmumu", 50, ["pf"]), "") == []
    singles = start_of("wmunu", 3000, ["pf"])
    exhibits = sections.transverse_masses(singles, "")
    assert [one.title for one in exhibits] == [
        "Transverse mass",
        "pTmiss",
        "Sharpness of mT: RMS about the generated one, falling edge, right half width",
    ]
    lepton, met = singles.vector("lepton"), singles.met("pf")
    mt = np.sqrt(2 * (np.hypot(*lepton.T) * np.hypot(*met.T) - (lepton * met).sum(axis=1)))
    rows = exhibits[0].table
    assert set(rows["estimator"]) == {"pf", "generated"}
    rows = rows[rows["estimator"] == "pf"]
    edges = [*rows["low"], np.inf]
    assert np.abs(rows["events"] - np.histogram(mt, edges)[0]).max() <= 1
    few = sections.transverse_masses(start_of("wmunu", 5, ["pf"]), "")
    assert len(few) == 2  # a width of five events is none


def test_data_have_spectra_and_no_generated_mass(undrawn):
    singles = start_of("wmunu", 200, ["pf"])
    generated = [name for name in singles.data.column_names if name.startswith("gen")]
    data = replace(singles, data=singles.data.drop_columns(generated))
    exhibits = sections.transverse_masses(data, "")
    assert [one.title for one in exhibits] == ["Transverse mass", "pTmiss"]
    assert set(exhibits[0].table["estimator"]) == {"pf"}


def test_bins_of_a_few_events_are_tables_without_frames(undrawn):
    found = resolutions.tabulate(resolutions.from_table(start_of("zmumu", 30, ["pf"])), "bin")
    for one in sections.of_resolutions(found, "bin", ""):
        assert (one.figure is None) == one.caption.startswith("No figure") == (one.table["n_eff"].max() < 10)
    few = sections.of_resolutions(found.assign(n_eff=9.0), "bin", "")
    assert {one.figure for one in few} == {None}


def test_a_table_without_a_mass_in_the_window_has_a_line_and_no_figures(undrawn):
    """All masses at 50 GeV: the section says so, and a page of it and another is still a page."""
    read = start_of("zmumu", 30, ["pf"])
    number = read.data.column_names.index("boson_mass")
    outside = read.data.set_column(number, "boson_mass", pa.array(np.full(len(read), 50.0, np.float32)))
    section = sections.of_part(replace(read, data=outside), "light", "bin", "")
    assert section.is_empty
    (line,) = section.warnings
    assert line.endswith("none of them with a mass in the window of the selection, 80 to 100 GeV")
    assert "30 events" in section.about


def test_a_spectrum_is_the_nominal_one_in_bins_twice_as_wide(undrawn):
    histogram = book_met(["pf"])["met"]
    histogram.fill("nominal", "pf", [10.0, 11.0, 60.0])
    histogram.fill("shifted", "pf", [10.0])
    shown = sections.spectrum(histogram, "met", "")
    assert shown.title == "pTmiss"
    rows = shown.table.set_index("low")
    step = 2 * histogram.axes["met"].widths[0]
    assert rows["high"].iloc[0] == step
    assert rows["events"][rows["events"] > 0].to_dict() == {8.0: 2.0, 60.0: 1.0}


def test_a_calibration_shows_its_closure_first_and_no_figure_without_a_table(tmp_path):
    rows = pd.DataFrame({"ratio": [1.0]})
    figures_of = {f"{name}.svg": DRAWN for name in ("a_only_drawn", "closure", "joint", "puppi_met", "xy_pf")}
    tables = dict.fromkeys(("closure", "closure_summary", "fits", "flow_accuracy", "joint", "puppi_met", "xy_pf"), rows)
    written(tmp_path, **figures_of, **tables, **{results.MANIFEST: json.dumps({"command": "ptmiss calibrate"})})
    (section,) = sections.section(ReportSource(CALIBRATION, tmp_path, "c"), "none", "")
    assert [one.title for one in section.exhibits] == [
        "Closure: data over simulation before and after, on events that it was not derived from",
        "All components together: data and simulation without a map, and after each",
        "PUPPI: pTmiss in data and simulation, before and after",
        "PF: shift of pTmiss against vertices",
        "Closure in all regions",
        "Networks in the correction file against the flow, GeV",
        "Fits",
    ]
    assert [one.figure for one in section.exhibits] == [Drawing(DRAWN)] * 4 + [None] * 3
    assert section.facts == {"command": "ptmiss calibrate"}


@pytest.mark.parametrize(
    ("stem", "title"),
    [
        ("deepmet_met_phi", "DeepMET: azimuth of pTmiss in data and simulation, before and after"),
        ("stored.MET_u_perp", "MET: u⊥ in data and simulation, before and after"),
        ("laws_puppi_u_par", "PUPPI: median and half width of u∥ - qT against qT, in data and simulation"),
        ("xy_puppi", "PUPPI: shift of pTmiss against vertices"),
        ("something_else", "something_else"),
    ],
)
def test_titles_of_a_calibration(stem, title):
    assert sections.calibration_title(stem) == title


def test_an_evaluation_shows_what_its_figures_are_of(tmp_path, monkeypatch):
    for name in ("of_jets", "of_met", "of_rates"):
        monkeypatch.setattr(figures, name, lambda *asked: asked)
    jets = pd.DataFrame({"jets": ["chs", "chs", "puppi"], "region": ["all", "centre", "all"], "response": [1, 2, 3]})
    rates = pd.DataFrame(
        {"way": ["matched", "matched", "aligned"], "axis": ["pt", "eta", "pt"], "efficiency": [1, 2, 3]}
    )
    met = pd.DataFrame({"rms": [20.0], "bias_x": [0.1], "tail_30": [0.2]})
    tables = dict.fromkeys(figures.Tables._fields, met) | {"jets": jets, "rates": rates}
    (section,) = sections.section(ReportSource(EVALUATION, written(tmp_path, **tables), "e"), "none", "here")
    shown = {one.title: one for one in section.exhibits}
    assert shown["Jets, CHS: response and its width"].table["response"].tolist() == [1]
    assert shown["Jets, PUPPI: response and its width"].table["response"].tolist() == [3]
    assert shown["Jets, PUPPI: response and its width"].figure[1:] == ("puppi", "all", "here")
    assert list(shown["pTmiss with PUPPI and with DeepMET"].table) == ["rms"]
    assert shown["Fake rate"].table["efficiency"].tolist() == [1]
    assert shown["Fake rate"].figure[1:] == ("matched", "pt", "fake_rate", "here")
    assert section.facts == {}


def test_a_model_shows_its_card(tmp_path):
    card = '---\nname: "deepmet"\nparameters: 5149\nno fact\n---\n\n# A card\n\n---\n\nkey: in the text\n'
    written(tmp_path, **{registry.CARD: card})
    (section,) = sections.section(ReportSource(MODEL, tmp_path, "m"), "none", "")
    assert section.facts == {"name": "deepmet", "parameters": "5149"}
    assert section.text == "# A card\n\n---\n\nkey: in the text"


def test_how_a_directory_was_made(tmp_path):
    assert sections.manifest(tmp_path) == {}
    path = tmp_path / results.MANIFEST
    path.write_text("[1]")
    assert sections.manifest(tmp_path) == {}
    path.write_text("{")
    with pytest.raises(FileError, match=r"manifest\.json is no JSON: Expecting property name"):
        sections.manifest(tmp_path)


def test_facts_are_words():
    made = {"command": "ptmiss skim", "options": {"chunksize": 5}, "datasets": {"a": 1}, "plan": {}}
    assert sections.facts(made) == {"command": "ptmiss skim", "options": "chunksize 5"}
    packed = {"command": "pack.py", "sample": {"process": "zmumu", "seed": 1}}
    assert sections.facts(packed) == {"sample": "process zmumu, seed 1"}
