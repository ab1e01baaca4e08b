"""How many events fit into a memory budget, from what a few of them need.

The processor is run on a hundred, then on four hundred events of the largest file, with Python's own record of allocated
memory. The difference of the two peaks is what an event takes, columns and all that is made of them; what is left of the
first peak is there whatever the number of events (histograms, a basket of each column). To both comes what this process
holds already. Half of the rest of the budget is used: allocations of compiled code are not on the record, and memory is
given back late. The answer is rounded down to 1, 2 or 5 times a power of ten, so that it is the same the next time.
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
CHUNKSIZE, SIZE = 50_000, 500e6  # events of a chunk, and their bytes uncompressed, without a budget
USED = 0.5


def parse(text: str) -> int:
    """Bytes in a text such as 2GB or 1500MiB."""
    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        raise OptionError(f"--memory {text}: expected a size such as 2GB or 1500MB") from None


@dataclass
class Probe(ExecutorBase):
    """A coffea executor that runs each item and keeps the peak of the memory that it took, in bytes."""

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


def needed(processor: ProcessorABC, source: InputFile) -> tuple[float, float]:
    """Bytes that a chunk takes whatever its size, and bytes that each event takes, measured on a file."""
    more = min(MORE, source.file.entries)
    few = max(1, more * FEW // MORE)
    [whole] = source.chunks(source.file.entries)
    items = [replace(whole, entrystop=n) for n in (few, few, more)]  # the first time something is always set up
    probe = Probe()
    Runner(probe, schema=EventSchema, format=source.file.format, savemetrics=True).run(items, processor)
    _, first, second = probe.peaks
    slope = max(second - first, 0) / max(more - few, 1)
    return max(first - slope * few, 0.0), max(slope, 1.0)


def chunksize(budget: int, processor: ProcessorABC, sources: Sequence[InputFile]) -> int:
    """Events at a time that need about half of a budget in bytes; OptionError if there is room for none."""
    fixed, event = needed(processor, max(sources, key=lambda source: source.file.entries))
    held = psutil.Process().memory_info().rss
    room = USED * (budget - held) - fixed
    if room < event:
        raise OptionError(
            f"--memory {budget / 1e6:.0f}MB is too little: {held / 1e6:.0f} MB are taken by the program, "
            f"{fixed / 1e6:.0f} MB by any chunk and {event / 1e6:.2g} MB by each event"
        )
    return rounded(room / event)


def default(sources: Sequence[InputFile]) -> int:
    """Events at a time without a budget: at most CHUNKSIZE, and SIZE bytes of the largest."""
    event = max((source.file.size / max(source.file.entries, 1) for source in sources), default=0)
    return rounded(max(min(CHUNKSIZE, SIZE / event), 1)) if event else CHUNKSIZE


def rounded(number: float) -> int:
    """1, 2 or 5 times a power of ten, at most the number (1 or more)."""
    digits = 10 ** (len(str(int(number))) - 1)
    return max(step * digits for step in (1, 2, 5) if step * digits <= int(number))
