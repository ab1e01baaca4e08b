"""The embedded sample's maker makes what it is told, and what is shipped."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from ptmiss import events, sample, table
from ptmiss.data import production
from ptmiss.errors import UnknownName


@pytest.mark.slow
def test_the_maker_makes_what_it_is_told(tmp_path, monkeypatch):
    asked = []

    def copied(what, path, **_):
        asked.append((what.process, what.profile, what.seed, what.events, what.elements))
        shutil.copy(sample.events("zmumu"), path)

    monkeypatch.setattr(production, "_simulate", copied)
    production.make(["data"], tmp_path, scale=0.1)
    assert asked == [
        ("zmumu", "data", 202, production.EVENTS, production.WITH_ELEMENTS),
        ("zmumu_fiducial", "data", 212, 3000, 0),
        ("ttbar_dimuon", "data", 313, 35, 0),
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"data.root", "data.parquet"}
    made = table.read(tmp_path / "data.parquet")
    assert len(made) == 2 * len(np.unique(made["event"]))
    assert not {*table.TRUTH_COLUMNS, table.DATASET} & set(made.data.column_names)
    assert made.provenance["sample"]["process"] == "zmumu_fiducial"


def test_a_sample_that_there_is_not_is_not_made(tmp_path):
    with pytest.raises(UnknownName, match="unknown embedded sample 'wmuno', did you mean 'wmunu'"):
        production.make(["zmumu", "wmuno"], tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zmumu", "data", "gammajet"])
def test_what_is_shipped_is_what_is_made_today(name, tmp_path, monkeypatch, small_library):
    pytest.importorskip("fastjet")
    few = replace(production.EVENT_FILES[name], events=6, elements=0)
    monkeypatch.setattr(production, "EVENT_FILES", {name: few})
    monkeypatch.setattr(production, "TABLES", {})
    production.make([name], tmp_path, workers=1)
    again, shipped = (events.inspect(str(p)).events() for p in (tmp_path / f"{name}.root", sample.events(name)))
    assert again.GenJet.pt.to_list() == shipped.GenJet.pt[:6].to_list()
    assert again.PV.npvs.to_list() != shipped.PV.npvs[:6].to_list()  # the pile-up comes from another library
