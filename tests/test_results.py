import json
import re
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import hist
import numpy as np
import pytest

from ptmiss import results
from ptmiss.errors import FileError, OptionError
from ptmiss.files import digest
from ptmiss.histograms import book_met, book_recoil

from .helpers import stacked_run
from .malice import PICKLE


def outputs():
    h = hist.Hist.new.StrCat(["a", "b"], name="x", growth=True).Reg(5, 0, 1, name="y", label=r"$y$").Weight()
    h.fill(["a", "b", "c"], [0.1, 0.5, 7], weight=[1, -2, 0.5])
    return {"dy/2018": {"own": h, "cutflow": {"all": 3}, **book_met(["pf"]), **book_recoil(["pf"])}}


MANIFEST = {"command": "test", "datasets": {"dy/2018": {"files": []}}}


def test_round_trip(tmp_path):
    saved = results.save(tmp_path / "run", {**MANIFEST, "formats": ("png",)}, outputs())
    loaded = results.load(tmp_path / "run")
    assert saved.manifest == loaded.manifest
    assert saved.histograms["dy/2018"].keys() == loaded.histograms["dy/2018"].keys()
    assert loaded.manifest["datasets"]["dy/2018"] == {"files": [], "cutflow": {"all": 3}}
    for name, value in outputs()["dy/2018"].items():
        if isinstance(value, hist.Hist):
            assert loaded.histograms["dy/2018"][name] == saved.histograms["dy/2018"][name] == value
    own = loaded.histograms["dy/2018"]["own"]
    assert own.axes["y"].label == r"$y$"
    np.testing.assert_array_equal(own.variances(flow=True), outputs()["dy/2018"]["own"].variances(flow=True))


def test_results_are_not_overwritten_unless_told(tmp_path):
    results.save(tmp_path / "run", MANIFEST, outputs())
    with pytest.raises(OptionError, match=r"is not empty \(--force replaces what"):
        results.check_writable(tmp_path / "run")
    with pytest.raises(OptionError, match="something else, choose another directory"):
        results.check_writable(tmp_path / "run", force=True)
    write(tmp_path / "tables", "manifest.json")
    results.check_writable(tmp_path / "tables", force=True)
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
    manifest["sha256"]["histograms.zip"] = digest(path)
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
    with pytest.raises(FileError, match=r"histograms\.zip has another SHA-256 than manifest\.json states"):
        results.load(tmp_path / "one")


def test_replacing_a_directory_keeps_what_a_user_put_there(tmp_path):
    output = tmp_path / "out"
    for names in (("table.csv", "figures/old.png"), ("table.csv", "figures/new.png")):
        with results.replacing_directory(output) as temporary:
            for name in names:
                (temporary / name).parent.mkdir(exist_ok=True)
                (temporary / name).write_text(names[1])
        (output / "notes").mkdir(exist_ok=True)
        (output / "notes/mine.txt").write_text("mine")
    files = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert files == {"table.csv", "figures/new.png", "notes/mine.txt", results.LISTING}
    assert (output / "table.csv").read_text() == "figures/new.png"


def test_a_directory_of_somebody_else_loses_nothing(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    with results.replacing_directory(tmp_path / "out") as temporary:
        (temporary / "table.csv").touch()
    assert (tmp_path / "out/thesis.tex").read_text() == "years of work"


def write(output, *names):
    with results.replacing_directory(output) as temporary:
        for name in names:
            (temporary / name).write_text("ours")


def test_a_file_of_the_user_whose_name_is_needed_is_kept(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/overview.png").write_text("mine")
    for _ in range(2):
        write(tmp_path / "out", "overview.png")
    assert (tmp_path / "out/overview.png").read_text() == "ours"
    assert (tmp_path / "out/overview.png.orig").read_text() == "mine"
    (tmp_path / "out" / results.LISTING).unlink()
    write(tmp_path / "out", "overview.png")
    assert (tmp_path / "out/overview.png.orig").read_text() == "mine"
    assert (tmp_path / "out/overview.png.orig1").read_text() == "ours"


def test_links_and_the_working_directory_stay_what_they_are(tmp_path, monkeypatch):
    (tmp_path / "big/data").mkdir(parents=True)
    (tmp_path / "big/data/mine.txt").write_text("mine")
    (tmp_path / "out").symlink_to(tmp_path / "big")
    monkeypatch.chdir(tmp_path / "out")
    write(tmp_path / "out", "a.csv", "b.csv")
    write(Path(), "a.csv")
    assert (tmp_path / "out").is_symlink()
    assert {path.name for path in Path.cwd().iterdir()} == {"a.csv", "data", results.LISTING}
    assert Path("data/mine.txt").read_text() == "mine"


def test_what_fails_on_the_way_leaves_the_directory_as_it_was(tmp_path):
    write(tmp_path, "a.csv")
    with suppress(ZeroDivisionError), results.replacing_directory(tmp_path) as temporary:
        (temporary / "a.csv").write_text("half")
        _ = 1 / 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.csv": "ours", ".written": "a.csv\n"}


def test_a_directory_is_claimed(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    for _ in range(2):
        results.claim(tmp_path, ["README.md"])
        (tmp_path / "README.md").write_text("ours")
    assert (tmp_path / "README.md.orig").read_text() == "mine"


def test_the_same_histograms_are_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile.time, "localtime", lambda *_: time.gmtime(1e9))
    results.save(tmp_path / "a", MANIFEST, outputs())
    monkeypatch.setattr(zipfile.time, "localtime", lambda *_: time.gmtime(2e9))
    results.save(tmp_path / "b", MANIFEST, {name: dict(reversed(out.items())) for name, out in outputs().items()})
    first, second = ((tmp_path / name / results.HISTOGRAMS).read_bytes() for name in "ab")
    assert first == second
    assert "histograms" in repr(results.load(tmp_path / "a"))
    assert len(repr(results.load(tmp_path / "a"))) < 500


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("datasets",), "datasets: Input should be a valid dictionary"),
        (("datasets", "dy"), "datasets.dy: Input should be a valid dictionary"),
        (("datasets", "dy", "ledger"), "datasets.dy.ledger: Input should be a valid dictionary"),
        (("datasets", "dy", "ledger", "skipped"), "datasets.dy.ledger.skipped: Input should be a valid list"),
        (("datasets", "dy", "ledger", "sumw"), "datasets.dy.ledger.sumw: Input should be a valid number"),
        (("datasets", "dy", "metadata"), "datasets.dy.metadata: Input should be a valid dictionary"),
    ],
)
def test_a_manifest_with_null_is_one_line(tmp_path, place, message):
    made = stacked_run()
    results.save(tmp_path, {"datasets": {"dy": made.manifest["datasets"]["dy"]}}, {"dy": made.histograms["dy"]})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    at = manifest
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = None
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FileError, match=re.escape(f"manifest.json: {message}")):
        results.load(tmp_path)
