"""The workers of a dask cluster: of this machine, of a scheduler that runs somewhere, or of jobs in a queue.

Workers elsewhere may come and go. Each has to have the packages of this process, and gets the user's modules that the
processor imports.
"""

from __future__ import annotations

import logging
import platform
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from coffea.processor import ProcessorABC
from distributed import Client, KilledWorker, LocalCluster, Worker, WorkerPlugin

from ptmiss.errors import Interrupted, OptionError
from ptmiss.files import digest
from ptmiss.files.provenance import version_of, versions
from ptmiss.processes import share, threads
from ptmiss.progress import log
from ptmiss.runs import dependencies, queues
from ptmiss.version import __version__

GONE = "the dask scheduler is gone; the same command with --resume continues the run"
ANSWER = 10.0  # s to wait for a scheduler's answer
PATIENCE = 60.0  # s without any worker until a line says so
MODULES = "ptmiss-modules"


class Cluster:
    """The workers of a dask client.

    owned: what to close with it. remote: whether workers may have other packages. state: what is known of workers that
    do not come.
    """

    def __init__(
        self,
        client: Any,
        *owned: Any,
        remote: bool = False,
        state: Callable[[], str] = lambda: "the scheduler has none",
    ):
        self._client, self._owned, self._is_remote, self._state = client, owned, remote, state
        self._seen = time.monotonic()  # when there was a worker, or a line that there is none
        self._futures: dict[Future, Any] = {}
        self._known: set[str] = set()
        self._packages: tuple[str, ...] = ()
        for name in ("distributed", "distributed.client"):  # what matters of it is said here, in a line
            logging.getLogger(name).setLevel(logging.CRITICAL)
        log.info("dashboard: %s", client.dashboard_link)

    @property
    def size(self) -> int:
        """Number of threads of all present workers; Interrupted if the scheduler is gone."""
        try:
            found = self._client.nthreads()
        except OSError as error:
            raise Interrupted(GONE) from error
        if self._is_remote and (new := found.keys() - self._known):
            require_same_versions(self._client, sorted(new), self._packages)
            self._known |= new
        self._warn_without(found)
        return sum(found.values())

    def _warn_without(self, workers: Collection[str]) -> None:
        now = time.monotonic()
        if not workers and now - self._seen > PATIENCE:
            log.warning("no worker for %.0f s: %s", now - self._seen, self._state())
        elif not workers:
            return
        self._seen = now

    def prepare(self, processor: ProcessorABC) -> None:
        """Send workers the user's modules that a processor imports, and remember the packages to compare."""
        if not self._is_remote:
            return
        needed = dependencies.of(processor)
        self._packages = tuple(needed.packages)
        if modules := dependencies.archive(needed):
            self._client.register_plugin(Modules(modules), name=MODULES)

    def submit(self, function: Callable[[Any], Any], item: Any) -> Future:
        """Run a function on an item on one of the workers."""
        future: Future = Future()
        remote = self._client.submit(function, item, pure=False)
        self._futures[future] = remote
        remote.add_done_callback(lambda done: self._settle(future, done))
        return future

    def _settle(self, future: Future, done: Any) -> None:
        if self._futures.pop(future, None) is None:
            return
        try:
            future.set_result(done.result())
        except BaseException as error:  # noqa: BLE001  (raised again where the result is read)
            future.set_exception(error)

    def interrupt(self, future: Future) -> bool:
        """Restart the worker that has this chunk."""
        remote = self._futures.pop(future)
        workers = [address for address, keys in self._client.processing().items() if remote.key in keys]
        remote.cancel()
        with suppress(ValueError):  # a worker without a nanny cannot be restarted
            self._client.restart_workers(workers, raise_for_error=False)
        return False

    def diagnose(self, error: BaseException) -> tuple[bool, bool]:
        """See Pool. The scheduler itself finds the chunk that kills its workers, after some attempts."""
        if isinstance(error, CancelledError):
            raise Interrupted(GONE) from error
        return isinstance(error, KilledWorker), False

    def close(self, kill: bool = False) -> None:
        """Close the client, and the cluster if it was made here."""
        for part in (self._client, *self._owned):
            part.close()


class Modules(WorkerPlugin):
    """A user's modules on a worker, in place of those that an earlier run sent. archive: a zip file's content."""

    name = MODULES

    def __init__(self, archive: bytes):
        self.archive = archive

    def setup(self, worker: Worker) -> None:
        """Write the archive beside the worker's own files, and import from it."""
        path = Path(worker.local_directory) / f"{MODULES}-{digest(self.archive)[:16]}.zip"
        path.write_bytes(self.archive)
        sys.path[:] = [str(path), *(place for place in sys.path if not Path(place).name.startswith(MODULES))]
        for name in dependencies.names(self.archive):
            sys.modules.pop(name, None)


def local(workers: int, memory: int | None) -> Cluster:
    """A cluster of this machine; memory: most bytes for a worker."""
    options: dict[str, Any] = {"memory_limit": memory} if memory else {}
    cluster = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
        env=threads(share(workers)),
        **options,
    )
    return Cluster(Client(cluster), cluster)


def remote(scheduler: str) -> Cluster:
    """The cluster of a scheduler's address, or of a queue's file, see ptmiss.runs.queues."""
    place = (
        queues.read(Path(scheduler))
        if scheduler.endswith(".toml")
        else queues.Scheduler.model_validate({"address": scheduler})
    )
    if isinstance(place, queues.Scheduler):
        return Cluster(connect(place), remote=True)
    cluster = place.cluster()
    return Cluster(Client(cluster), cluster, remote=True, state=partial(place.state, cluster))


def connect(scheduler: queues.Scheduler) -> Client:
    """A client of a running scheduler; OptionError if none answers."""
    try:
        return Client(scheduler.address, timeout=ANSWER, security=scheduler.security())
    except (OSError, ValueError, TypeError) as error:
        raise OptionError(f"no dask scheduler answers at {scheduler.address}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """The first cause of an error, in a line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error) or type(error).__name__).splitlines()[0]


def require_same_versions(client: Any, workers: Iterable[str], packages: Sequence[str] = ()) -> None:
    """Raise OptionError if a worker computes with other packages: it would give other bits.

    packages: also those that a processor imports.
    """
    own = environment(packages)
    answers = client.run(environment, packages, workers=list(workers), on_error="return")
    for address, found in answers.items():
        if isinstance(found, OSError):
            continue  # it is gone
        if not isinstance(found, dict):
            raise OptionError(f"the worker {address} cannot import ptmiss: {type(found).__name__}: {found}")
        for name in sorted({*own, *found}):
            if own.get(name) != found.get(name):
                raise OptionError(
                    f"the worker {address} has {name} {found.get(name) or 'not at all'}, this process "
                    f"{own.get(name) or 'not at all'}: expected the same environment"
                )


def environment(packages: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python, ptmiss and the packages that a result depends on, and of others, of this process."""
    others = {name: found for name in packages if (found := version_of(name))}
    return {"python": platform.python_version(), "ptmiss": __version__, **versions(), **others}
