from pathlib import Path

import pytest

from ptmiss import files
from ptmiss.errors import FileError, OptionError
from ptmiss.files import replacing, write_atomically


def test_content_appears_whole(tmp_path):
    write_atomically(tmp_path / "new" / "a.txt", "one")
    write_atomically(tmp_path / "new" / "a.txt", b"two")
    assert (tmp_path / "new" / "a.txt").read_text() == "two"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half" * (1 // 0))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot write"):
        write_atomically(tmp_path / "file" / "a.txt", "x")


def test_a_file_stays_where_it_is_seen(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"1234")
    assert files.unportable(*files.portable(str(path))) == str(path)


def test_a_file_arrives_where_it_is_not_seen_or_is_another(tmp_path):
    path = tmp_path / "b.bin"
    path.write_bytes(b"one")
    packed = files.portable(str(path))
    path.write_bytes(b"other")
    arrived = files.unportable(*packed)
    assert arrived != str(path)
    assert Path(arrived).read_bytes() == b"one"
    assert files.unportable(*packed) == arrived


def test_a_cached_function_sees_a_file_that_changed(tmp_path):
    calls = []

    @files.cached_by_file
    def content(path: Path) -> str:
        calls.append(path)
        return path.read_text()

    path = tmp_path / "a.txt"
    path.write_text("one")
    assert (content(path), content(path), len(calls)) == ("one", "one", 1)
    files.write_atomically(path, "two")  # as long as before
    assert (content(path), len(calls)) == ("two", 2)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        content(path)


def test_a_digest_is_that_of_the_standard(tmp_path):
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4's own example
    (tmp_path / "a").write_bytes(b"abc")
    assert files.digest(b"abc") == files.digest(tmp_path / "a") == known


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("t.csv", r"--output .*t\.csv: expected a \.parquet or \.root file"),
        ("there.root", r"there\.root is there already \(--force replaces it\)"),
        ("folder.root", r"folder\.root is a directory, expected a file"),
    ],
)
def test_a_file_that_may_not_be_written(name, message, tmp_path):
    (tmp_path / "there.root").touch()
    (tmp_path / "folder.root").mkdir()
    with pytest.raises(OptionError, match=message):
        files.check_file(tmp_path / name, (".parquet", ".root"))
    assert files.check_file(str(tmp_path / "there.root"), (".root",), force=True) == tmp_path / "there.root"


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    for name in (".t.parquet.abcd_123.parquet", ".t.parquet.note", ".s.parquet.abcd_123.parquet", "t.parquet"):
        (tmp_path / name).write_text("")
    (tmp_path / ".t.abcd_123").mkdir()
    (tmp_path / ".t.abcd_123" / "inside").write_text("")
    files.remove_abandoned(tmp_path / "t.parquet")
    files.remove_abandoned(tmp_path / "t")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".s.parquet.abcd_123.parquet", ".t.parquet.note", "t.parquet",
    ]  # fmt: skip
