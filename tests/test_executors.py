import os

import pytest

from ptmiss import executors
from ptmiss.errors import OptionError, UnknownName


def test_kinds_of_pools():
    with executors.pool("iterative") as here:
        assert here.submit(str, 3).result() == "3"
    with pytest.raises(UnknownName, match="executor 'future', did you mean 'futures'"), executors.pool("future", 1):
        pass
    with pytest.raises(OptionError, match="--workers 0: expected at least 1"), executors.pool("futures", 0):
        pass


@pytest.mark.slow
def test_workers_share_the_cores():
    with executors.pool("futures", 2) as pool:
        threads = pool.submit(os.getenv, "OMP_NUM_THREADS").result()
    assert int(threads) == max(1, os.cpu_count() // 2)


@pytest.mark.slow
def test_no_dask_scheduler_there():
    with pytest.raises(OptionError, match="no dask scheduler answers"), executors.pool("dask", 1, "tcp://127.0.0.1:1"):
        pass
