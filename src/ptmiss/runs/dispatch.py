"""Chunks handed to a pool, one for each worker at a time, and what becomes of them: done, tried again, halved, skipped.

A chunk that was running when a worker died runs alone from then on, so that the one that kills workers is found; that
one, and one that does not fit in memory, is cut in halves, and these again, some times.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

from coffea.processor.executor import ExecutorBase, WorkItem

from ptmiss.errors import ChunkError
from ptmiss.runs.chunks import Chunk, Packed, pack
from ptmiss.runs.failures import Failure, Kind, Policy, failure_of
from ptmiss.runs.pools import Pool

DEATHS = 2  # of workers, until the chunk that they had is taken for the reason
HALVINGS = 4
PAUSE = 0.5  # s before the first new attempt, then twice as long each time
GRACE = 30.0  # s beyond a chunk's time until its worker is stopped: one that has just begun imports things first
TICK = 0.5  # s between two looks at the clock


@dataclass(frozen=True)
class Attempt:
    """What a worker does with a chunk: the function's result, packed, or what went wrong, as a value."""

    function: Callable[[WorkItem], dict[str, Any]]
    timeout: float | None = None

    def __call__(self, item: WorkItem) -> Packed | Failure:
        """The chunk, or a failure."""
        limit = TimeLimit(self.timeout)
        try:
            with limit.kept():
                return pack(chunk_of(self.function(item)))
        except (Exception, SystemExit) as error:  # noqa: BLE001  (a worker's failure is told by the driver)
            failure = failure_of(error)
            return replace(failure, kind=Kind.IO, message=str(limit)) if limit.expired else failure


def chunk_of(result: dict[str, Any]) -> Chunk:
    """What coffea gives for a processor that counts (see ptmiss.runs.ledger.Counted)."""
    metrics = result["metrics"]
    return Chunk(**result["out"], metrics={**metrics, "columns": sorted(metrics.get("columns", ()))})


@dataclass
class TimeLimit:
    """A number of seconds, kept by an alarm in the main thread of a process; elsewhere the driver keeps the time."""

    seconds: float | None
    expired: bool = False

    def __str__(self) -> str:
        return f"took longer than {self.seconds:g} s"

    @contextmanager
    def kept(self) -> Iterator[None]:
        """TimeoutError in the block when the time is over."""
        if self.seconds is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGALRM, self._expire)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _expire(self, _signal: int, _frame: FrameType | None) -> None:
        self.expired = True
        raise TimeoutError(str(self))


@dataclass
class Task:
    """A chunk on its way: what was tried, and when it may begin and has to end (by the monotonic clock)."""

    item: WorkItem
    attempts: int = 0
    deaths: int = 0
    halvings: int = 0
    begin: float = 0.0
    end: float = float("inf")


@dataclass(frozen=True)
class Done:
    """A chunk that is finished."""

    item: WorkItem
    packed: Packed


@dataclass(frozen=True)
class Retried:
    """A failure after which a chunk is tried again."""

    item: WorkItem
    failure: Failure


@dataclass(frozen=True)
class Halved:
    """A failure after which a chunk is cut in halves."""

    item: WorkItem
    failure: Failure
    halves: tuple[WorkItem, WorkItem]


@dataclass(frozen=True)
class SkippedChunk:
    """A failure that is tolerated: the run goes on without the chunk."""

    item: WorkItem
    failure: Failure


Event = Done | Retried | Halved | SkippedChunk


@dataclass
class PoolExecutor(ExecutorBase):
    """A coffea executor that tells a sink what becomes of each chunk, as it becomes known.

    pool: where to run; policy: what is done about failures.
    """

    pool: Pool | None = None
    policy: Policy = field(default_factory=Policy)
    sink: Callable[[Event], None] | None = None

    def __call__(
        self, items: Iterable[WorkItem], function: Callable[[WorkItem], dict[str, Any]], accumulator: Any
    ) -> tuple[dict[str, Any], int]:
        """Run the function on all items; coffea's interface."""
        if self.pool is None or self.sink is None:
            raise ValueError("a PoolExecutor needs a pool and a sink")
        for event in Dispatch(self.pool, Attempt(function, self.policy.timeout), self.policy).run(items):
            self.sink(event)
        return {"out": {}}, 0


class WorkerTraceback(Exception):  # noqa: N818  (an exception's cause, never raised by itself)
    """The traceback of a failure in a worker."""


