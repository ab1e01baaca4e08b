"""The progress of a run: which planned chunks are finished, halved, skipped or missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from coffea.processor.executor import WorkItem

from ptmiss.normalisation import Skipped
from ptmiss.progress import progress_bar
from ptmiss.runs.addresses import Recipe, address
from ptmiss.runs.chunks import Chunk, concatenate, pack
from ptmiss.runs.directory import RunDirectory
from ptmiss.runs.dispatch import Done, Event, Halved, Retried, SkippedChunk, halves
from ptmiss.runs.failures import Failure

Sink = Callable[[WorkItem, Chunk | None], None]


class ChunkTracker:
    """Receives the events of the dispatch, stores finished chunks in the directory, and passes whole ones to a sink.

    plan: address of each planned chunk. The sink is called once for each planned chunk, in any order: with the sum of
    its parts if it was halved, and with None if it was skipped.
    """

    def __init__(self, directory: RunDirectory, recipe: Recipe, plan: Mapping[WorkItem, str], sink: Sink):
        self.directory, self.recipe, self.plan, self.sink = directory, recipe, plan, sink
        self.done = self.resumed = self.halved = 0
        self.stored: dict[WorkItem, list[str]] = {}  # addresses of the finished parts of each planned chunk
        self._whole: dict[WorkItem, WorkItem] = {}
        self._parts: dict[WorkItem, dict[int, tuple[str, Chunk] | None]] = {}
        self._expected: dict[WorkItem, int] = {}
        self._advance: Callable[[int, int], None] = lambda events, bytesread: None

    @contextmanager
    def show(self) -> Iterator[None]:
        """Show the progress on a terminal."""
        with progress_bar() as bar:
            task = bar.add_task("Processing", total=sum(map(len, self.plan)), bytesread=0, unit="events")

            def advance(events: int, bytesread: int) -> None:
                bar.update(task, advance=events, bytesread=bar.tasks[task].fields["bytesread"] + bytesread)

            self._advance = advance
            yield

    def resume_block(self, items: Sequence[WorkItem]) -> None:
        """Take chunks as finished whose sum is in the directory: the sink is not called with them."""
        for item in items:
            self.stored[item] = [self.plan[item]]
            self._advance(len(item), 0)
        self.done += len(items)
        self.resumed += len(items)

    def missing(self) -> list[WorkItem]:
        """The chunks to process. Those that are in the directory already go to the sink."""
        left = ((item, at) for item, at in self.plan.items() if item not in self.stored)
        return [piece for item, at in left for piece in self._pending(item, at)]

    def _pending(self, item: WorkItem, at: str) -> list[WorkItem]:
        pieces = [item] if at in self.directory.store else self._pieces(item)
        self._parts[item], self._expected[item] = {}, len(pieces)
        self._whole |= dict.fromkeys(pieces, item)
        return [piece for piece in pieces if not self._resume(piece)]

    def _pieces(self, item: WorkItem) -> list[WorkItem]:
        """A chunk, or the parts into which an earlier run halved it."""
        if _range_of(item) not in self.directory.ledger.halved:
            return [item]
        return [piece for half in halves(item) for piece in self._pieces(half)]

    def _resume(self, piece: WorkItem) -> bool:
        at = self._address(piece)
        if at not in self.directory.store:
            return False
        chunk = self.directory.store.load(at)
        if chunk is None:
            self.directory.log("damaged", **_place(piece), file=str(self.directory.store.path(at)))
            return False
        self.resumed += 1
        self._add(piece, (at, chunk))
        return True

    def receive(self, event: Event) -> None:
        """Record an event of a chunk."""
        match event:
            case Done(item, packed):
                at = self._address(item)
                self.directory.store.save(at, packed.content)
                chunk = packed.chunk
                self.directory.log("done", **_place(item), **_measures(chunk), stored=len(packed.content))
                self._add(item, (at, chunk))
            case Retried(item, failure):
                self.directory.log("retry", **_place(item), **_reason(failure))
            case Halved(item, failure, parts):
                self._halve(item, failure, parts)
            case SkippedChunk(item, failure):
                self._skip(item, failure)

    def _halve(self, item: WorkItem, failure: Failure, parts: Sequence[WorkItem]) -> None:
        self.halved += 1
        self.directory.ledger.halved.append(_range_of(item))
        self.directory.ledger.save()
        self.directory.log("halve", **_place(item), **_reason(failure))
        whole = self._whole.pop(item)
        self._whole |= dict.fromkeys(parts, whole)
        self._expected[whole] += 1

    def _skip(self, item: WorkItem, failure: Failure) -> None:
        place = (item.dataset, item.filename, item.entrystart, item.entrystop)
        self.directory.ledger.skipped.append(Skipped(*place, len(item), failure.kind, failure.message))
        self.directory.ledger.save()
        self.directory.log("skip", **_place(item), **_reason(failure))
        self._add(item, None)

    def _add(self, piece: WorkItem, found: tuple[str, Chunk] | None) -> None:
        self._advance(len(piece), found[1].metrics.get("bytesread", 0) if found else 0)
        whole = self._whole.pop(piece)
        self._parts[whole][piece.entrystart] = found
        if len(self._parts[whole]) == self._expected[whole]:
            self._finish(whole)

    def _finish(self, whole: WorkItem) -> None:
        parts = [part for _, part in sorted(self._parts.pop(whole).items())]
        there = [part for part in parts if part is not None]
        self.stored[whole] = [at for at, _ in there]
        chunk = concatenate([chunk for _, chunk in there]) if len(there) > 1 else there[0][1] if there else None
        if chunk and 1 < len(parts) == len(there):
            self.directory.store.save(self.plan[whole], pack(chunk).content)
            self.stored[whole] = [self.plan[whole]]
        self.done += bool(there)
        self.sink(whole, chunk)

    def _address(self, item: WorkItem) -> str:
        return self.plan.get(item) or address(self.recipe, item)


def _range_of(item: WorkItem) -> list[Any]:
    return [item.dataset, item.filename, item.entrystart, item.entrystop]


def _place(item: WorkItem) -> dict[str, Any]:
    return {"dataset": item.dataset, "path": item.filename, "start": item.entrystart, "stop": item.entrystop}


def _measures(chunk: Chunk) -> dict[str, Any]:
    return {"seconds": round(chunk.metrics["processtime"], 3), "bytesread": chunk.metrics.get("bytesread", 0)}


def _reason(failure: Failure) -> dict[str, str]:
    return {"kind": failure.kind, "reason": failure.message}
