import json
import pickle
import zipfile

import hist
import numpy as np
import pytest

from ptmiss import results
from ptmiss.errors import FileError, OptionError
from ptmiss.histograms import book_met, book_recoil


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
        results.writable(tmp_path / "run")
    results.writable(tmp_path / "run", force=True)
    results.writable(tmp_path / "new")
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="is a file, expected a directory"):
        results.writable(tmp_path / "file", force=True)


def test_a_failure_while_writing_leaves_the_old_results(tmp_path):
    results.save(tmp_path / "run", MANIFEST, outputs())
    with pytest.raises(TypeError):
        results.save(tmp_path / "run", {**MANIFEST, "bad": object()}, outputs())
    assert results.load(tmp_path / "run").manifest["command"] == "test"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_what_a_processor_may_return():
    results.storable({"h": outputs()["dy/2018"]["own"], "n": 3, "flow": {"all": [1.0, 2.0]}})
    with pytest.raises(OptionError, match="must return a dictionary, not list"):
        results.storable([1])
    with pytest.raises(OptionError, match="output 'x' of the processor cannot be stored"):
        results.storable({"x": np.zeros(3)})


def test_directories_that_hold_no_results(tmp_path):
    with pytest.raises(FileError, match=r"is not the output of a run: it has no manifest\.json"):
        results.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(FileError, match="is not a readable output"):
        results.load(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    with pytest.raises(FileError, match=r"it has no histograms\.zip"):
        results.load(tmp_path)
    (tmp_path / "histograms.zip").write_bytes(b"not a zip")
    with pytest.raises(FileError, match="is not a readable output"):
        results.load(tmp_path)


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('code was run')",)


def test_a_pickle_in_the_place_of_an_array_is_not_loaded(tmp_path):
    results.save(tmp_path / "run", MANIFEST, outputs())
    path = tmp_path / "run" / "histograms.zip"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, pickle.dumps(Evil()) if name.endswith("values.npy") else content)
    with pytest.raises(FileError, match="is not a readable output"):
        results.load(tmp_path / "run")
