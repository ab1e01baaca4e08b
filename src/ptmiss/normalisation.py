"""From sums of weights to a luminosity, and from a luminosity to the events that stand for it: the one place for both.

A dataset is what a manifest keeps of it: ``metadata`` (cross section in pb, luminosity in fb^-1) and ``ledger``, which
says what was read, skipped and found twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ptmiss.errors import LedgerError, OptionError

PER_FB = 1e3  # pb in fb^-1
RESCALE = "--rescale takes what is there for the whole"


@dataclass(frozen=True)
class Skipped:
    """A file or a range of its entries that a run went without; events is None where nobody can know it."""

    dataset: str
    path: str
    start: int | None
    stop: int | None
    events: int | None
    kind: str
    reason: str

    def __str__(self) -> str:
        where = "" if self.start is None else f", entries {self.start} to {self.stop}"
        events = "an unknown number of" if self.events is None else self.events
        return f"skipped {self.path}{where} of dataset {self.dataset!r}, {events} events: {self.reason}"


def factor(name: str, dataset: Mapping[str, Any], luminosity: float, rescale: bool = False) -> float:
    """Factor that brings a simulated dataset of a manifest to a luminosity in fb^-1: cross section L / Σ weights.

    The weights are those of the events that were read. If something was skipped this is right only where what is
    missing is like what is not: LedgerError, unless ``rescale``.
    """
    cross_section = dataset["metadata"].get("cross_section")
    if cross_section is None:
        raise OptionError(f"a background to subtract needs a cross_section (pb) in its metadata; {name!r} has none")
    if not rescale:
        require_complete(name, dataset)
    sumw = dataset["ledger"]["sumw"]
    if not sumw > 0:
        raise LedgerError(f"dataset {name!r}: the weights of its events add up to {sumw:g}, which scales to nothing")
    return PER_FB * cross_section * luminosity / sumw


def luminosity(name: str, dataset: Mapping[str, Any], rescale: bool = False) -> float:
    """Luminosity (fb^-1) of the events of a dataset of a manifest that were read: LedgerError if some were not.

    With ``rescale`` it is reduced by the fraction that was skipped, where that is known.
    """
    stated = dataset["metadata"].get("luminosity")
    if stated is None:
        raise OptionError(f"to subtract backgrounds, dataset {name!r} needs a luminosity (fb^-1) in its metadata")
    if not rescale:
        require_complete(name, dataset)
    skipped = [entry["events"] for entry in _missing(dataset)]
    if None in skipped:
        raise LedgerError(f"dataset {name!r}: a skipped file may have any number of events, its luminosity is unknown")
    read = dataset["ledger"]["events"]
    return stated * read / (read + sum(skipped))


def require_complete(name: str, dataset: Mapping[str, Any], otherwise: str = RESCALE) -> None:
    """Raise LedgerError if anything of a dataset of a manifest was skipped, or was counted twice.

    otherwise: what the user can do about it, for the end of the error.
    """
    if missing := _missing(dataset):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise LedgerError(f"dataset {name!r} is not complete: {Skipped(**missing[0])}{more}; {otherwise}")
    if dataset["ledger"]["duplicates"] and dataset["metadata"].get("kind") == "data":
        raise LedgerError(f"dataset {name!r}: {duplicates_line(dataset['ledger']['duplicates'])}; {otherwise}")


def duplicates_line(duplicates: Mapping[str, Any]) -> str:
    """Events that were found twice, in words."""
    return f"{duplicates['events']} events (run, lumi, event) are there more than once, in {', '.join(duplicates['files'])}"


def _missing(dataset: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in dataset["ledger"]["skipped"] if entry["events"] != 0]
