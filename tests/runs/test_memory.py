from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from coffea.processor import ProcessorABC

from ptmiss.errors import ChunkError, OptionError
from ptmiss.runs import fileset, memory, runner
from ptmiss.runs.inputs import inspect_files


class Hungry(ProcessorABC):
    """Takes 3 MB, and 50 kB an event."""

    def process(self, events):
        fixed, each = np.ones(3_000_000 // 8), np.ones(len(events) * 50_000 // 8)
        return {"n": int(fixed[0] * each[0])}

    def postprocess(self, accumulator):
        return accumulator


class Failing(Hungry):
    def process(self, events):
        raise ZeroDivisionError("a bug")


@pytest.fixture(scope="module")
def sources(invented):
    return inspect_files(fileset.parse({"z": [str(invented)]}), Hungry())[0]


@pytest.mark.parametrize(("text", "size"), [("2GB", 2_000_000_000), ("1.5 GiB", 1_610_612_736), ("500MB", 500_000_000)])
def test_sizes(text, size):
    assert memory.parse(text) == size


@pytest.mark.parametrize("text", ["", "much", "-3GB", "2"])
def test_what_is_no_size(text):
    with pytest.raises(OptionError, match=f"--memory {text}: expected a size such as 2GB"):
        memory.parse(text)


def test_what_an_event_needs_is_measured(sources):
    fixed, event = memory.measure(Hungry(), sources[0])
    assert event == pytest.approx(50_000, rel=0.05)
    assert 2e6 < fixed < 8e6


def test_the_chunk_size_follows_the_budget(sources, monkeypatch):
    monkeypatch.setattr(memory, "measure", lambda *_: (2e6, 50_000))
    used = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=102_400_000))
    monkeypatch.setattr(memory.psutil, "Process", lambda: used)
    assert memory.chunksize(1_102_400_000 + 4_000_000, Hungry(), sources) == 10_000
    assert memory.chunksize(300_000_000, Hungry(), sources) == 1000
    with pytest.raises(OptionError, match="--memory 103MB is too little: the program needs 102 MB"):
        memory.chunksize(103_000_000, Hungry(), sources)


@pytest.mark.parametrize(("size", "expected"), [(0, 50_000), (9_000, 50_000), (99_000, 5_000), (1e9, 1)])
def test_without_a_budget_large_events_make_small_chunks(sources, size, expected):
    files = [replace(s, file=replace(s.file, size=int(size * s.file.entries))) for s in sources]
    assert memory.default(files) == expected


@pytest.mark.parametrize(
    ("number", "expected"), [(1, 1), (1.9, 1), (4.9, 2), (5, 5), (99, 50), (100, 100), (7e5, 500_000)]
)
def test_round_numbers(number, expected):
    assert memory.round_down(number) == expected


def test_a_processor_that_fails_says_where(sources):
    with pytest.raises(ChunkError, match=r"invented\.root, entries 0 to \d+: ZeroDivisionError: a bug"):
        memory.measure(Failing(), sources[0])


def test_a_run_with_a_budget(invented):
    files = fileset.parse({"z": [str(invented)]})
    outputs, details = runner.run(files, Hungry(), budget=4_000_000_000)
    assert outputs["z"]["n"] == details["metrics"]["chunks"]
    assert details["chunksize"] in (10_000, 20_000)
