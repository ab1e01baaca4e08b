"""Where and how chunks are run: the options that run and skim share, in Python as on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ptmiss.runs import memory as budgets
from ptmiss.runs.failures import Policy
from ptmiss.runs.pools import pool


@dataclass(frozen=True)
class RunOptions:
    """Where and how chunks are run.

    executor: ``iterative``, ``futures`` or ``dask``. workers: processes of futures or of a local cluster. scheduler: a
    running dask scheduler's URL, or a job queue's file. chunksize: events at a time, at most; None for 50000, fewer if
    they are large. memory: of each worker, such as ``2GB``. retries: after a failure to read. timeout: s for each chunk.
    skip_bad_files: leave out what cannot be read, and say so.
    """

    executor: str = "iterative"
    workers: int = 2
    scheduler: str | None = None
    chunksize: int | None = None
    memory: str | None = None
    retries: int = 2
    timeout: float | None = None
    skip_bad_files: bool = False

    @contextmanager
    def opened(self) -> Iterator[dict[str, Any]]:
        """What ptmiss.runs.runner.run and ptmiss.runs.skim.skim take, with the pool open until the end of the block."""
        budget = None if self.memory is None else budgets.parse(self.memory)
        policy = Policy(self.retries, self.timeout, self.skip_bad_files)
        with pool(self.executor, self.workers, self.scheduler, budget) as workers:
            yield {"pool": workers, "chunksize": self.chunksize, "budget": budget, "policy": policy}
