"""Where chunks run: in this process, in a pool of processes, or on a dask cluster.

All three are one coffea executor, so that results come in the order of the chunks and are the same to the last bit
whatever the executor and the number of workers. A failure in a worker is a value that says what failed.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from coffea.processor.executor import ExecutorBase, WorkItem
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ptmiss.errors import ChunkError, OptionError, PtmissError, UnknownName

KINDS = ("iterative", "futures", "dask")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """What went wrong with one chunk, as a worker tells it."""

    message: str
    traceback: str


@dataclass
class OrderedExecutor(ExecutorBase):
    """A coffea executor that hands each chunk's output to a sink, in the order of the chunks.

    pool: where to run; None runs here, one chunk after the other.
    sink: called with each work item and the output of its chunk.
    """

    pool: futures.Executor | None = None
    sink: Callable[[WorkItem, dict[str, Any]], None] | None = None

    def __call__(
        self, items: Sequence[WorkItem], function: Callable[[WorkItem], dict[str, Any]], accumulator: Any
    ) -> tuple[dict[str, Any], int]:
        """Run the function on all items; coffea's interface."""
        if self.sink is None:
            raise ValueError("an OrderedExecutor needs a sink")
        with progress_bar() as bar:
            task = bar.add_task(self.desc, total=sum(len(item) for item in items))
            results = completed(self.pool, Attempt(function), items)
            for item, result in zip(items, in_order(results), strict=True):
                if isinstance(result, Failure):
                    raise ChunkError(f"{describe(item)}: {result.message}") from WorkerTraceback(result.traceback)
                self.sink(item, result)
                bar.advance(task, len(item))
        return {"out": {}}, 0


class WorkerTraceback(Exception):  # noqa: N818  (an exception's cause, never raised by itself)
    """The traceback of a failure in a worker."""


@dataclass(frozen=True)
class Attempt:
    """A function whose exceptions become Failures, so that they cross from process to process whole."""

    function: Callable[[WorkItem], dict[str, Any]]

    def __call__(self, item: WorkItem) -> dict[str, Any] | Failure:
        """The function's result, or what went wrong."""
        try:
            return self.function(item)
        except Exception as error:  # noqa: BLE001  (a worker's failure is told by the driver)
            cause = root_cause(error)
            kind = "" if isinstance(cause, PtmissError) else f"{type(cause).__name__}: "
            lines = str(cause).splitlines() or ["no message"]
            return Failure(kind + lines[0], traceback.format_exc())


def root_cause(error: BaseException) -> BaseException:
    """The error that a chain of ``raise … from`` began with."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def describe(item: WorkItem) -> str:
    """A chunk in words."""
    return f"dataset {item.dataset!r}, {item.filename}, entries {item.entrystart} to {item.entrystop}"


def completed(
    pool: futures.Executor | None, function: Callable[[WorkItem], T], items: Iterable[WorkItem]
) -> Iterator[tuple[int, T]]:
    """Number and result of each item, as they complete; what has not begun is cancelled when the caller stops."""
    if pool is None:
        yield from enumerate(map(function, items))
        return
    pending = {pool.submit(function, item): number for number, item in enumerate(items)}
    try:
        for future in futures.as_completed(pending):
            yield pending[future], future.result()
    finally:
        for future in pending:
            future.cancel()


def in_order(results: Iterable[tuple[int, T]]) -> Iterator[T]:
    """Results by number, from 0 on, each as soon as all before it are there."""
    waiting: dict[int, T] = {}
    expected = 0
    for number, result in results:
        waiting[number] = result
        while expected in waiting:
            yield waiting.pop(expected)
            expected += 1


@contextmanager
def pool(kind: str, workers: int, scheduler: str | None = None) -> Iterator[futures.Executor | None]:
    """A pool of the kind asked for: None for ``iterative``.

    Each worker may use its share of this machine's cores. scheduler: address of a running dask cluster, else a local
    one is made.
    """
    if kind not in KINDS:
        raise UnknownName("executor", kind, KINDS)
    if workers < 1:
        raise OptionError(f"--workers {workers}: expected at least 1")
    with ExitStack() as stack:
        match kind:
            case "iterative":
                yield None
            case "futures":
                from loky import ProcessPoolExecutor

                threads = str(max(1, (os.cpu_count() or 1) // workers))
                yield stack.enter_context(ProcessPoolExecutor(workers, env=dict.fromkeys(THREADS, threads)))
            case "dask":
                yield _dask(stack, workers, scheduler).get_executor(retries=0)


def _dask(stack: ExitStack, workers: int, scheduler: str | None) -> Any:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise OptionError("--executor dask needs the package distributed: pip install 'ptmiss[dask]'") from error
    if scheduler is not None:
        try:
            return stack.enter_context(Client(scheduler, timeout=10))
        except OSError as error:
            raise OptionError(f"no dask scheduler answers at {scheduler}") from error
    cluster = stack.enter_context(LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None))
    return stack.enter_context(Client(cluster))


class Rate(ProgressColumn):
    """Events a second."""

    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        return Text(f"{task.speed:.3g}/s" if task.speed else "")


def progress_bar(unit: str = "events") -> Progress:
    """A bar with the units done, their rate and the time left, on a terminal; nothing elsewhere."""
    left = (TextColumn("left"), TimeRemainingColumn())
    return Progress(
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit), Rate(), *left),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


def shown_by(bar: Progress) -> Callable[[str, int, int], None]:
    """What to call with a name, the events done and all events: each name gets a line of the bar."""
    tasks: dict[str, TaskID] = {}

    def show(name: str, done: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name)
        bar.update(tasks[name], completed=done, total=total)

    return show
