"""Pools of workers with one interface: this process, several processes, or a dask cluster.

A pool takes as many chunks at a time as it has workers, so that the chunk of a worker that dies is known. Each worker
uses its share of the machine's cores.
"""

from __future__ import annotations

import os
import platform
import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from ptmiss.errors import Interrupted, OptionError, UnknownName
from ptmiss.files.provenance import versions
from ptmiss.runs import queues
from ptmiss.runs.queues import THREADS
from ptmiss.version import __version__

KINDS = ("iterative", "futures", "dask")

GONE = "the dask scheduler is gone; the same command with --resume continues the run"
ANSWER = 10.0  # s to wait for a scheduler's answer
WATCH = 1.0  # s between two checks by a worker that its driver is alive

Call = Callable[[Any], Any]


class Pool(Protocol):
    """Workers that process chunks."""

    @property
    def size(self) -> int:
        """Number of chunks at a time; 0 while there is no worker."""

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


class Cluster:
    """The workers of a dask client. owned: what to close with it."""

    def __init__(self, client: Any, *owned: Any):
        self._client, self._owned = client, owned
        self._remote: dict[Future, Any] = {}

    @property
    def size(self) -> int:
        """Number of threads of all present workers; Interrupted if the scheduler is gone."""
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
        except BaseException as error:  # noqa: BLE001  (raised again where the result is read)
            future.set_exception(error)

    def interrupt(self, future: Future) -> bool:
        """Restart the worker that has this chunk."""
        remote = self._remote.pop(future)
        workers = [address for address, keys in self._client.processing().items() if remote.key in keys]
        remote.cancel()
        with suppress(ValueError):  # a worker without a nanny cannot be restarted
            self._client.restart_workers(workers, raise_for_error=False)
        return False

    def diagnose(self, error: BaseException) -> tuple[bool, bool]:
        """See Pool. The scheduler itself finds the chunk that kills its workers, after some attempts."""
        from distributed import KilledWorker

        if isinstance(error, CancelledError):
            raise Interrupted(GONE) from error
        return isinstance(error, KilledWorker), False

    def close(self, kill: bool = False) -> None:
        """Close the client, and the cluster if it was made here."""
        for part in (self._client, *self._owned):
            part.close()


def threads(workers: int) -> int:
    """A worker's share of the cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) // workers)


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


def _cluster(workers: int, scheduler: str | None, memory: int | None) -> Cluster:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise OptionError("--executor dask needs the package distributed: pip install 'ptmiss[dask]'") from error
    if scheduler is None:
        limits = dict.fromkeys(THREADS, str(threads(workers)))
        options: dict[str, Any] = {"memory_limit": memory} if memory else {}
        local = LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", env=limits, **options
        )
        return Cluster(Client(local), local)
    if scheduler.endswith(".toml"):
        queue = queues.read(Path(scheduler)).cluster()
        return Cluster(Client(queue), queue)
    try:
        client = Client(scheduler, timeout=ANSWER)
    except (OSError, ValueError) as error:
        raise OptionError(f"no dask scheduler answers at {scheduler}") from error
    require_same_versions(client)
    return Cluster(client)


def require_same_versions(client: Any) -> None:
    """Raise OptionError if a worker that is there computes with other packages: it would give other bits."""
    own = environment()
    for address, found in client.run(environment, on_error="return").items():
        if not isinstance(found, dict):
            raise OptionError(f"the worker {address} cannot import ptmiss: {type(found).__name__}: {found}")
        for name in sorted({*own, *found}):
            if own.get(name) != found.get(name):
                raise OptionError(
                    f"the worker {address} has {name} {found.get(name) or 'not at all'}, this process "
                    f"{own.get(name) or 'not at all'}: expected the same environment"
                )


def environment() -> dict[str, str]:
    """Versions of Python, ptmiss and the packages that a result depends on, of this process."""
    return {"python": platform.python_version(), "ptmiss": __version__, **versions()}
