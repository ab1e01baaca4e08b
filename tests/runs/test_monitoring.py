"""A run whose networks read something else than in their training says so."""

import json
import shutil

import numpy as np
import pytest
import uproot

import ptmiss
from ptmiss import results, sample, table
from ptmiss.runs import monitoring

from ..helpers import call, failure


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """The embedded Z → μμ, whose PUPPI weights are all a half."""
    path = tmp_path_factory.mktemp("shifted") / "shifted.root"
    with uproot.open(sample.events("zmumu")) as file:
        columns = file["Events"].arrays()
        columns["PFCands_puppiWeight"] = 0 * columns["PFCands_puppiWeight"] + np.float32(0.5)
        with uproot.recreate(path) as out:
            out["Events"] = {name: columns[name] for name in columns.fields}
    return path


def said(made):
    return [line for dataset in made["datasets"].values() for line in monitoring.warnings(dataset)]


def test_a_shifted_input_is_warned_of(shifted, tmp_path):
    printed = call("skim", shifted, "--estimators", "pf,deepmet", "--output", tmp_path / "t.parquet")
    made = table.read(tmp_path / "t.parquet").provenance
    lines = said(made)
    assert lines[0].startswith("deepmet: puppiWeight drifted from the training, PSI ")
    assert not [line for line in lines if "eta" in line or "dz" in line or "category" in line]
    assert "note: dataset 'events': deepmet: puppiWeight drifted" in printed
    found = made["datasets"]["events"]["monitoring"]
    assert list(found) == ["deepmet"]
    assert found["deepmet"]["psi"]["puppiWeight"][0] > 0.25


def test_the_same_events_as_they_are_are_not(tmp_path):
    made = ptmiss.skim(sample.events("zmumu"), tmp_path / "t.parquet", ["deepmet", "linear"]).provenance
    assert said(made) == []
    found = made["datasets"]["events"]["monitoring"]
    assert list(found) == ["deepmet", "linear"]
    assert found["deepmet"]["candidates"] > 500


@pytest.mark.slow
def test_a_run_keeps_it_in_its_manifest_and_the_page_shows_it(shifted, tmp_path, empty_pictures):
    given = {"z": [str(shifted)]}
    ptmiss.run("validation", given, tmp_path / "run", ["deepmet"], chunksize=30)
    made = results.load(tmp_path / "run")
    assert "sketches" not in made.histograms["z"]
    assert said(made.manifest)
    page = ptmiss.report(tmp_path / "run", tmp_path / "page.html").read_text()
    assert "DeepMET: inputs beside the training" in page
    assert "puppiWeight drifted from the training" in page


def test_a_network_without_a_sketch_is_not_judged_and_gets_one(tmp_path):
    shutil.copytree(ptmiss.networks.registry.weights_file("linear").parent, tmp_path / "mine")
    (tmp_path / "mine" / "sketch.json").unlink()
    estimators = ptmiss.make_estimators(["mine"], {"mine": tmp_path / "mine"})
    made = ptmiss.skim(sample.events("zmumu"), tmp_path / "t.parquet", estimators).provenance
    assert made["datasets"]["events"]["monitoring"] == {}
    call("models", "sketch", tmp_path / "mine", sample.events("zmumu"), "--max-events", 40)
    about = json.loads((tmp_path / "mine" / "sketch.json").read_text())["about"]
    assert about["events"] == {"zmumu.root": 40}
    assert "is there already" in failure("models", "sketch", tmp_path / "mine", sample.events("zmumu"))
    again = ptmiss.skim(sample.events("zmumu"), tmp_path / "t.parquet", estimators, force=True).provenance
    assert abs(again["datasets"]["events"]["monitoring"]["mine"]["psi"]["eta"][0]) < 0.05
