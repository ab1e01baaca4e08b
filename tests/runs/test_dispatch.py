import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from coffea.processor.executor import WorkItem

from ptmiss.errors import ChunkError, ColumnError
from ptmiss.runs import dispatch
from ptmiss.runs.chunks import unpack
from ptmiss.runs.dispatch import Attempt, Dispatch, Done, Halved, Retried, SkippedChunk, halves
from ptmiss.runs.failures import Failure, Kind, Policy
from ptmiss.runs.pools import InProcess


def items(n, events=16):
    return [WorkItem("dy", f"{i}.root", "Events", 0, events, b"") for i in range(n)]


def result(item):
    """What coffea gives for a chunk."""
    out = {"out": {"file": 1}, "events": len(item), "sumw": 1.0, "ids": np.zeros(0, np.uint64)}
    out["sections"] = out["ids"]
    return {"out": out, "metrics": {"entries": len(item), "processtime": 0.0, "columns": {"b", "a"}}}


class Threads(InProcess):
    """A pool of threads; a Death is a worker that dies and takes all others with it."""

    def __init__(self, size):
        self.size = size
        self.together = True
        self._pool = ThreadPoolExecutor(size)

    def submit(self, function, item):
        return self._pool.submit(function, item)

    def diagnose(self, error):
        return isinstance(error, Death), self.together

    def interrupt(self, future):
        future.cancel()
        return True


class Death(BaseException):
    pass


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(dispatch, "PAUSE", 0.01)


@pytest.mark.parametrize("size", [1, 4])
def test_every_chunk_comes_once(size):
    events = list(Dispatch(Threads(size), Attempt(result), Policy()).run(items(6)))
    assert sorted(event.item.filename for event in events) == [f"{i}.root" for i in range(6)]
    chunk = unpack(events[0].packed.content)
    assert chunk.events == 16
    assert chunk.metrics["columns"] == ["a", "b"]


def test_no_more_chunks_are_handed_out_than_there_are_workers():
    running, most = [], []

    def counted(item):
        running.append(item)
        most.append(len(running))
        time.sleep(0.01)
        running.remove(item)
        return result(item)

    list(Dispatch(Threads(3), Attempt(counted), Policy()).run(items(20)))
    assert max(most) == 3


def test_a_failure_of_the_users_says_where_and_why_in_one_line_and_stops():
    begun = []

    def fails(item):
        begun.append(item)
        try:
            raise KeyError("inner reason")
        except KeyError as error:
            raise RuntimeError("outer\nstory") from error

    with pytest.raises(ChunkError) as error:
        list(Dispatch(InProcess(), Attempt(fails), Policy(skip=True, retries=5)).run(items(9)))
    assert str(error.value) == "dataset 'dy', 0.root, entries 0 to 16: KeyError: 'inner reason'"
    assert "outer" in str(error.value.__cause__)
    assert len(begun) == 1


def test_an_error_of_ours_needs_no_type():
    def fails(item):
        raise ColumnError("no column x")

    failure = Attempt(fails)(items(1)[0])
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.message) == (Kind.USER, "no column x")


def test_a_processor_that_exits_fails():
    def leaves(item):
        raise SystemExit(3)

    assert Attempt(leaves)(items(1)[0]).message == "SystemExit: 3"


def test_a_failure_to_read_is_tried_again():
    left = {"0.root": 2, "1.root": 0, "2.root": 1}

    def flaky(item):
        if left[item.filename]:
            left[item.filename] -= 1
            raise ConnectionResetError("by peer")
        return result(item)

    events = list(Dispatch(InProcess(), Attempt(flaky), Policy(retries=2)).run(items(3)))
    assert [type(event) for event in events].count(Retried) == 3
    assert [type(event) for event in events].count(Done) == 3


