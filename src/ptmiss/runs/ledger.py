"""What a run counts and what it leaves out, kept on disk as it grows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from coffea.processor import ProcessorABC
from numpy.typing import NDArray

from ptmiss.errors import FileError, OptionError
from ptmiss.events import EventFile, event_weight
from ptmiss.files import write_atomically
from ptmiss.normalisation import Skipped
from ptmiss.runs.chunks import Ids
from ptmiss.runs.failures import Kind
from ptmiss.runs.generated import copies
from ptmiss.selections import own_events

EVENT_ID = ("run", "luminosityBlock", "event")
AT_ONCE = 16_000_000  # event fingerprints compared at a time: 128 MB


@dataclass
class Ledger:
    """What was skipped, and which chunks were cut in halves; kept on disk as it grows."""

    path: Path
    skipped: list[Skipped] = field(default_factory=list)
    halved: list[list[Any]] = field(default_factory=list)  # dataset, path, start, stop

    def save(self) -> None:
        """Write it whole."""
        content = {"skipped": [asdict(entry) for entry in self.skipped], "halved": self.halved}
        write_atomically(self.path, json.dumps(content, indent=1) + "\n")

    def of(self, dataset: str) -> list[Skipped]:
        """What was skipped of a dataset."""
        return [entry for entry in self.skipped if entry.dataset == dataset]


def read(path: Path) -> Ledger:
    """A ledger from its file; an empty one if there is none."""
    try:
        content = json.loads(path.read_text())
        return Ledger(path, [Skipped(**entry) for entry in content["skipped"]], content["halved"])
    except FileNotFoundError:
        return Ledger(path)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FileError(f"{path} is not a readable ledger: {error}") from error


class Counted(ProcessorABC):
    """A processor that also counts the events it is given, their weights and their numbers."""

    def __init__(self, processor: ProcessorABC):
        self.processor = processor

    def process(self, events: Any) -> dict[str, Any]:
        """The processor's output as ``out``, with ``events``, ``sumw``, ``ids`` and ``sections``.

        Events that the fileset's triggers leave to another primary dataset have no ``ids``.
        """
        out = self.processor.process(events)
        if not isinstance(out, Mapping):
            raise OptionError(f"a processor must return a dictionary, not {type(out).__name__}")
        if isinstance(inner := out.get(events.metadata["dataset"]), Mapping) and len(out) == 1:
            out = inner  # outputs are kept by dataset anyway
        weights = getattr(self.processor, "generator_weight", event_weight)(events)
        sumw = float(weights.sum())
        prints = {"ids": event_ids(events, own_events(events)), "sections": section_ids(events)}
        return {"out": out, "events": len(events), "sumw": sumw, **prints}

    def postprocess(self, accumulator: Any) -> Any:
        """Nothing is left to do."""
        return accumulator


def event_ids(events: Any, chosen: NDArray[np.bool_] | slice = slice(None)) -> Ids:
    """A 64-bit fingerprint of run, luminosity section and number of each event, sorted; none if a file has no such."""
    prints = _prints(events, EVENT_ID)
    return np.sort(prints[chosen]) if len(prints) else prints


def section_ids(events: Any) -> Ids:
    """Fingerprints of the luminosity sections of events, each once, sorted; none if a file has no such."""
    return np.unique(_prints(events, EVENT_ID[:2]))


def _prints(events: Any, names: Sequence[str]) -> Ids:
    if not all(name in events.fields for name in names):
        return np.zeros(0, np.uint64)
    mixed = np.zeros(len(events), np.uint64)
    for name in names:
        mixed = _mix(mixed ^ np.asarray(events[name]).astype(np.uint64))
    return mixed


def _mix(values: Ids) -> Ids:
    """SplitMix64 (Steele, Lea, Flood 2014): neighbours come far apart, and no two values the same."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class Part(NamedTuple):
    """A finished chunk, or a part of one."""

    dataset: str
    path: str
    address: str


def repeated_ids(parts: Sequence[Any], load: Any, events: int) -> Ids:
    """Fingerprints that occur more than once in the parts, each of which ``load`` gives sorted.

    They are compared in slices of their range, so memory does not grow with the number of events.
    """
    slices = -(-events // AT_ONCE)
    edges = [np.uint64(i * (2**64 // slices)) for i in range(slices)]
    found = [_repeated([_within(load(part), edges, i) for part in parts]) for i in range(slices)]
    return np.concatenate(found) if found else np.zeros(0, np.uint64)


def _within(ids: Ids, edges: Sequence[np.uint64], i: int) -> Ids:
    stop = np.searchsorted(ids, edges[i + 1]) if i + 1 < len(edges) else len(ids)
    return ids[np.searchsorted(ids, edges[i]) : stop]


def _repeated(parts: Iterable[Ids]) -> Ids:
    ids = np.sort(np.concatenate(list(parts)))
    return np.unique(ids[1:][ids[1:] == ids[:-1]])


def duplicates(parts: Sequence[Part], load: Callable[[str], Ids], events: int) -> dict[str, dict[str, Any]]:
    """Of each dataset how many events are there more than once in all parts, in which of its files, and where else."""
    found = repeated_ids([part.address for part in parts], load, events)
    out: dict[str, dict[str, Any]] = {}
    if len(found):
        twice = {part: found[np.isin(found, load(part.address))] for part in parts}
        there = {part: ids for part, ids in twice.items() if len(ids)}
        out = {name: _of_dataset(name, there) for name in {part.dataset for part in parts}}
    return {name: record for name, record in out.items() if record}


def _of_dataset(name: str, twice: Mapping[Part, Ids]) -> dict[str, Any]:
    own = {part: ids for part, ids in twice.items() if part.dataset == name}
    if not own:
        return {}
    events = np.unique(np.concatenate(list(own.values())))
    others = {p.dataset for p, ids in twice.items() if p.dataset != name and np.isin(ids, events).any()}
    record = {"events": len(events), "files": sorted({part.path for part in own})}
    return {**record, "datasets": sorted(others)} if others else record


def same_sections(parts: Sequence[Part], load: Callable[[str], Ids]) -> dict[str, dict[str, int]]:
    """Of each dataset how many luminosity sections it has in common with each other one that shares some."""
    names = dict.fromkeys(part.dataset for part in parts)
    if len(names) < 2:
        return {}
    every = {name: [load(part.address) for part in parts if part.dataset == name] for name in names}
    sections = {name: np.unique(np.concatenate(found)) for name, found in every.items()}
    common = {(a, b): len(np.intersect1d(sections[a], sections[b])) for a in names for b in names if a != b}
    return {a: {b: common[a, b] for b in names if a != b and common[a, b]} for a in names}


def generated(files: Sequence[EventFile], read: Mapping[str, float]) -> dict[str, Any] | None:
    """What the files of a dataset say was generated; None if none says it.

    read: sum of weights that was read of each file, which counts where a file does not say it. Files that have the sums
    of another, of which they are a part, are ``copies`` and do not count again.
    """
    told = {file.path: file.generated for file in files if file.generated}
    if not told:
        return None
    again = copies(files)
    once = [each for path, each in told.items() if path not in again]
    counts = [each.events for each in once]
    return {
        "files": len(told),
        "of": len(files),
        "events": None if None in counts else sum(count for count in counts if count is not None),
        "sumw": math.fsum(each.sumw for each in once),
        "elsewhere": math.fsum(sumw for path, sumw in read.items() if path not in told),
        "copies": again,
    }


def empty(dataset: str, path: str) -> Skipped:
    """The entry of a file that has no events: nothing is missing without it."""
    return Skipped(dataset, path, None, None, 0, Kind.FILE, "it has no events")
