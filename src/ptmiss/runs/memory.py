"""The number of events that fit into a memory budget, from a measurement on a few of them.

The processor runs on a hundred and on four hundred events of the largest file, while tracemalloc records the allocated
memory. The difference of the two peaks gives the memory of an event, with all arrays made of it. The rest of the first
peak does not depend on the number of events (histograms, a basket of each column). The process itself has some memory
already. Half of what remains of the budget is used, since tracemalloc does not see compiled code, and memory is
returned late. The result is rounded down to 1, 2 or 5 times a power of ten, so that a second measurement agrees.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psutil
from coffea.processor import ProcessorABC, Runner
from coffea.processor.executor import ExecutorBase, WorkItem
from pydantic import ByteSize, TypeAdapter, ValidationError

from ptmiss.errors import ChunkError, OptionError
from ptmiss.events import EventSchema
from ptmiss.runs.failures import failure_of
from ptmiss.runs.inputs import InputFile

FEW, MORE = 100, 400  # events
CHUNKSIZE, SIZE = 50_000, 500e6  # most events and most uncompressed bytes of a chunk without a budget
LEAST = 1_000_000  # bytes of a worker: less is a number without its unit
USED = 0.5  # share of the budget


def parse(text: str) -> int:
    """The number of bytes in a text such as 2GB or 1500MiB."""
    try:
        size = int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        size = 0
    if size < LEAST:
        raise OptionError(f"--memory {text}: expected a size such as 2GB or 1500MB")
    return size


@dataclass
class Probe(ExecutorBase):
    """A coffea executor that runs each item and records the peak of its memory, in bytes."""

    peaks: list[int] = field(default_factory=list)

    def __call__(self, items: Iterable[WorkItem], function: Callable[[WorkItem], Any], accumulator: Any) -> Any:
        """Run the function on all items; coffea's interface."""
        for item in items:
            tracemalloc.start()
            try:
                function(item)
                self.peaks.append(tracemalloc.get_traced_memory()[1])
            except Exception as error:
                where = f"dataset {item.dataset!r}, {item.filename}, entries {item.entrystart} to {item.entrystop}"
                raise ChunkError(f"{where}: {failure_of(error).message}") from error
            finally:
                tracemalloc.stop()
        return {"out": {}}, 0


def measure(processor: ProcessorABC, source: InputFile) -> tuple[float, float]:
    """Measure on a file the fixed memory of a chunk and the memory of each event, in bytes."""
    more = min(MORE, source.file.entries)
    few = max(1, more * FEW // MORE)
    [whole] = source.chunks(source.file.entries)
    items = [replace(whole, entrystop=n) for n in (few, few, more)]  # twice: the first run also sets things up
    probe = Probe()
    Runner(probe, schema=EventSchema, format=source.file.format, savemetrics=True).run(items, processor)
    _, first, second = probe.peaks
    slope = max(second - first, 0) / max(more - few, 1)
    return max(first - slope * few, 0.0), max(slope, 1.0)


def chunksize(budget: int, processor: ProcessorABC, sources: Sequence[InputFile]) -> int:
    """The number of events that need about half of a budget in bytes; OptionError if not even one fits."""
    fixed, event = measure(processor, max(sources, key=lambda source: source.file.entries))
    held = psutil.Process().memory_info().rss
    room = USED * (budget - held) - fixed
    if room < event:
        raise OptionError(
            f"--memory {budget / 1e6:.0f}MB is too little: the program needs {held / 1e6:.0f} MB, "
            f"a chunk {fixed / 1e6:.0f} MB and each event {event / 1e6:.2g} MB"
        )
    return round_down(room / event)


def default(sources: Sequence[InputFile]) -> int:
    """The chunk size without a budget: at most CHUNKSIZE events, and at most SIZE bytes of the largest events."""
    event = max((source.file.size / max(source.file.entries, 1) for source in sources), default=0)
    return round_down(max(min(CHUNKSIZE, SIZE / event), 1)) if event else CHUNKSIZE


def round_down(number: float) -> int:
    """The largest of 1, 2 and 5 times a power of ten that is not above the number, which is at least 1."""
    digits = 10 ** (len(str(int(number))) - 1)
    return max(step * digits for step in (1, 2, 5) if step * digits <= int(number))
