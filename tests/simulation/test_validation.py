from __future__ import annotations

import numpy as np
import pytest

from ptmiss.simulation import output, validation


@pytest.fixture(scope="module")
def sample(block_columns, tmp_path_factory):
    """Ten Z events forty times over: enough rows for every table."""
    folder = tmp_path_factory.mktemp("validation")
    output.save_block(block_columns, folder / "block.parquet")
    output.write([folder / "block.parquet"] * 40, folder / "zmumu.root", "ttree", {})
    return folder / "zmumu.root"


def test_composition_counts_every_candidate(sample, block_columns):
    table = validation.composition(sample)
    assert table.number.sum() == pytest.approx(len(block_columns["PFCands_pt"]) / 10)
    assert table.sum_pt.sum() == pytest.approx(block_columns["PFCands_pt"].sum() / 10, rel=1e-4)
    split = validation.composition(sample, by_eta=True).groupby("type").number.sum()
    assert split["photon"] == pytest.approx(table.set_index("type").number["photon"])


def test_dimuons_and_their_recoil(sample):
    frame = validation.dimuons(sample)
    assert 0 < len(frame) <= 400
    assert 50 < frame.mass.median() < 110
    table = validation.recoil_table(frame, "qt", (0, 1000))
    assert set(table.estimator) == {"pf", "puppi"}
    assert (table.rms_perp > table.rms_perp_error).all()
    assert np.isfinite(table.drop(columns="estimator").to_numpy()).all()


def test_accounting_has_every_element_type(sample):
    table = validation.accounting(sample)
    assert table.element.tolist() == ["track", "ECAL", "HCAL", "HF em", "HF had"]
    assert (table.without_target < 0.6).all()


def test_a_report_is_one_page_with_a_table_each(sample, tmp_path):
    page = validation.report(tmp_path / "report", {"zmumu": sample, "qcd": sample}, reference=sample)
    text = page.read_text()
    assert "zmumu recoil against qT" in text
    assert "reference composition" in text
    assert (page.parent / "zmumu-recoil-against-qt.png").stat().st_size > 1000
    assert len(list(page.parent.glob("*.csv"))) == text.count("## ")


def test_differences_are_measured_one_by_one(monkeypatch, tmp_path, sample):
    asked = []

    def copies(process, n, seed, path, *, overrides, **_):
        asked.append(overrides)
        path.write_bytes(sample.read_bytes())

    monkeypatch.setattr(validation.production, "simulate", copies)
    table = validation.differences(tmp_path, 10, 1)
    assert asked[0] == {}
    assert all(len(changes) == 1 for changes in asked[1:])
    assert table.parameter.tolist() == ["none", *validation.parameters.DATA]
    assert list(tmp_path.iterdir()) == []


def test_validation_makes_its_samples_first(monkeypatch, tmp_path, sample):
    told = []

    def copies(process, n, seed, path, *, progress=None, **_):
        path.write_bytes(sample.read_bytes())
        if progress:
            progress(process, n, n)

    monkeypatch.setattr(validation.production, "simulate", copies)
    page = validation.validate(tmp_path, 10, 1, progress=lambda *numbers: told.append(numbers))
    assert told == [(name, 10, 10) for name in validation.PROCESSES]
    assert "differences of the pseudo-data" in page.read_text()
    assert all(f"{name} composition" in page.read_text() for name in validation.PROCESSES)


def test_spectra_count_each_candidate_once(sample, block_columns, tmp_path):
    table = validation.spectra(sample)
    in_eta = table[table.quantity == "eta"].groupby("type").number.sum()
    photons = np.abs(block_columns["PFCands_pdgId"]) == 22
    inside = np.abs(block_columns["PFCands_eta"][photons]) <= 5.2
    assert in_eta["photon"] == pytest.approx(inside.sum() / 10)
    assert (table.number_error <= table.number + 1e-12).all()
    validation.report(tmp_path, {"qcd": sample}, reference=sample)
    assert (tmp_path / "spectra.png").stat().st_size > 10_000
    assert (tmp_path / "spectra.csv").read_text().startswith("sample,type,quantity,low,high,number,number_error")
