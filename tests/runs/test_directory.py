import json

import pytest

from ptmiss.errors import FileError, OptionError
from ptmiss.files import holder
from ptmiss.runs import directory as run_directory
from ptmiss.runs.directory import Entry, Plan, check_startable, open_directory

from ..malice import PICKLE

PLAN = Plan({"processor": "p"}, 10, None, [Entry("z", "a.root", 0, 10, "one"), Entry("z", "a.root", 10, 20, "two")])


def begun(path, resume=False):
    with open_directory(path, resume) as directory:
        directory.begin(PLAN)
    return directory


def test_a_plan_comes_back_from_disk(tmp_path):
    begun(tmp_path / "run")
    with open_directory(tmp_path / "run", resume=True) as directory:
        assert directory.before == PLAN
    with open_directory(tmp_path / "run") as directory:
        assert directory.before is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", PICKLE])
def test_what_is_no_plan(tmp_path, content):
    (tmp_path / "plan.json").write_bytes(content)
    with open_directory(tmp_path, resume=True) as directory, pytest.raises(FileError, match="is not a readable plan"):
        _ = directory.before


def test_nothing_is_made_before_a_run_begins(tmp_path):
    with open_directory(tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists()
    with open_directory(None) as directory:
        directory.begin(PLAN)
        place = directory.path
        assert place.is_dir()
    assert not place.exists()


def test_a_directory_is_held_by_one(tmp_path):
    with open_directory(tmp_path) as one, open_directory(tmp_path) as other:
        one.begin(PLAN)
        with pytest.raises(OptionError, match=f"--output {tmp_path} is in use by process"):
            other.begin(PLAN)
        assert holder(tmp_path / ".lock").startswith("process ")
    assert holder(tmp_path / ".lock") is None
    assert holder(tmp_path / "none") is None


def test_chunks_are_kept_for_a_run_that_is_resumed(tmp_path):
    begun(tmp_path).store.save("one", b"x")
    assert "one" in begun(tmp_path, resume=True).store
    assert "one" not in begun(tmp_path).store


def test_where_a_run_may_start(tmp_path):
    check_startable(tmp_path / "new", ("manifest.json",), False, False)
    check_startable(tmp_path / "new", ("manifest.json",), True, False)
    begun(tmp_path / "run")
    check_startable(tmp_path / "run", ("manifest.json",), False, False)
    (tmp_path / "run" / "manifest.json").touch()
    with pytest.raises(OptionError, match=r"is not empty \(--resume continues it, --force replaces what ptmiss wrote"):
        check_startable(tmp_path / "run", ("manifest.json",), False, False)
    check_startable(tmp_path / "run", ("manifest.json",), True, False)
    check_startable(tmp_path / "run", ("manifest.json",), False, True)
    with pytest.raises(OptionError, match="expected either --resume or --force, got both"):
        check_startable(tmp_path / "run", ("manifest.json",), True, True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(OptionError, match="has no run to resume"):
        check_startable(tmp_path / "other", ("manifest.json",), True, False)
    with pytest.raises(OptionError, match=r"is not empty \(--force"):
        check_startable(tmp_path / "other", ("manifest.json",), False, False)
    (tmp_path / "other" / "manifest.json").touch()
    with pytest.raises(OptionError, match=r"has manifest\.json of something else, choose another directory"):
        check_startable(tmp_path / "other", ("manifest.json",), False, True)
    with pytest.raises(OptionError, match="is a file, expected a directory"):
        check_startable(tmp_path / "other" / "thesis.tex", ("manifest.json",), False, False)


def test_status_counts_what_is_there(tmp_path):
    directory = begun(tmp_path)
    directory.store.save("two", b"x")
    directory.log("failed", reason="a bug")
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"time": "cut')
    found = run_directory.status(tmp_path)
    assert (found.done["z"], found.total["z"], found.events["z"]) == (1, 2, (10, 20))
    assert found.last["reason"] == "a bug"
    assert found.worker is None


def test_the_log_is_one_object_a_line(tmp_path):
    directory = begun(tmp_path)
    directory.log("done", seconds=1.5)
    [line] = (tmp_path / "log.jsonl").read_text().splitlines()
    assert {"event": "done", "seconds": 1.5}.items() <= json.loads(line).items()