def describe(item: WorkItem) -> str:
    """A chunk in words."""
    return f"dataset {item.dataset!r}, {item.filename}, entries {item.entrystart} to {item.entrystop}"


def halves(item: WorkItem) -> tuple[WorkItem, WorkItem]:
    """A chunk cut in the middle."""
    middle = (item.entrystart + item.entrystop) // 2
    return replace(item, entrystop=middle), replace(item, entrystart=middle)


class Dispatch:
    """Chunks on their way through a pool."""

    def __init__(self, pool: Pool, attempt: Callable[[WorkItem], Packed | Failure], policy: Policy):
        self.pool, self.attempt, self.policy = pool, attempt, policy
        self.waiting: deque[Task] = deque()
        self.running: dict[Future, Task] = {}

    def run(self, items: Iterable[WorkItem]) -> Iterator[Event]:
        """What becomes of each chunk; ChunkError at the first failure that is not tolerated."""
        self.waiting.extend(Task(item) for item in items)
        while self.waiting or self.running:
            self._fill()
            done, _ = wait(self.running, timeout=TICK, return_when=FIRST_COMPLETED)
            for future in done:
                if future in self.running:
                    yield from self._settle(future)
            yield from self._overdue()

    def _fill(self) -> None:
        """Hand out chunks while there are free workers."""
        size = self.pool.size
        while self.waiting and len(self.running) < self._room(size):
            task = self.waiting.popleft()
            time.sleep(max(0.0, task.begin - time.monotonic()))
            task.end = time.monotonic() + (self.policy.timeout or float("inf")) + GRACE
            self.running[self.pool.submit(self.attempt, task.item)] = task

    def _room(self, size: int) -> int:
        alone = any(task.deaths for task in (self.waiting[0], *self.running.values()))
        return min(size, 1) if alone else size

    def _settle(self, future: Future) -> Iterator[Event]:
        task = self.running.pop(future)
        try:
            outcome = future.result()
        except BaseException as error:
            died, together = self.pool.lost(error)
            if not died:
                raise
            yield from self._died(task, together)
            return
        if isinstance(outcome, Failure):
            yield from self._failed(task, outcome)
        else:
            yield Done(task.item, outcome)

    def _died(self, task: Task, together: bool) -> Iterator[Event]:
        """A worker died on a task; if the others died with it, theirs may have been the reason as well."""
        suspects = [task]
        if together:
            suspects += self.running.values()
            self.running.clear()
        for suspect in reversed(suspects):
            suspect.deaths += 1 if together else DEATHS
            yield from self._failed(suspect, Failure(Kind.WORKER, "its worker died (killed, or out of memory)"))

    def _overdue(self) -> Iterator[Event]:
        """Stop what takes too long and did not stop by itself."""
        now = time.monotonic()
        late = [future for future, task in self.running.items() if task.end < now]
        for future in late:
            if future not in self.running:
                continue
            task = self.running.pop(future)
            if self.pool.interrupt(future):
                self.waiting.extendleft(reversed(self.running.values()))
                self.running.clear()
            yield from self._failed(task, Failure(Kind.IO, str(TimeLimit(self.policy.timeout))))

    def _failed(self, task: Task, failure: Failure) -> Iterator[Event]:
        too_large = failure.kind is Kind.MEMORY or task.deaths >= DEATHS
        if failure.kind is Kind.WORKER and not too_large:
            self.waiting.appendleft(task)
            yield Retried(task.item, failure)
        elif failure.kind is Kind.IO and task.attempts < self.policy.retries:
            task.begin = time.monotonic() + PAUSE * 2**task.attempts
            task.attempts += 1
            self.waiting.append(task)
            yield Retried(task.item, failure)
        elif too_large and task.halvings < HALVINGS and len(task.item) > 1:
            parts = halves(task.item)
            self.waiting.extendleft(Task(part, halvings=task.halvings + 1) for part in reversed(parts))
            yield Halved(task.item, failure, parts)
        elif self.policy.tolerates(failure):
            yield SkippedChunk(task.item, failure)
        else:
            hint = "" if failure.kind is Kind.USER else " (--skip-bad-files goes on without it)"
            raise ChunkError(f"{describe(task.item)}: {failure.message}{hint}") from WorkerTraceback(failure.traceback)
