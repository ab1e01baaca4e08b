"""The common options of ``run`` and ``skim``, with the same names in Python as on the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ptmiss.runs import memory as budgets
from ptmiss.runs.failures import Policy
from ptmiss.runs.limits import Limits
from ptmiss.runs.pools import pool


@dataclass(frozen=True)
class RunOptions:
    """Where and how chunks are processed.

    Attributes:
        executor: ``iterative``, ``futures`` or ``dask``.
        workers: number of processes, for futures or a local dask cluster.
        scheduler: URL of a running dask scheduler, or file of a job queue.
        chunksize: most events of a chunk; None for 50000, or fewer if the events are large.
        memory: memory of each worker, such as ``2GB``; the chunk size is chosen to fit.
        retries: attempts after a failure to read.
        timeout: most seconds for a chunk.
        redirectors: other servers of remote files, ``root://HOST/`` each, asked in this order where one has them not.
        skip_bad_files: leave out what cannot be read; the ledger lists it.
        limit_files: a trial of the first files of each dataset, so many.
        limit_chunks: a trial of the first chunks of each dataset, so many.
    """

    executor: str = "iterative"
    workers: int = 2
    scheduler: str | None = None
    chunksize: int | None = None
    memory: str | None = None
    retries: int = 2
    timeout: float | None = None
    redirectors: Sequence[str] = ()
    skip_bad_files: bool = False
    limit_files: int | None = None
    limit_chunks: int | None = None

    @contextmanager
    def open(self) -> Iterator[dict[str, Any]]:
        """The arguments for ptmiss.runs.runner.run and ptmiss.runs.skim.skim; the pool is open within the block."""
        budget = None if self.memory is None else budgets.parse(self.memory)
        policy = Policy(self.retries, self.timeout, self.skip_bad_files, tuple(self.redirectors))
        with pool(self.executor, self.workers, self.scheduler, budget) as workers:
            how = {"pool": workers, "chunksize": self.chunksize, "budget": budget, "policy": policy}
            yield {**how, "limits": Limits(self.limit_files, self.limit_chunks)}
