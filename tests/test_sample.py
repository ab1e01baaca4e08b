"""The embedded sample is there, is what its card says, and its maker works."""

import awkward as ak
import numpy as np
import pytest

from ptmiss import events, sample, table
from ptmiss.errors import UnknownName
from ptmiss.estimators import evaluate, make_estimators

SHOWN = list(sample.EVENT_FILES)


@pytest.mark.parametrize("name", SHOWN)
def test_event_files(name):
    source = events.inspect(str(sample.events(name))).events()
    assert len(source) == sample.EVENTS
    counts = ak.to_numpy(ak.num(source.PFCands.pt))
    assert 300 < counts.mean() < 4000
    elements = ak.to_numpy(ak.num(source.PFElement.pt))
    assert (elements[: sample.WITH_ELEMENTS] > 100).all()
    assert (elements[sample.WITH_ELEMENTS :] == 0).all()


@pytest.mark.parametrize("name", SHOWN)
def test_stored_met_is_that_of_the_candidates(name):
    source = events.inspect(str(sample.events(name))).events()
    mets = evaluate(make_estimators(["pf", "puppi", "stored.MET", "stored.PuppiMET"]), source, source.Muon[:, :0])
    assert not mets.notes
    np.testing.assert_allclose(mets.met["pf"], mets.met["stored.MET"], atol=0.3)
    np.testing.assert_allclose(mets.met["puppi"], mets.met["stored.PuppiMET"], atol=0.3)


@pytest.mark.parametrize("name", sample.TABLES)
def test_recoil_tables(name):
    found, made_of = table.read(sample.recoil(name)), sample.TABLES[name]
    assert 0.4 * made_of.events < len(found) < made_of.events
    assert np.isfinite(found[f"{made_of.selected}_pt"]).all()
    assert found.estimators == list(made_of.estimators)
    assert ("genmet_pt" in found.data.column_names) == (name != "data")
    assert found.provenance["sample"]["seed"] == made_of.seed


def test_puppi_is_sharper_than_pf_and_pseudo_data_differ():
    spread = {}
    for name in ("zmumu", "data"):
        found = table.read(sample.recoil(name))
        keep = (found["boson_mass"] > 80) & (found["boson_mass"] < 100)
        assert keep.sum() > 15_000
        spread[name] = {e: found.met(e)[keep].std(axis=0).mean() for e in ("pf", "puppi")}
        assert spread[name]["puppi"] < spread[name]["pf"]
    offsets = [table.read(sample.recoil(name)).met("pf").mean(axis=0) for name in ("zmumu", "data")]
    assert np.hypot(*(offsets[1] - offsets[0])) > 1  # GeV: the shifted calorimeter


def test_all_of_it_is_small():
    total = sum(path.stat().st_size for path in sample.DIRECTORY.iterdir() if path.is_file())
    assert total < 20e6


def test_names_that_are_not_embedded():
    with pytest.raises(UnknownName, match="unknown embedded sample 'zmum', did you mean 'zmumu'"):
        sample.events("zmum")


@pytest.mark.slow
def test_the_maker_makes_all_files(tmp_path, monkeypatch, small_library):
    pytest.importorskip("fastjet")
    monkeypatch.setattr(sample, "EVENTS", 6)
    monkeypatch.setattr(sample, "WITH_ELEMENTS", 2)
    sample.make(tmp_path, workers=1, scale=1e-9)
    assert {p.name for p in tmp_path.iterdir()} == {f"{n}.root" for n in SHOWN} | {
        f"{n}.parquet" for n in sample.TABLES
    }
    assert 0 < len(table.read(tmp_path / "data.parquet")) <= 24
    again = events.inspect(str(tmp_path / "zmumu.root")).events()
    shipped = events.inspect(str(sample.events("zmumu"))).events()
    assert again.GenMET.pt.to_list() == shipped.GenMET.pt[:6].to_list()
