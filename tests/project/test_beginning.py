"""A directory to begin with, of what the files allow."""

import json
import tomllib
from dataclasses import replace

import pytest

from ptmiss import project, sample
from ptmiss.errors import FileError, OptionError
from ptmiss.events import EventFile
from ptmiss.project import beginning
from ptmiss.project.looks import Look
from ptmiss.runs import fileset
from ptmiss.selections import load_selection
from tests.helpers import call, failure

SEEN, GENERATED = Look("default", "boson", 20, 60), Look("w-mu", "genboson", 20, 60)


@pytest.mark.slow
def test_a_project_of_the_embedded_sample(tmp_path):
    printed = call("init", tmp_path / "first")
    assert "selection.toml: dy, 13 of its first 60 events pass that of Z → μμ" in printed
    assert "skim, resolution.dy, calibrate, report with pf, puppi, deepmet, stored.PuppiMET, stored.MET" in printed
    (dataset,) = fileset.read(tmp_path / "first/fileset.json").values()
    assert dataset.metadata.kind == "mc"
    assert dataset.files == (str(sample.events("zmumu")),)
    assert "is not empty" in failure("init", tmp_path / "first")
    call("init", tmp_path / "first", sample.events("zee"), "--force")
    assert load_selection(tmp_path / "first/selection.toml") == load_selection("z-ee")


def test_files_of_data_and_of_simulation_are_calibrated():
    kept = frozenset({"PuppiMET_pt", "PuppiMET_phi"})
    first = {f"{kind}_*.root": EventFile(f"{kind}_1.root", "Events", "root", 1, b"", kept) for kind in ("dy", "data")}
    first["data_*.root"] = replace(first["data_*.root"], recorded=True)
    found = beginning.fileset(first)
    assert list(fileset.parse(found)) == list(found) == ["dy", "data"]
    assert found["data"]["files"][0].endswith("/data_*.root")
    steps = tomllib.loads(beginning.configuration(["stored.PuppiMET"], {"dy": SEEN, "data": SEEN}))
    assert steps["calibrate"]["data"] == "out/recoil.parquet:data"
    assert steps["calibrate"]["mc"] == "out/recoil.parquet:dy"
    assert steps["skim"]["raw-weights"] is True
    assert "calibrate" not in tomllib.loads(beginning.configuration(["stored.PuppiMET"], {"dy": SEEN}))


def test_a_recoil_without_a_boson_that_is_seen():
    nothing = Look("w-mu", None, 20, 60)
    steps = tomllib.loads(beginning.configuration(["pf"], {"w": GENERATED, "data": nothing}))
    assert set(steps["resolution"]) == {"w"}
    assert steps["resolution"]["w"]["boson"] == "genboson"
    assert not {"calibrate"} & set(steps)


@pytest.mark.parametrize("name", ["default", "z-ee", "gamma-jet", "w-mu", "w-e"])
def test_the_selection_is_a_preset_with_words(name, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(beginning.selection(name))
    assert load_selection(path) == load_selection(name)
    assert "# pT above, GeV" in path.read_text()
    assert ("[photon]" in path.read_text()) == (name == "gamma-jet")


def test_a_project_that_cannot_be(tmp_path):
    with pytest.raises(FileError, match=r"no such file: none\.root"):
        project.begin(tmp_path / "new", ["none.root"])
    assert not (tmp_path / "new").exists()
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OptionError, match="is not empty"):
        project.begin(tmp_path)


@pytest.mark.slow
def test_a_user_keeps_what_is_there(tmp_path):
    (tmp_path / "ptmiss.toml").write_text("mine")
    project.begin(tmp_path, force=True)
    assert (tmp_path / "ptmiss.toml.orig").read_text() == "mine"
    assert json.loads((tmp_path / "fileset.json").read_text())["dy"]["metadata"]["cross_section"] is None
