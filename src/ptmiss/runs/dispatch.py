"""Dispatch of chunks to a pool, one per worker at a time, with retries, halving and skipping.

When a process dies, all chunks that were running are suspects, because the whole pool breaks. Each suspect runs alone
from then on, so that the one that kills workers is found without harm to others. That chunk is halved, and so is one
that does not fit in memory: half of the events need about half of the memory. This is repeated a few times, until a
failure costs few events.
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

DEATHS = 2  # deaths after which a chunk is taken for the cause: at the first, any chunk of the pool may be
HALVINGS = 4
PAUSE = 0.5  # s before the first retry, doubled each time: a busy file server needs time to recover
GRACE = 30.0  # s beyond the time limit until a worker is stopped: a fresh one has to import packages first
TICK = 0.5  # s between two checks of the time limits


@dataclass(frozen=True)
class Attempt:
    """The work on a chunk, for a worker. It returns the packed result, or the failure as a value.

    Some exceptions cannot be pickled, and each pool would wrap them in its own way.
    """

    function: Callable[[WorkItem], dict[str, Any]]
    timeout: float | None = None

    def __call__(self, item: WorkItem) -> Packed | Failure:
        """The chunk, or a failure."""
        limit = TimeLimit(self.timeout)
        try:
            with limit.enforce():
                return pack(chunk_of(self.function(item)))
        except (Exception, SystemExit) as error:  # noqa: BLE001  (the driver reports a worker's failure)
            failure = failure_of(error)
            return replace(failure, kind=Kind.IO, message=str(limit)) if limit.expired else failure


def chunk_of(result: dict[str, Any]) -> Chunk:
    """The chunk from coffea's result for a processor that counts events (see ptmiss.runs.ledger.Counted)."""
    metrics = result["metrics"]
    return Chunk(**result["out"], metrics={**metrics, "columns": sorted(metrics.get("columns", ()))})


@dataclass
class TimeLimit:
    """A time limit in seconds, by an alarm signal in the main thread of a process.

    Signals reach no other thread. There the driver stops the worker, see GRACE.
    """

    seconds: float | None
    expired: bool = False

    def __str__(self) -> str:
        return f"took longer than {self.seconds:g} s"

    @contextmanager
    def enforce(self) -> Iterator[None]:
        """Raise TimeoutError in the block when the time is over."""
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
    """A chunk in progress: the attempts, and the times of the monotonic clock at which it may begin and must end."""

    item: WorkItem
    attempts: int = 0
    deaths: int = 0
    halvings: int = 0
    begin: float = 0.0
    end: float = float("inf")


@dataclass(frozen=True)
class Done:
    """A finished chunk."""

    item: WorkItem
    packed: Packed


@dataclass(frozen=True)
class Retried:
    """A failure after which a chunk is tried again."""

    item: WorkItem
    failure: Failure


@dataclass(frozen=True)
class Halved:
    """A failure after which a chunk is halved."""

    item: WorkItem
    failure: Failure
    halves: tuple[WorkItem, WorkItem]


@dataclass(frozen=True)
class SkippedChunk:
    """A tolerated failure: the run continues without the chunk."""

    item: WorkItem
    failure: Failure


Event = Done | Retried | Halved | SkippedChunk


@dataclass
class PoolExecutor(ExecutorBase):
    """A coffea executor that reports each event of a chunk to a sink at once.

    pool: the workers. policy: how failures are treated.
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
    """The traceback of a worker's failure, as the cause of the driver's error."""


def describe(item: WorkItem) -> str:
    """Dataset, file and entries of a chunk, for an error."""
    return f"dataset {item.dataset!r}, {item.filename}, entries {item.entrystart} to {item.entrystop}"


def halves(item: WorkItem) -> tuple[WorkItem, WorkItem]:
    """The two halves of a chunk."""
    middle = (item.entrystart + item.entrystop) // 2
    return replace(item, entrystop=middle), replace(item, entrystart=middle)


class Dispatch:
    """The dispatch of chunks to a pool. ``waiting`` is the queue, ``running`` has the chunks that workers have."""

    def __init__(self, pool: Pool, attempt: Callable[[WorkItem], Packed | Failure], policy: Policy):
        self.pool, self.attempt, self.policy = pool, attempt, policy
        self.waiting: deque[Task] = deque()
        self.running: dict[Future, Task] = {}

    def run(self, items: Iterable[WorkItem]) -> Iterator[Event]:
        """Process all chunks and yield their events; ChunkError at the first failure that is not tolerated."""
        self.waiting.extend(Task(item) for item in items)
        while self.waiting or self.running:
            self._fill()
            done, _ = wait(self.running, timeout=TICK, return_when=FIRST_COMPLETED)
            for future in done:
                if future in self.running:
                    yield from self._settle(future)
            yield from self._stop_overdue()

    def _fill(self) -> None:
        """Submit chunks while there are free workers."""
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
            died, together = self.pool.diagnose(error)
            if not died:
                raise
            yield from self._handle_death(task, together)
            return
        if isinstance(outcome, Failure):
            yield from self._handle_failure(task, outcome)
        else:
            yield Done(task.item, outcome)

    def _handle_death(self, task: Task, together: bool) -> Iterator[Event]:
        """Treat the death of a worker; if all died together, each running chunk may have been the cause."""
        suspects = [task]
        if together:
            suspects += self.running.values()
            self.running.clear()
        for suspect in reversed(suspects):
            suspect.deaths += 1 if together else DEATHS
            yield from self._handle_failure(suspect, Failure(Kind.WORKER, "its worker died (killed, or out of memory)"))

    def _stop_overdue(self) -> Iterator[Event]:
        """Stop the workers whose chunks are beyond the time limit and did not stop themselves."""
        now = time.monotonic()
        late = [future for future, task in self.running.items() if task.end < now]
        for future in late:
            if future not in self.running:
                continue
            task = self.running.pop(future)
            if self.pool.interrupt(future):
                self.waiting.extendleft(reversed(self.running.values()))
                self.running.clear()
            yield from self._handle_failure(task, Failure(Kind.IO, str(TimeLimit(self.policy.timeout))))

    def _handle_failure(self, task: Task, failure: Failure) -> Iterator[Event]:
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
            hint = "" if failure.kind is Kind.USER else " (--skip-bad-files continues without it)"
            raise ChunkError(f"{describe(task.item)}: {failure.message}{hint}") from WorkerTraceback(failure.traceback)
