import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from coffea.processor.executor import WorkItem
from hypothesis import given
from hypothesis import strategies as st

from ptmiss import executors
from ptmiss.errors import ChunkError, ColumnError, OptionError, UnknownName
from ptmiss.executors import Attempt, Failure, OrderedExecutor, completed, in_order


def items(n):
    return [WorkItem("dy", f"{i}.root", "Events", 0, 10 * (i + 1), b"") for i in range(n)]


def number(item):
    """What a chunk gives; the first ones take longest."""
    i = int(item.filename.split(".")[0])
    time.sleep(0.02 * (3 - i) if i < 3 else 0)
    return {"out": i}


@given(st.permutations(range(8)))
def test_results_come_in_order_whatever_the_order_of_completion(order):
    assert list(in_order((i, i) for i in order)) == list(range(8))


@pytest.mark.parametrize("workers", [None, 1, 4])
def test_the_sink_gets_chunks_in_order(workers):
    received = []
    executor = OrderedExecutor(sink=lambda item, result: received.append((item.filename, result["out"])))
    if workers is None:
        executor(items(6), number, None)
    else:
        with ThreadPoolExecutor(workers) as pool:
            executor.pool = pool
            executor(items(6), number, None)
    assert received == [(f"{i}.root", i) for i in range(6)]


def test_a_failure_says_where_and_why_in_one_line():
    def fails(item):
        if item.filename == "1.root":
            try:
                raise KeyError("inner reason")
            except KeyError as error:
                raise RuntimeError("outer\nstory") from error
        return {"out": 0}

    with pytest.raises(ChunkError) as error:
        OrderedExecutor(sink=lambda *_: None)(items(3), fails, None)
    assert str(error.value) == "dataset 'dy', 1.root, entries 0 to 20: KeyError: 'inner reason'"
    assert "outer" in str(error.value.__cause__)


def test_an_error_of_ours_needs_no_type():
    def fails(item):
        raise ColumnError("no column x")

    failure = Attempt(fails)(items(1)[0])
    assert isinstance(failure, Failure)
    assert failure.message == "no column x"


def test_after_a_failure_nothing_new_begins():
    begun = []

    def fails(item):
        begun.append(item)
        time.sleep(0.01)
        raise ValueError("at once")

    with ThreadPoolExecutor(1) as pool, pytest.raises(ChunkError, match="at once"):
        OrderedExecutor(pool=pool, sink=lambda *_: None)(items(50), fails, None)
    assert len(begun) < 10


def test_closing_the_iterator_cancels_what_is_waiting():
    begun = []
    with ThreadPoolExecutor(1) as pool:
        results = completed(pool, lambda item: begun.append(item) or number(item), items(30))
        next(results)
        results.close()
    assert len(begun) < 10


def test_kinds_of_pools():
    with executors.pool("iterative", 1) as none:
        assert none is None
    with pytest.raises(UnknownName, match="executor 'future', did you mean 'futures'"), executors.pool("future", 1):
        pass
    with pytest.raises(OptionError, match="--workers 0: expected at least 1"), executors.pool("futures", 0):
        pass


@pytest.mark.slow
def test_workers_share_the_cores():
    import os

    with executors.pool("futures", 2) as pool:
        threads = pool.submit(os.getenv, "OMP_NUM_THREADS").result()
    assert int(threads) == max(1, os.cpu_count() // 2)


@pytest.mark.slow
def test_no_dask_scheduler_there():
    with pytest.raises(OptionError, match="no dask scheduler answers"), executors.pool("dask", 1, "tcp://127.0.0.1:1"):
        pass
