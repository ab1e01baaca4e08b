import os

import pytest

from ptmiss.errors import OptionError, UnknownName
from ptmiss.runs import pools


def test_a_scheduler_of_another_executor():
    refused = pytest.raises(OptionError, match=r"--scheduler queue\.toml is of --executor dask, not of futures")
    with refused, pools.pool("futures", 1, "queue.toml"):
        pass


def test_kinds_of_pools():
    with pools.pool("iterative") as here:
        assert here.submit(str, 3).result() == "3"
    with pytest.raises(UnknownName, match="executor 'future', did you mean 'futures'"), pools.pool("future", 1):
        pass
    with pytest.raises(OptionError, match="--workers 0: expected at least 1"), pools.pool("futures", 0):
        pass


@pytest.mark.slow
def test_workers_share_the_cores():
    with pools.pool("futures", 2) as pool:
        threads = pool.submit(os.getenv, "OMP_NUM_THREADS").result()
    assert int(threads) == max(1, len(os.sched_getaffinity(0)) // 2)


@pytest.mark.slow
def test_a_process_may_have_so_much_memory_and_no_more():
    with pools.pool("futures", 1, memory=1_000_000_000) as pool:
        assert pool.submit(len, bytes(10)).result() == 10
        with pytest.raises(MemoryError):
            pool.submit(bytes, 2_000_000_000).result()
