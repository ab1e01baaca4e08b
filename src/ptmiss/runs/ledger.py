"""What a run counts and what it leaves out, kept on disk as it grows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from coffea.processor import ProcessorABC

from ptmiss.errors import FileError, OptionError
from ptmiss.events import event_weight
from ptmiss.files import write_atomically
from ptmiss.normalisation import Skipped
from ptmiss.runs.chunks import Ids
from ptmiss.runs.failures import Kind

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
        """The processor's output as ``out``, with ``events``, ``sumw`` and ``ids``."""
        out = self.processor.process(events)
        if not isinstance(out, Mapping):
            raise OptionError(f"a processor must return a dictionary, not {type(out).__name__}")
        sumw = float(event_weight(events).sum())
        return {"out": out, "events": len(events), "sumw": sumw, "ids": event_ids(events)}

    def postprocess(self, accumulator: Any) -> Any:
        """Nothing is left to do."""
        return accumulator


def event_ids(events: Any) -> Ids:
    """A 64-bit fingerprint of run, luminosity section and number of each event, sorted; none if a file has no such."""
    if not all(name in events.fields for name in EVENT_ID):
        return np.zeros(0, np.uint64)
    mixed = np.zeros(len(events), np.uint64)
    for name in EVENT_ID:
        mixed = _mix(mixed ^ np.asarray(events[name]).astype(np.uint64))
    return np.sort(mixed)


def _mix(values: Ids) -> Ids:
    """SplitMix64 (Steele, Lea, Flood 2014): neighbours come far apart, and no two values the same."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def duplicated(parts: Sequence[Any], load: Any, events: int) -> Ids:
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


def empty(dataset: str, path: str) -> Skipped:
    """The entry of a file that has no events: nothing is missing without it."""
    return Skipped(dataset, path, None, None, 0, Kind.FILE, "it has no events")