def test_after_the_last_attempt_it_stops_or_is_left_out():
    def gone(item):
        raise TimeoutError("no answer")

    with pytest.raises(ChunkError, match=r"TimeoutError: no answer \(--skip-bad-files continues without it\)"):
        list(Dispatch(InProcess(), Attempt(gone), Policy(retries=1)).run(items(1)))
    *_, last = Dispatch(InProcess(), Attempt(gone), Policy(retries=1, skip=True)).run(items(1))
    assert isinstance(last, SkippedChunk)
    assert last.failure.kind is Kind.IO


def test_what_does_not_fit_is_halved_and_the_halves_again():
    def large(item):
        if len(item) > 5:
            raise MemoryError("too much")
        return result(item)

    events = list(Dispatch(InProcess(), Attempt(large), Policy()).run(items(1)))
    done = [(event.item.entrystart, event.item.entrystop) for event in events if isinstance(event, Done)]
    assert done == [(0, 4), (4, 8), (8, 12), (12, 16)]
    assert [type(event) for event in events].count(Halved) == 3


def test_halving_has_an_end():
    def hopeless(item):
        raise MemoryError("too much")

    with pytest.raises(ChunkError, match="entries 0 to 1: MemoryError: too much"):
        list(Dispatch(InProcess(), Attempt(hopeless), Policy()).run(items(1)))
    with pytest.raises(ChunkError, match="entries 0 to 64: "):
        list(Dispatch(InProcess(), Attempt(hopeless), Policy()).run(items(1, 1024)))


def test_of_several_that_may_have_killed_the_workers_the_one_is_found():
    def deadly(item):
        if item.filename == "1.root" and len(item) > 8:
            raise Death
        time.sleep(0.05)
        return result(item)

    events = list(Dispatch(Threads(3), Attempt(deadly), Policy()).run(items(3)))
    assert [event.item.filename for event in events if isinstance(event, Halved)] == ["1.root"]
    done = sorted((e.item.filename, e.item.entrystart) for e in events if isinstance(e, Done))
    assert done == [("0.root", 0), ("1.root", 0), ("1.root", 8), ("2.root", 0)]


def test_a_chunk_that_is_stuck_is_stopped_by_the_driver(monkeypatch):
    clock, stuck, events = SimpleNamespace(now=0.0), threading.Event(), []
    monkeypatch.setattr(dispatch, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=time.sleep))
    monkeypatch.setattr(dispatch, "TICK", 0.05)

    def slow(item):
        if item.filename == "1.root":
            stuck.wait()
        return result(item)

    for event in Dispatch(Threads(2), Attempt(slow), Policy(retries=0, timeout=60, skip=True)).run(items(4)):
        events.append(event)
        clock.now = 1000 * (len(events) // 3)  # all others are done
    stuck.set()
    [left] = [event for event in events if isinstance(event, SkippedChunk)]
    assert (left.item.filename, left.failure.message) == ("1.root", "took longer than 60 s")
    assert len([event for event in events if isinstance(event, Done)]) == 3


def test_time_is_kept_by_an_alarm_in_the_main_thread():
    def slow(item):
        try:
            time.sleep(7200)
        except TimeoutError as error:
            raise RuntimeError("hidden") from error

    failure = Attempt(slow, timeout=0.05)(items(1)[0])
    assert (failure.kind, failure.message) == (Kind.IO, "took longer than 0.05 s")


def test_closing_the_iterator_leaves_what_waits_undone():
    began = []
    events = Dispatch(Threads(1), Attempt(lambda item: began.append(item) or result(item)), Policy()).run(items(30))
    next(events)
    events.close()
    assert len(began) < 10


def test_halves_cover_the_whole():
    item = replace(items(1)[0], entrystart=3, entrystop=10, usermeta={"kind": "mc"})
    one, other = halves(item)
    assert (one.entrystart, one.entrystop, other.entrystart, other.entrystop) == (3, 6, 6, 10)
    assert other.usermeta == {"kind": "mc"}


def test_an_error_of_the_pool_itself_is_raised():
    class Broken(InProcess):
        def submit(self, function, item):
            future = Future()
            future.set_exception(OSError("no route"))
            return future

    with pytest.raises(OSError, match="no route"):
        list(Dispatch(Broken(), os.getpid, Policy()).run(items(1)))
