"""A directory to begin with."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace

import pytest

from ptmiss import project, sample
from ptmiss.errors import ColumnError, FileError, OptionError
from ptmiss.events import EventFile
from ptmiss.runs import fileset
from ptmiss.selections import load_selection

from .helpers import call, failure


def test_a_project_of_the_embedded_sample(tmp_path):
    printed = call("init", tmp_path / "first")
    assert "with pf, puppi, deepmet, stored.PuppiMET, stored.MET" in printed
    (dataset,) = fileset.read(tmp_path / "first/fileset.json").values()
    assert dataset.metadata.kind == "mc"
    assert dataset.files == (str(sample.events("zmumu")),)
    assert "is not empty" in failure("init", tmp_path / "first")
    call("init", tmp_path / "first", sample.events("wmunu"), "--force")
    assert str(sample.events("wmunu")) in (tmp_path / "first/fileset.json").read_text()


def test_files_of_data_and_of_simulation_are_calibrated():
    kept = frozenset({"PuppiMET_pt", "PuppiMET_phi"})
    first = {f"{kind}_*.root": EventFile(f"{kind}_1.root", "Events", "root", 1, b"", kept) for kind in ("dy", "data")}
    first["data_*.root"] = replace(first["data_*.root"], recorded=True)
    found = project.fileset(first)
    assert list(fileset.parse(found)) == list(found) == ["dy", "data"]
    assert found["data"]["files"][0].endswith("/data_*.root")
    steps = project.makefile(["stored.PuppiMET"], list(found))
    assert "DATA := out/recoil.parquet:data\n" in steps
    assert "calibration=out/calibration" in steps
    assert "calibration=out/calibration" not in project.makefile(["stored.PuppiMET"], ["dy"])


def test_the_selection_is_the_default_one_with_words():
    assert load_selection(tomllib.loads(project.selection())) == load_selection("default")
    assert "# pT above, GeV" in project.selection()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_leads_from_files_to_a_page(tmp_path):
    project.begin(tmp_path)
    command = ["make", "-C", str(tmp_path), f"PTMISS={sys.executable} -m ptmiss", "ESTIMATORS=pf,puppi"]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "out/report.html").stat().st_size > 1e5
    assert (tmp_path / "out/calibration/closure.csv").is_file()
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Nothing to be done" in again.stdout
    os.utime(tmp_path / "fileset.json")
    again = subprocess.run([*command, "-n"], check=True, capture_output=True, text=True)
    assert all(verb in again.stdout for verb in ("skim", "resolution", "report"))


def test_estimators_that_a_file_has_what_it_takes_for():
    kept = EventFile("v15.root", "Events", "root", 1, b"", frozenset({"PFCand_pt", "PFCand_phi", "PuppiMET_pt"}))
    with pytest.raises(ColumnError, match=r"v15\.root has neither PF candidates nor a stored MET"):
        project.estimators(kept)
    stored = {"PFCand_pt", "PFCand_phi", "PuppiMET_pt", "PuppiMET_phi"}
    assert project.estimators(EventFile("", "", "root", 1, b"", frozenset(stored))) == ["stored.PuppiMET"]


def test_a_project_that_cannot_be(tmp_path):
    with pytest.raises(FileError, match=r"no such file: none\.root"):
        project.begin(tmp_path / "new", ["none.root"])
    assert not (tmp_path / "new").exists()
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OptionError, match="is not empty"):
        project.begin(tmp_path)


def test_a_user_keeps_what_is_there(tmp_path):
    (tmp_path / "Makefile").write_text("mine")
    project.begin(tmp_path, force=True)
    assert (tmp_path / "Makefile.orig").read_text() == "mine"
    assert json.loads((tmp_path / "fileset.json").read_text())["dy"]["metadata"]["cross_section"] is None
