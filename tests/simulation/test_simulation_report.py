from __future__ import annotations

import numpy as np
import pytest

from ptmiss import results, table
from ptmiss.reports import simulation_report
from ptmiss.selections import Selection
from ptmiss.simulation import output

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sample(block_columns, tmp_path_factory):
    """Ten Z events forty times over: enough rows for every table."""
    folder = tmp_path_factory.mktemp("validation")
    output.save_block(block_columns, folder / "block.parquet")
    output.write([folder / "block.parquet"] * 40, folder / "zmumu.root", "ttree", {})
    return folder / "zmumu.root"


@pytest.mark.slow
def test_the_recoil_is_that_of_a_table_and_the_peak_of_its_pairs(sample, tmp_path):
    sections = simulation_report.leptonic("zmumu", sample, tmp_path)
    assert [part.title for part in sections] == ["zmumu", "zmumu: muon pairs"]
    mass = table.read(tmp_path / "zmumu.parquet")["boson_mass"]
    low, high = Selection().mass
    inside = mass[(mass > low) & (mass < high)]
    row = sections[1].exhibits[0].table.iloc[0]
    assert (row["events"], row["mass"]) == (len(inside), pytest.approx(np.median(inside)))
    assert {"Response", "Transverse mass"} <= {exhibit.title for exhibit in sections[0].exhibits}


@pytest.mark.slow
def test_a_report_is_one_page_with_a_part_for_each_sample(sample, tmp_path, empty_pictures):
    page = simulation_report.report(tmp_path, {"zmumu": sample, "qcd": sample}, reference=sample).read_text()
    for title in ("zmumu: candidates", "qcd: candidates", "reference: candidates", "Spectra of each type of candidate"):
        assert title in page
    for title in ("Dimuon peak", "Composition in eta", "Response of jets", "Elements and their targets"):
        assert title in page
    assert "CMS-like, never CMS." in page


def test_differences_are_measured_one_by_one(monkeypatch, tmp_path, sample):
    asked = []

    def copies(process, n, seed, path, *, overrides, **_):
        asked.append(overrides)
        path.write_bytes(sample.read_bytes())

    monkeypatch.setattr(simulation_report.production, "simulate", copies)
    table = simulation_report.differences(tmp_path, 10, 1)
    assert asked[0] == {}
    assert all(len(changes) == 1 for changes in asked[1:])
    assert table.parameter.tolist() == ["none", *simulation_report.parameters.DATA]
    assert list(tmp_path.iterdir()) == []


def test_validation_makes_its_samples_first(monkeypatch, tmp_path, sample):
    told, reported = [], {}

    def copies(process, n, seed, path, *, progress=None, **_):
        path.write_bytes(sample.read_bytes())
        if progress:
            progress(process, n, n)

    def report(directory, samples, reference, more):
        reported.update(samples)
        return more[0]

    monkeypatch.setattr(simulation_report.production, "simulate", copies)
    monkeypatch.setattr(simulation_report, "report", report)
    switched = simulation_report.validate(tmp_path, 10, 1, progress=lambda *numbers: told.append(numbers))
    assert told == [(name, 10, 10) for name in simulation_report.PROCESSES]
    assert list(reported) == list(simulation_report.PROCESSES)
    assert all(path.is_file() for path in reported.values())
    assert switched.title == "Differences of the pseudo-data, each alone"


def test_a_validation_that_was_stopped_goes_on_and_a_finished_one_stays(tmp_path):
    directory = tmp_path / "v"
    assert not simulation_report.is_unfinished(directory)
    results.claim(directory, (simulation_report.PAGE,))
    assert simulation_report.is_unfinished(directory)
    (directory / simulation_report.PAGE).touch()
    assert not simulation_report.is_unfinished(directory)
