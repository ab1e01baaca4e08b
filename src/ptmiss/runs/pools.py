"""Where chunks run: in this process, in a pool of processes, on a dask cluster. All three are used alike.

A pool takes as many chunks at a time as it has workers, so that what a dying worker takes with it is known. Each worker
may use its share of this machine's cores.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from ptmiss.errors import Interrupted, OptionError, UnknownName
from ptmiss.runs import queues
from ptmiss.runs.queues import THREADS

KINDS = ("iterative", "futures", "dask")

GONE = "the dask scheduler is gone; the same command with --resume goes on"
ANSWER = 10.0  # s for a scheduler to answer
WATCH = 1.0  # s between two looks of a worker for its driver

Call = Callable[[Any], Any]


class Pool(Protocol):
    """Where chunks run."""

    @property
    def size(self) -> int:
        """Chunks that it takes at a time; 0 while no worker is there."""

    def submit(self, function: Call, item: Any) -> Future:
        """Run a function on an item."""

    def interrupt(self, future: Future) -> bool:
        """Stop what runs, at the cost of a worker; whether that took all other workers with it."""

    def lost(self, error: BaseException) -> tuple[bool, bool]:
        """Whether an error means that a worker died, and whether all others died with it."""

    def close(self, kill: bool = False) -> None:
        """Let the workers go, at once if they are to be killed."""


class InProcess:
    """This process: one chunk after the other."""

    size = 1

    def submit(self, function: Call, item: Any) -> Future:
        """Run a function on an item, now."""
        future: Future = Future()
        future.set_result(function(item))
        return future

    def interrupt(self, future: Future) -> bool:
        """Nothing runs between two calls."""
        return False

    def lost(self, error: BaseException) -> tuple[bool, bool]:
        """No worker can die."""
        return False, False

    def close(self, kill: bool = False) -> None:
        """Nothing is held."""


class Processes:
    """Processes of this machine. memory: bytes of data that each may have, None for no limit."""

    def __init__(self, workers: int, memory: int | None = None):
        self.size = workers
        self._memory = memory
        self._pool = self._start()

    def _start(self) -> Any:
        from loky import ProcessPoolExecutor

        environment = dict.fromkeys(THREADS, str(threads(self.size)))
        return ProcessPoolExecutor(self.size, env=environment, initializer=begin, initargs=(os.getpid(), self._memory))

    def submit(self, function: Call, item: Any) -> Future:
        """Run a function on an item in one of the processes."""
        try:
            return self._pool.submit(function, item)
        except BrokenExecutor:
            self._restart()
            return self._pool.submit(function, item)

    def interrupt(self, future: Future) -> bool:
        """Kill all processes, and start others."""
        self._restart()
        return True

    def _restart(self) -> None:
        self._pool.shutdown(kill_workers=True)
        self._pool = self._start()

    def lost(self, error: BaseException) -> tuple[bool, bool]:
        """A process that dies breaks the whole pool."""
        died = isinstance(error, BrokenExecutor)
        return died, died

    def close(self, kill: bool = False) -> None:
        """Let the processes go."""
        self._pool.shutdown(kill_workers=kill)


class Cluster:
    """The workers of a dask client."""

    def __init__(self, client: Any, *owned: Any):
        self._client, self._owned = client, owned
        self._remote: dict[Future, Any] = {}

    @property
    def size(self) -> int:
        """Threads of all workers that are there now; Interrupted if the scheduler is gone."""
        try:
            return sum(self._client.nthreads().values())
        except OSError as error:
            raise Interrupted(GONE) from error

    def submit(self, function: Call, item: Any) -> Future:
        """Run a function on an item on one of the workers."""
        future: Future = Future()
        remote = self._client.submit(function, item, pure=False)
        self._remote[future] = remote
        remote.add_done_callback(lambda done: self._settle(future, done))
        return future

    def _settle(self, future: Future, done: Any) -> None:
        if self._remote.pop(future, None) is None:
            return
        try:
            future.set_result(done.result())
        except BaseException as error:  # noqa: BLE001  (handed on to whoever asks for the result)
            future.set_exception(error)

    def interrupt(self, future: Future) -> bool:
        """Restart the worker that has this chunk."""
        remote = self._remote.pop(future)
        workers = [address for address, keys in self._client.processing().items() if remote.key in keys]
        remote.cancel()
        with suppress(ValueError):  # a worker without a nanny cannot be restarted
            self._client.restart_workers(workers, raise_for_error=False)
        return False

    def lost(self, error: BaseException) -> tuple[bool, bool]:
        """The scheduler says which chunk its workers die of, after some attempts of its own."""
        from distributed import KilledWorker

        if isinstance(error, CancelledError):
            raise Interrupted(GONE) from error
        return isinstance(error, KilledWorker), False

    def close(self, kill: bool = False) -> None:
        """Let the client go, and the cluster if it was made for it."""
        for part in (self._client, *self._owned):
            part.close()


def threads(workers: int) -> int:
    """A worker's share of the cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) // workers)


def begin(driver: int, memory: int | None) -> None:
    """Set up a worker: it ends with its driver, and has so many bytes of data and no more.

    MemoryError is better than to be killed by the system.
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
    """A pool of the kind asked for.

    scheduler: address of a running dask cluster, or the file of a job queue (see ptmiss.runs.queues), else a local cluster
    is made. memory: bytes that a worker of this machine may use.
    """
    if kind not in KINDS:
        raise UnknownName("executor", kind, KINDS)
    if workers < 1:
        raise OptionError(f"--workers {workers}: expected at least 1")
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


def _cluster(workers: int, scheduler: str | None, memory: int | None) -> Cluster:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise OptionError("--executor dask needs the package distributed: pip install 'ptmiss[dask]'") from error
    if scheduler is None:
        environment = dict.fromkeys(THREADS, str(threads(workers)))
        options: dict[str, Any] = {"memory_limit": memory} if memory else {}
        local = LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", env=environment, **options
        )
        return Cluster(Client(local), local)
    if scheduler.endswith(".toml"):
        queue = queues.read(Path(scheduler)).cluster()
        return Cluster(Client(queue), queue)
    try:
        return Cluster(Client(scheduler, timeout=ANSWER))
    except (OSError, ValueError) as error:
        raise OptionError(f"no dask scheduler answers at {scheduler}") from error
