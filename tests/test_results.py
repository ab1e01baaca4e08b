import hashlib
import json
import zipfile

import hist
import numpy as np
import pytest

from ptmiss import results
from ptmiss.errors import FileError, OptionError
from ptmiss.histograms import book_met, book_recoil

from .malice import PICKLE


def outputs():
    h = hist.Hist.new.StrCat(["a", "b"], name="x", growth=True).Reg(5, 0, 1, name="y", label=r"$y$").Weight()
    h.fill(["a", "b", "c"], [0.1, 0.5, 7], weight=[1, -2, 0.5])
    return {"dy/2018": {"own": h, "cutflow": {"all": 3}, **book_met(["pf"]), **book_recoil(["pf"])}}


MANIFEST = {"command": "test", "datasets": {"dy/2018": {"files": []}}}


def test_round_trip(tmp_path):
    results.save(tmp_path / "run", MANIFEST, outputs())
    loaded = results.load(tmp_path / "run")
    assert loaded.manifest["datasets"]["dy/2018"] == {"files": [], "cutflow": {"all": 3}}
    for name, value in outputs()["dy/2018"].items():
        if isinstance(value, hist.Hist):
            assert loaded.histograms["dy/2018"][name] == value
    own = loaded.histograms["dy/2018"]["own"]
    assert own.axes["y"].label == r"$y$"
    np.testing.assert_array_equal(own.variances(flow=True), outputs()["dy/2018"]["own"].variances(flow=True))


def test_results_are_not_overwritten_unless_told(tmp_path):
    results.save(tmp_path / "run", MANIFEST, outputs())
    with pytest.raises(OptionError, match=r"is not empty \(--force replaces it\)"):
        results.check_writable(tmp_path / "run")
    results.check_writable(tmp_path / "run", force=True)
    results.check_writable(tmp_path / "new")
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="is a file, expected a directory"):
        results.check_writable(tmp_path / "file", force=True)


def test_a_failure_while_writing_leaves_the_old_results(tmp_path):
    results.save(tmp_path / "run", MANIFEST, outputs())
    with pytest.raises(TypeError):
        results.save(tmp_path / "run", {**MANIFEST, "bad": object()}, outputs())
    assert results.load(tmp_path / "run").manifest["command"] == "test"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_directories_that_hold_no_results(tmp_path):
    with pytest.raises(FileError, match=r"is not the output of a run: it has no manifest\.json"):
        results.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(FileError, match="is not a readable output"):
        results.load(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({**MANIFEST, "sha256": {}}))
    with pytest.raises(FileError, match=r"it has no histograms\.zip"):
        results.load(tmp_path)
    (tmp_path / "histograms.zip").write_bytes(b"not a zip")
    with pytest.raises(FileError, match="is not a readable output"):
        results.load(tmp_path)


def test_a_pickle_in_the_place_of_an_array_is_not_loaded(tmp_path):
    results.save(tmp_path / "run", MANIFEST, outputs())
    path = tmp_path / "run" / "histograms.zip"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, PICKLE if name.endswith("values.npy") else content)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    manifest["sha256"]["histograms.zip"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FileError, match="is not a readable output"):
        results.load(tmp_path / "run")


@pytest.mark.parametrize("name", ["manifest.json", "histograms.zip"])
def test_a_pickle_in_the_place_of_a_file_is_not_loaded(tmp_path, name):
    results.save(tmp_path / "run", MANIFEST, outputs())
    (tmp_path / "run" / name).write_bytes(PICKLE)
    with pytest.raises(FileError, match="is not a readable output"):
        results.load(tmp_path / "run")


def test_histograms_of_another_run_are_noticed(tmp_path):
    for name in ("one", "other"):
        results.save(tmp_path / name, MANIFEST, outputs() if name == "one" else {"dy/2018": {}})
    (tmp_path / "other" / "histograms.zip").replace(tmp_path / "one" / "histograms.zip")
    with pytest.raises(FileError, match=r"histograms\.zip is not the one that manifest\.json is about"):
        results.load(tmp_path / "one")
