import os
import sqlite3
from pathlib import Path

import pytest

from ptmiss import sample
from ptmiss.events import inspect
from ptmiss.processors.boson import Zmumu
from ptmiss.runs import fileset, inputs, inspections

TREE = "Events"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PTMISS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "z.root"
    path.write_bytes(sample.events("zmumu").read_bytes())
    return str(path)


def keep(path):
    stamp = inspections.stamp(path)
    found = inspect(path)
    inspections.save([found], {path: stamp})
    return found


def test_a_file_is_known_as_it_was_found(cache, file, tmp_path, monkeypatch):
    found = keep(file)
    assert found.generated is not None
    assert inspections.load([(file, TREE), ("root://host//z.root", TREE)]) == {(file, TREE): found}
    assert inspections.load([(file, "Other")]) == {}
    monkeypatch.chdir(tmp_path)
    (place,) = inspections.load([("z.root", TREE)]).items()
    assert (place[0], place[1].path, place[1].branches) == (("z.root", TREE), "z.root", found.branches)


def test_another_file_under_the_name_is_not_known(cache, file):
    keep(file)
    status = Path(file).stat()
    with Path(file).open("r+b") as opened:  # the same size, and the time of the content set back
        opened.write(b"root")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert inspections.load([(file, TREE)]) == {}


def test_another_version_of_ptmiss_does_not_know_it(cache, file, monkeypatch):
    keep(file)
    monkeypatch.setattr(inspections, "package_digest", lambda: "another")
    assert inspections.load([(file, TREE)]) == {}


def test_without_a_cache_nothing_is_kept(file, monkeypatch):
    keep(file)
    assert inspections.load([(file, TREE)]) == {}
    monkeypatch.delenv("PTMISS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(inspections.folder()) == "/somewhere/ptmiss"


@pytest.mark.parametrize("damage", ["text", "table", "content"])
def test_a_damaged_cache_is_as_none(cache, file, damage):
    keep(file)
    if damage == "text":
        (cache / inspections.NAME).write_text("no database" * 100)
    else:
        change = {"table": "drop table branches", "content": "update files set content = '[]'"}[damage]
        with sqlite3.connect(cache / inspections.NAME) as database:
            database.execute(change)
    assert inspections.load([(file, TREE)]) == {}


def test_files_are_opened_once(cache, file, monkeypatch):
    files = fileset.parse({"z": [file]})
    first = inputs.inspect_files(files, Zmumu([]))
    monkeypatch.setattr(inputs, "inspect", None)  # calling it would fail
    assert inputs.inspect_files(files, Zmumu([])) == first
