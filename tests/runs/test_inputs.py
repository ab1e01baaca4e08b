import shutil

import pytest
from coffea.processor import ProcessorABC

from ptmiss.errors import FileError, FilesetError
from ptmiss.events import inspect
from ptmiss.runs import fileset, inputs
from ptmiss.runs.failures import Policy
from ptmiss.runs.inputs import inspect_files


class Any(ProcessorABC):
    def process(self, events):
        return {}

    def postprocess(self, accumulator):
        return accumulator


@pytest.fixture
def flaky(monkeypatch):
    """Opening a file fails so many times, then works."""

    def fail(times, error):
        left = [times]

        def inspected(path, tree):
            if left[0]:
                left[0] -= 1
                raise FileError(f"cannot open {path}") from error
            return inspect(path, tree)

        monkeypatch.setattr(inputs, "inspect", inspected)
        monkeypatch.setattr(inputs, "PAUSE", 0.0)

    return fail


def test_a_server_that_does_not_answer_is_asked_again(flaky, invented):
    flaky(2, TimeoutError("no answer"))
    [found], skipped = inspect_files(fileset.parse({"z": [str(invented)]}), Any(), Policy(retries=2))
    assert found.file.entries == 300
    assert skipped == []


def test_a_server_that_never_answers(flaky, invented, tmp_path):
    flaky(9, TimeoutError("no answer"))
    with pytest.raises(FileError, match="cannot open"):
        inspect_files(fileset.parse({"z": [str(invented)]}), Any(), Policy(retries=2))
    flaky(1, TimeoutError("no answer"))
    shutil.copy(invented, tmp_path / "b.root")
    files = fileset.parse({"z": [str(invented)], "y": [str(tmp_path / "b.root")]})
    found, [skipped] = inspect_files(files, Any(), Policy(retries=0, skip=True))
    assert len(found) == 1
    assert (skipped.kind, skipped.events) == ("io", None)


def test_a_file_at_fault_is_opened_once(flaky, invented):
    flaky(1, ValueError("not ROOT"))
    with pytest.raises(FileError, match="cannot open"):
        inspect_files(fileset.parse({"z": [str(invented)]}), Any(), Policy(retries=2))


def test_a_package_that_is_missing_is_nothing_to_skip(flaky, invented):
    flaky(1, ImportError("install it"))
    with pytest.raises(FileError, match="cannot open"):
        inspect_files(fileset.parse({"z": [str(invented)]}), Any(), Policy(skip=True))


def test_a_copy_counts_in_its_own_dataset_only(invented, tmp_path):
    shutil.copy(invented, tmp_path / "copy.root")
    copy = str(tmp_path / "copy.root")
    found, skipped = inspect_files(fileset.parse({"one": [str(invented)], "other": [copy]}), Any())
    assert len(found) == 2
    assert skipped == []
    with pytest.raises(FilesetError, match=r"dataset 'z': .*copy\.root is a copy of .*invented\.root"):
        inspect_files(fileset.parse({"z": [str(invented), copy]}), Any())


def test_nothing_is_left(tmp_path):
    with pytest.raises(FileError, match="no events in"):
        inspect_files(fileset.parse({"z": [str(tmp_path / "none.root")]}), Any(), Policy(skip=True))
