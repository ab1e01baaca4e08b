import shutil

import fsspec
import numpy as np
import pytest
from coffea.processor import ProcessorABC

from ptmiss import normalisation
from ptmiss.errors import FileError, FilesetError, LedgerError
from ptmiss.events import inspect
from ptmiss.runs import fileset, inputs, runner
from ptmiss.runs.failures import Policy
from ptmiss.runs.inputs import inspect_files

from ..nano import write_nano
from ..test_events import served


class Any(ProcessorABC):
    def process(self, events):
        return {}

    def postprocess(self, accumulator):
        return accumulator


class Count(Any):
    def process(self, events):
        return {"events": len(events.genWeight)}


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


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "root://one//store/z.root",
            ["root://one//store/z.root", "root://two//store/z.root", "https://h:8/store/z.root"],
        ),
        ("simplecache::root://one//z.root", ["simplecache::root://one//z.root", "simplecache::root://two//z.root"]),
        ("/data/z.root", ["/data/z.root"]),
    ],
)
def test_places_of_a_file_on_other_servers(path, expected):
    servers = ("root://two/", "https://h:8")[: len(expected) - 1]
    found = inputs.places(path, servers)
    assert [place.replace("8//store", "8/store") for place in found] == expected


def test_the_next_server_is_asked_where_one_does_not_have_a_file(invented, tmp_path):
    with served(tmp_path, ranges=False) as one, served(invented.parent) as two:
        files = fileset.parse({"z": [f"{one}/{invented.name}"]})
        with pytest.raises(FileError, match="no such file"):
            inspect_files(files, Any(), Policy(retries=0))
        [found], _ = inspect_files(files, Any(), Policy(retries=0, servers=("http://127.0.0.1:9/", two)))
    assert (found.file.path, found.file.entries) == (f"{two}/{invented.name}", 300)


@pytest.mark.slow
def test_a_remote_file_is_kept_in_the_cache_of_fsspec(invented, tmp_path, monkeypatch):
    """If its URL begins with ``simplecache::``; an option in the environment says where."""
    monkeypatch.setitem(fsspec.config.conf, "simplecache", {"cache_storage": str(tmp_path)})
    with served(invented.parent) as server:
        files = fileset.parse({"z": [f"simplecache::{server}/{invented.name}"]})
        assert runner.run(files, Count(), chunksize=100)[0]["z"]["events"] == 300
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [invented.read_bytes()]
    assert runner.run(files, Count(), chunksize=100)[0]["z"]["events"] == 300  # its server has gone
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [invented.read_bytes()]


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


def kinds(tmp_path, path, **metadata):
    found, _ = inspect_files(fileset.parse({"x": {"files": [path], "metadata": metadata}}), Any())
    return [source.metadata.kind for source in found]


def test_the_kind_is_what_the_fileset_says_or_the_files_show(tmp_path):
    simulated = write_nano(tmp_path / "mc.root", [1.0])
    recorded = write_nano(tmp_path / "data.root", events=2, run=273158, runs=[(0, 0)])
    bare = write_nano(tmp_path / "bare.root", events=2, run=273158)
    assert kinds(tmp_path, simulated) == ["mc"]
    assert kinds(tmp_path, recorded) == ["data"]
    assert kinds(tmp_path, bare) == [None]
    assert kinds(tmp_path, bare, kind="data") == ["data"]
    assert kinds(tmp_path, simulated, kind="data", pseudo_data=True) == ["data"]
    assert kinds(tmp_path, bare, kind="mc", unweighted=True) == ["mc"]


def test_a_fileset_that_files_contradict(tmp_path):
    simulated = write_nano(tmp_path / "mc.root", [1.0])
    recorded = write_nano(tmp_path / "data.root", events=2, run=273158, runs=[(0, 0)])
    for path, metadata, message in (
        (simulated, {"kind": "data"}, "dataset 'x' is data, but .* has what a generator made: expected kind 'mc', or"),
        (recorded, {"kind": "mc"}, "dataset 'x' is simulation, but .* has runs of a detector: expected kind 'data'"),
        (
            recorded,
            {"cross_section": 2.0},
            "dataset 'x' has cross_section, which is of simulation, but .* runs of a detector",
        ),
        (simulated, {"unweighted": True}, "dataset 'x' is unweighted, but .* has genWeight"),
    ):
        with pytest.raises(FilesetError, match=message):
            kinds(tmp_path, path, **metadata)
    both = {"x": [simulated, recorded]}
    with pytest.raises(FilesetError, match=r"dataset 'x' has files of data and of simulation, such as .*data\.root"):
        inspect_files(fileset.parse(both), Any())


def test_simulation_without_generator_weights(tmp_path):
    path = write_nano(tmp_path / "a.root", events=3, GenMET_pt=np.ones(3, np.float32))
    for stated in ({}, {"kind": "mc"}):
        with pytest.raises(
            FilesetError, match='has no genWeight: expected a file that keeps it, or "unweighted": true'
        ):
            kinds(tmp_path, path, **stated)


def test_the_same_file_in_two_datasets_of_data(tmp_path):
    """Ten fb^-1 as SingleMuon and as DoubleMuon are ten and not twenty."""
    path, own = write_nano(tmp_path / "a.root", events=30), write_nano(tmp_path / "b.root", events=10, first=31)
    about = {"kind": "data", "luminosity": 10.0}
    files = {"single": {"files": [path], "metadata": about}, "double": {"files": [path, own], "metadata": about}}
    with pytest.raises(FilesetError, match=r"dataset 'double': .*a\.root is a copy of .*a\.root of dataset 'single'"):
        inspect_files(fileset.parse(files), Any())
    _, details = runner.run(fileset.parse(files), Any(), policy=Policy(skip=True))
    found = {name: normalisation.luminosity(name, details["datasets"][name], rescale=True) for name in files}
    assert found == {"single": 10.0, "double": 2.5}
    assert normalisation.luminosities(details["datasets"], rescale=True) == 10.0
    with pytest.raises(LedgerError, match="'double' is not complete"):
        normalisation.luminosity("double", details["datasets"]["double"])


def test_a_trigger_that_no_file_has(tmp_path):
    """Two years may have triggers of their own; a slip of the pen is in no year."""

    def look(metadata, **files):
        datasets = {name: {"files": path, "metadata": {"kind": "data"} | metadata} for name, path in files.items()}
        return inspect_files(fileset.parse(datasets), Any())

    one = write_nano(tmp_path / "2018.root", events=3, run=315267, HLT_IsoMu24=np.ones(3, bool))
    other = write_nano(tmp_path / "2016.root", events=3, run=278975, HLT_IsoTkMu24=np.ones(3, bool))
    sources, _ = look({"triggers": ["HLT_IsoMu24", "HLT_IsoTkMu24"]}, a=one, b=other)
    assert len(sources) == 2
    for key in ("triggers", "veto_triggers"):
        with pytest.raises(FilesetError, match=r"dataset 'a': no file .* HLT_IsoMuon24, did you mean 'HLT_IsoMu24'"):
            look({key: ["HLT_IsoMuon24"]}, a=one)
