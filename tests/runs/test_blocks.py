"""A run that is resumed reads sums of blocks in place of chunks, and its results have the same bits."""

import os
import shutil

import hist
import numpy as np
import pytest
from coffea.processor import ProcessorABC

from ptmiss.runs import blocks, chunks, fileset, runner
from ptmiss.runs.directory import open_directory

from ..invented import write_events

pytestmark = pytest.mark.slow

CHUNKS, EVENTS = 2 * blocks.SIZE + 3, 2  # two blocks and a rest


class Momenta(ProcessorABC):
    """Weights of many sizes, so that the order of the sum matters; categories that grow."""

    def process(self, events):
        pt = np.asarray(events.Muon.pt[:, 0], np.float64)
        found = hist.Hist.new.StrCat([], name="c", growth=True).Reg(20, 0, 100, name="pt").Weight()
        found.fill([f"{int(value) % 5}" for value in pt], pt, weight=1 / pt**3)
        return {"pt": found, "n": {"sum": float((1 / pt**3).sum())}}

    def postprocess(self, total):
        return total


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("blocks") / "events.root"
    write_events(path, CHUNKS * EVENTS)
    return fileset.parse({"z": [str(path)]})


def run(source, place, resume=True):
    with open_directory(place, resume) as directory:
        return runner.run(source, Momenta(), chunksize=EVENTS, directory=directory)


@pytest.fixture(scope="module")
def original(source, tmp_path_factory):
    """A finished run: its directory, outputs and manifest."""
    place = tmp_path_factory.mktemp("original") / "run"
    return place, *run(source, place, False)


@pytest.fixture
def finished(original, tmp_path):
    """A copy of it, with the times of its files."""
    place, *made = original
    return shutil.copytree(place, tmp_path / "run"), *made


def require_same(found, expected):
    (out, details), (before, made) = found, expected
    assert out["z"]["n"] == before["z"]["n"]
    assert list(out["z"]["pt"].axes["c"]) == list(before["z"]["pt"].axes["c"])
    np.testing.assert_array_equal(out["z"]["pt"].view(flow=True), before["z"]["pt"].view(flow=True))
    assert details["datasets"] == made["datasets"]
    for name in ("entries", "bytesread", "columns", "chunks"):
        assert details["metrics"][name] == made["metrics"][name]


def test_blocks_are_read_in_place_of_chunks(source, finished, monkeypatch):
    place, *expected = finished
    assert len(list((place / "sums").iterdir())) == 2
    read, unpack = [], chunks.unpack
    monkeypatch.setattr(chunks, "unpack", lambda content: read.append(1) or unpack(content))
    found = run(source, place)
    assert found[1]["chunks"] == {"all": CHUNKS, "resumed": CHUNKS, "halved": 0}
    assert len(read) == 2 + 3
    require_same(found, expected)
    assert found[1]["metrics"]["processtime"] == pytest.approx(expected[1]["metrics"]["processtime"])


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["chunk missing", "chunk touched", "chunk cut", "block cut", "blocks missing"])
def test_a_block_that_cannot_be_trusted_is_made_again(fault, source, finished):
    place, *expected = finished
    first, *_ = sorted((place / "chunks").iterdir())
    sums = sorted((place / "sums").iterdir())
    match fault:
        case "chunk missing":
            first.unlink()
        case "chunk touched":
            os.utime(first, (0, 0))
        case "chunk cut":
            first.write_bytes(first.read_bytes()[:-100])
        case "block cut":
            sums[0].write_bytes(sums[0].read_bytes()[:-100])
        case _:
            for path in sums:
                path.unlink()
    found = run(source, place)
    assert found[1]["chunks"]["resumed"] == CHUNKS - (fault in ("chunk missing", "chunk cut"))
    require_same(found, expected)
    require_same(run(source, place), expected)
    assert sorted(path.name for path in (place / "sums").iterdir()) == [path.name for path in sums]


def test_another_run_in_the_directory_has_its_own(source, finished):
    place, *_ = finished
    before = {path.name for path in (place / "sums").iterdir()}
    with open_directory(place) as directory:
        runner.run(source, Momenta(), chunksize=4, directory=directory)
    after = {path.name for path in (place / "sums").iterdir()}
    assert len(after) == 1
    assert not before & after
