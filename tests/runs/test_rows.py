"""A table in a directory is that in one file, to the last bit, and it is read as a whole or not at all."""

import json
import shutil

import pandas as pd
import pyarrow.parquet
import pytest

import ptmiss
from ptmiss import table
from ptmiss.errors import FileError, LedgerError, OptionError
from ptmiss.runs import rows

from ..invented import write_events

FILES = {"top": ["b.root"], "dy": ["a.root", "more/a.root"]}
EVENTS = {"b.root": 60, "a.root": 70, "more/a.root": 50}


@pytest.fixture(scope="module")
def fileset(tmp_path_factory):
    """Two datasets, whose order is not that of their names; two files have the same name."""
    folder = tmp_path_factory.mktemp("events")
    (folder / "more").mkdir()
    for name, events in EVENTS.items():
        write_events(folder / name, events, seed=events)
    return {
        name: {"files": [str(folder / file) for file in files], "metadata": {"cross_section": 2.0}}
        for name, files in FILES.items()
    }


def skim(fileset, output, **how):
    return ptmiss.skim(fileset, output, ["pf", "puppi"], luminosity=2.0, **{"chunksize": 33, **how})


@pytest.fixture(scope="module")
def skims(fileset, tmp_path_factory):
    """The same events in one file and in a directory."""
    folder = tmp_path_factory.mktemp("skims")
    skim(fileset, folder / "t.parquet")
    skim(fileset, folder / "t")
    return folder


def require_same(many, one):
    """Assert that two tables have the same rows, to the last bit."""
    pd.testing.assert_frame_equal(many.read().data.to_pandas(), one.data.to_pandas(), check_exact=True)


def test_rows_are_those_of_one_file(skims):
    one, many = table.read(skims / "t.parquet"), table.open_table(skims / "t")
    assert sorted(path.name for path in (skims / "t").iterdir() if path.name[0] != ".") == [
        "0-b.parquet", "1-a.parquet", "2-a.parquet", "manifest.json",
    ]  # fmt: skip
    assert not list(skims.glob("*.parts"))
    require_same(many, one)
    assert [part.rows for part in many.parts] == list(EVENTS.values())
    changing = ("created", "seconds", "metrics", "tables")
    made, expected = (
        {key: value for key, value in each.provenance.items() if key not in changing} for each in (many, one)
    )
    assert made == expected
    assert list(many.datasets) == ["top", "dy"]
    require_same(many.of("dy"), one.of("dy"))


def test_the_manifest_says_whose_rows_are_where(skims, fileset):
    made = json.loads((skims / "t" / "manifest.json").read_text())
    assert [(name, each["dataset"], each["path"]) for name, each in made["tables"].items()] == [
        ("0-b.parquet", "top", fileset["top"]["files"][0]),
        ("1-a.parquet", "dy", fileset["dy"]["files"][0]),
        ("2-a.parquet", "dy", fileset["dy"]["files"][1]),
    ]
    said = json.loads(pyarrow.parquet.read_metadata(skims / "t" / "1-a.parquet").metadata[b"ptmiss"])
    assert (said["part"], said["files"], set(said)) == (1, 3, {"part", "files", "manifest"})


def test_verbs_read_it_as_one_table(skims):
    one, many = (ptmiss.resolution(skims / name).table for name in ("t.parquet", "t"))
    pd.testing.assert_frame_equal(one, many, check_exact=True)


def test_a_part_of_it_is_no_table(skims, tmp_path):
    with pytest.raises(LedgerError, match=r"1-a.parquet is one of 3 files of a skim, 1 of them are there"):
        table.open_table(skims / "t" / "1-a.parquet")
    with pytest.raises(LedgerError, match="are the same rows"):
        table.open_table([skims / "t", skims / "t" / "1-a.parquet"])
    shutil.copytree(skims / "t", tmp_path / "t")
    (tmp_path / "t" / "manifest.json").write_text("{}")
    with pytest.raises(FileError, match=r"manifest.json is not that of the tables beside it"):
        table.open_table(tmp_path / "t")
    (tmp_path / "t" / "manifest.json").unlink()
    with pytest.raises(FileError, match=r"has tables of one skim without its manifest.json: No such file"):
        table.open_table(tmp_path / "t")


def test_skims_of_several_directories_add_up(fileset, skims, tmp_path):
    """Without a luminosity, as scaled ones would each stand for all of it."""
    for name, files in (("a", fileset["dy"]["files"][:1]), ("b", fileset["dy"]["files"][1:])):
        ptmiss.skim(files, tmp_path / name, ["pf", "puppi"])
    both = table.open_table([tmp_path / "a", tmp_path / "b"])
    assert both.datasets["events"]["ledger"]["events"] == len(both) == 120


def test_it_goes_on_where_it_stopped(fileset, skims, tmp_path, monkeypatch):
    """The second file cannot be written: all chunks are kept, no table is there, and what is left is cleaned up."""
    write = rows.write_file

    def failing(path, *given):
        if path.name == "1-a.parquet":
            raise KeyboardInterrupt
        write(path, *given)

    monkeypatch.setattr(rows, "write_file", failing)
    with pytest.raises(KeyboardInterrupt):
        skim(fileset, tmp_path / "t")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["t.parts"]
    (tmp_path / ".t.abcd_123").mkdir()  # as a kill would leave it
    made = skim(fileset, tmp_path / "t", resume=True)
    assert made.provenance["chunks"]["resumed"] == made.provenance["chunks"]["all"] == 7
    require_same(made, table.read(skims / "t.parquet"))
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


@pytest.mark.slow
def test_a_skim_replaces_its_own_files_alone(fileset, tmp_path):
    skim(fileset, tmp_path / "t")
    (tmp_path / "t" / "thesis.tex").write_text("mine")
    with pytest.raises(OptionError, match="is not empty"):
        skim(fileset, tmp_path / "t")
    skim({"dy": fileset["dy"]}, tmp_path / "t", force=True)
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == [
        ".written", "0-a.parquet", "1-a.parquet", "manifest.json", "thesis.tex",
    ]  # fmt: skip
    with pytest.raises(OptionError, match=r"expected a .parquet file"):
        skim(fileset, tmp_path / "t.root")


def test_a_file_that_is_skipped_has_no_table(fileset, tmp_path):
    broken = tmp_path / "broken.root"
    broken.write_bytes(b"root" + bytes(100))
    files = [fileset["dy"]["files"][0], str(broken), fileset["dy"]["files"][1]]
    found = ptmiss.skim(files, tmp_path / "t", ["pf"], skip_bad_files=True)
    assert [part.path.name for part in found.parts] == ["0-a.parquet", "1-a.parquet"]
    assert len(found) == 120
    assert (tmp_path / "t.parts").is_dir()


@pytest.mark.parametrize("count", [1, 9, 10, 11, 101])
def test_the_order_of_names_is_that_of_the_files(count):
    paths = [f"root://host//store/{i % 3}/nano v{'z' * (i % 5)}.root" for i in range(count)]
    found = rows.places(paths)
    assert found == sorted(found)
    assert len(set(found)) == count
    assert all(name.isascii() and " " not in name and "/" not in name for name in found)
