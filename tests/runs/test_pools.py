import os
import time

import pytest

from ptmiss.errors import Interrupted, OptionError, UnknownName
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
def test_no_dask_scheduler_there(monkeypatch):
    monkeypatch.setattr(pools, "ANSWER", 1)
    with pytest.raises(OptionError, match="no dask scheduler answers"), pools.pool("dask", 1, "tcp://127.0.0.1:1"):
        pass


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_scheduler_that_goes_away_is_said_in_one_line():
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        client = Client(cluster)
        pool = pools.Cluster(client)
        assert pool.size == 1
        future = pool.submit(time.sleep, 7200)
    with pytest.raises(Interrupted, match="scheduler is gone; the same command with --resume continues the run"):
        pool.diagnose(future.exception(600))
    pool.close()


@pytest.mark.slow
def test_a_process_may_have_so_much_memory_and_no_more():
    with pools.pool("futures", 1, memory=1_000_000_000) as pool:
        assert pool.submit(len, bytes(10)).result() == 10
        with pytest.raises(MemoryError):
            pool.submit(bytes, 2_000_000_000).result()


class Workers:
    """A dask client whose workers answer what they are told to."""

    def __init__(self, **answers):
        self.answers = answers

    def run(self, function, on_error):
        return {"tcp://a:1": function(), **self.answers}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (pools.environment() | {"numpy": "1.0"}, r"the worker b has numpy 1.0, this process 2.*: expected the same"),
        (pools.environment() | {"torch": None, "numpy": "1.0"}, "has numpy 1.0"),
        ({k: v for k, v in pools.environment().items() if k != "hist"}, "has hist not at all, this process"),
        (
            ModuleNotFoundError("No module named 'ptmiss'"),
            "the worker b cannot import ptmiss: ModuleNotFoundError: No mod",
        ),
    ],
)
def test_a_worker_with_other_packages_is_refused(answer, words):
    pools.require_same_versions(Workers(b=pools.environment()))
    with pytest.raises(OptionError, match=words):
        pools.require_same_versions(Workers(b=answer))
