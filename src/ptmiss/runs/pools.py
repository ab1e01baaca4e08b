"""Pools of workers with one interface: this process, several processes, or a dask cluster.

A pool takes as many chunks at a time as it has workers, so that the chunk of a worker that dies is known. Each worker
uses its share of the machine's cores.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from typing import Any, Protocol

from coffea.processor import ProcessorABC

from ptmiss.errors import OptionError, UnknownName
from ptmiss.processes import share, threads

KINDS = ("iterative", "futures", "dask")

WATCH = 1.0  # s between two checks by a worker that its driver is alive

Call = Callable[[Any], Any]


class Pool(Protocol):
    """Workers that process chunks."""

    @property
    def size(self) -> int:
        """Number of chunks at a time; 0 while there is no worker."""

    def prepare(self, processor: ProcessorABC) -> None:
        """Give the workers what a processor imports; called once before the first chunk."""

    def submit(self, function: Call, item: Any) -> Future:
        """Run a function on an item."""

    def interrupt(self, future: Future) -> bool:
        """Stop a running function together with its worker. Returns whether all other workers were stopped too."""

    def diagnose(self, error: BaseException) -> tuple[bool, bool]:
        """Whether an error means that a worker died, and whether all others died with it."""

    def close(self, kill: bool = False) -> None:
        """Release the workers; kill them if they may be busy."""


class InProcess:
    """A pool that is this process: one chunk after the other."""

    size = 1

    def prepare(self, processor: ProcessorABC) -> None:
        """All is there."""

    def submit(self, function: Call, item: Any) -> Future:
        """Run a function on an item at once."""
        future: Future = Future()
        future.set_result(function(item))
        return future

    def interrupt(self, future: Future) -> bool:
        """There is nothing to stop between two calls."""
        return False

    def diagnose(self, error: BaseException) -> tuple[bool, bool]:
        """No worker can die."""
        return False, False

    def close(self, kill: bool = False) -> None:
        """There is nothing to release."""


class Processes:
    """A pool of processes on this machine. memory: most bytes of data for each, None for no limit."""

    def __init__(self, workers: int, memory: int | None = None):
        self.size = workers
        self._memory = memory
        self._pool = self._start()

    def _start(self) -> Any:
        from loky import ProcessPoolExecutor

        environment = threads(share(self.size))
        return ProcessPoolExecutor(self.size, env=environment, initializer=begin, initargs=(os.getpid(), self._memory))

    def prepare(self, processor: ProcessorABC) -> None:
        """The processes import from where this one does."""

    def submit(self, function: Call, item: Any) -> Future:
        """Run a function on an item in one of the processes."""
        try:
            return self._pool.submit(function, item)
        except BrokenExecutor:
            self._restart()
            return self._pool.submit(function, item)

    def interrupt(self, future: Future) -> bool:
        """Kill all processes, and start new ones."""
        self._restart()
        return True

    def _restart(self) -> None:
        self._pool.shutdown(kill_workers=True)
        self._pool = self._start()

    def diagnose(self, error: BaseException) -> tuple[bool, bool]:
        """See Pool. When one process dies, the whole pool breaks."""
        died = isinstance(error, BrokenExecutor)
        return died, died

    def close(self, kill: bool = False) -> None:
        """Release the processes."""
        self._pool.shutdown(kill_workers=kill)


def begin(driver: int, memory: int | None) -> None:
    """Set up a worker, so that it ends with its driver and stays within its memory, in bytes.

    With the limit a chunk that is too large raises MemoryError. Without it, the system would kill the process.
    """
    threading.Thread(target=_watch, args=(driver,), daemon=True).start()
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _watch(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(WATCH)
    os._exit(1)


@contextmanager
def pool(kind: str, workers: int = 1, scheduler: str | None = None, memory: int | None = None) -> Iterator[Pool]:
    """A pool of a kind: ``iterative``, ``futures`` or ``dask``.

    scheduler: address of a running dask cluster, or file of a job queue (see ptmiss.runs.queues); None for a local
    cluster. memory: most bytes for a worker on this machine.
    """
    if kind not in KINDS:
        raise UnknownName("executor", kind, KINDS)
    if workers < 1:
        raise OptionError(f"--workers {workers}: expected at least 1")
    if scheduler is not None and kind != "dask":
        raise OptionError(f"--scheduler {scheduler} is of --executor dask, not of {kind}")
    opened = _open(kind, workers, scheduler, memory)
    try:
        yield opened
    except BaseException:
        opened.close(kill=True)
        raise
    opened.close()


def _open(kind: str, workers: int, scheduler: str | None, memory: int | None) -> Pool:
    match kind:
        case "iterative":
            return InProcess()
        case "futures":
            return Processes(workers, memory)
    return _cluster(workers, scheduler, memory)


def _cluster(workers: int, scheduler: str | None, memory: int | None) -> Pool:
    try:
        from ptmiss.runs import clusters
    except ImportError as error:
        raise OptionError("--executor dask needs the package distributed: pip install 'ptmiss[dask]'") from error
    return clusters.local(workers, memory) if scheduler is None else clusters.remote(scheduler)
