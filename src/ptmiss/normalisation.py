"""From sums of weights to a luminosity, and from a luminosity to the events that stand for it: the one place for both.

A dataset is what a manifest or a table keeps of it: ``metadata`` (cross section in pb, luminosity in fb^-1),
``ledger``, which says what was generated, read, skipped and found twice, and of a table ``scale``, by which its weights
were multiplied already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ptmiss.errors import LedgerError, OptionError

PER_FB = 1e3  # pb in fb^-1
RESCALE = "--rescale takes what is there for the whole"
ROUNDING = 1e-4  # sums of weights, stored as float32 and some of them negative, differ by less

Dataset = Mapping[str, Any]


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


class Total(NamedTuple):
    """The sum of weights that a cross section stands for, and whose it is: of ``Runs``, ``events`` or ``metadata``."""

    sumw: float
    of: str


def total(dataset: Dataset) -> Total:
    """The sum of weights that a dataset's cross section stands for, less the share of it that was skipped.

    It is that of all that was generated, where the fileset or the files say it: a skim has fewer events. Where all
    of them are there, and have other weights than the files say, those of the events count.
    """
    ledger = _ledger(dataset)
    share = ledger["events"] / ledger["listed"] if ledger["listed"] else 1.0
    if stated := dataset["metadata"].get("sumw"):
        _require_known(dataset, "sum of weights")
        return Total(stated * share, "metadata")
    generated = ledger.get("generated")
    if generated is None or _contradicts(ledger):
        return Total(ledger["sumw"], "events")
    return Total(generated["sumw"] * share + generated["elsewhere"], "Runs")


def _contradicts(ledger: Mapping[str, Any]) -> bool:
    """Whether all that was generated was read, and weighs something else than the files say."""
    generated = ledger["generated"]
    if generated["events"] is None or generated["files"] < generated["of"] or ledger["events"] < ledger["listed"]:
        return False
    if ledger["events"] != generated["events"]:
        return bool(ledger["events"] > generated["events"])
    return bool(abs(ledger["sumw"] - generated["sumw"]) > ROUNDING * abs(generated["sumw"]))


def warning(dataset: Dataset) -> str | None:
    """What is to be told of the sum of weights of a dataset; None if it is as it should be."""
    generated = _ledger(dataset).get("generated")
    if generated is None or "sumw" in dataset["metadata"] or dataset["metadata"].get("kind") == "data":
        return None
    read = f"the weights of {_ledger(dataset)['events']} events read add up to {_ledger(dataset)['sumw']:.7g}"
    if _contradicts(_ledger(dataset)):
        said = f"{generated['events']} events and {generated['sumw']:.7g}"
        return f"{read}, `Runs` of the files say {said}; that of the events is used"
    if generated["files"] < generated["of"]:
        without = generated["of"] - generated["files"]
        return f"{read}, and {without} of {generated['of']} files have no sums in `Runs`: there the events read count"
    if copies := generated.get("copies"):
        copy, original = next(iter(copies.items()))
        more = f" (and {len(copies) - 1} more files)" if len(copies) > 1 else ""
        return (
            f"{copy}{more} has the sums and luminosity sections of {original} in `Runs`, and other events: parts of "
            "one file, whose sums count once"
        )
    return None


def cross_section(name: str, dataset: Dataset) -> float:
    """Cross section (pb) of a simulated dataset; OptionError if its metadata have none."""
    if (stated := dataset["metadata"].get("cross_section")) is None:
        raise OptionError(f"dataset {name!r} has no cross_section (pb) in its metadata, which a luminosity needs")
    return float(stated)


def factor(name: str, dataset: Dataset, luminosity: float, rescale: bool = False, otherwise: str = RESCALE) -> float:
    """Factor that brings the weights of a simulated dataset to a luminosity in fb^-1: cross section L / Σ weights.

    If something was skipped this is right only where what is missing is like what is not: LedgerError, unless
    ``rescale``. otherwise: what the user can do about an error, for its end.
    """
    sigma = cross_section(name, dataset)
    if not rescale:
        require_complete(name, dataset, otherwise)
    sumw, of = total(dataset)
    if not sumw > 0:
        raise LedgerError(
            f"dataset {name!r}: the weights of its events add up to {sumw:g} (by its {of}), which scales to nothing"
        )
    return float(PER_FB * sigma * luminosity / sumw / dataset.get("scale", 1.0))


def luminosity(name: str, dataset: Dataset, rescale: bool = False, otherwise: str = RESCALE) -> float:
    """Luminosity (fb^-1) of the events of a dataset of data that were read: LedgerError if some were not.

    With ``rescale`` it is reduced by the fraction that was skipped, where that is known.
    """
    stated = dataset["metadata"].get("luminosity")
    if stated is None:
        raise OptionError(f"dataset {name!r} has no luminosity (fb^-1) in its metadata, which simulation is brought to")
    if not rescale:
        require_complete(name, dataset, otherwise)
    skipped = _require_known(dataset, "luminosity")
    read = _ledger(dataset)["events"]
    return float(stated * read / (read + sum(skipped)) if skipped else stated)


def luminosities(datasets: Mapping[str, Dataset], rescale: bool = False, otherwise: str = RESCALE) -> float:
    """Luminosity (fb^-1) of several datasets of data together, counted once where they are of the same sections.

    Raises LedgerError if they share events, or state several luminosities for the same sections.
    """
    require_distinct(datasets)
    found = {name: luminosity(name, dataset, rescale, otherwise) for name, dataset in datasets.items()}
    groups: list[list[str]] = []
    for name, dataset in datasets.items():
        same = _ledger(dataset).get("same_sections", {})
        for other in (other for other in same if other in datasets):
            _require_same(datasets, name, other)
        group = next((names for names in groups if not same.keys().isdisjoint(names)), None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    return sum(max(found[name] for name in names) for names in groups)


def _require_same(datasets: Mapping[str, Dataset], name: str, other: str) -> None:
    own, others = (datasets[each]["metadata"]["luminosity"] for each in (name, other))
    if abs(own - others) > ROUNDING * own:
        count = _ledger(datasets[name])["same_sections"][other]
        raise LedgerError(
            f"datasets {name!r} and {other!r} have {count} luminosity sections in common, and luminosities of {own:g} "
            f"and {others:g} fb^-1: expected the same, which is counted once, or sections of their own"
        )


def require_distinct(datasets: Mapping[str, Dataset]) -> None:
    """Raise LedgerError if some of these datasets share events: they and their luminosity would count twice."""
    for name, dataset in datasets.items():
        duplicates = _ledger(dataset)["duplicates"] or {}
        if others := [other for other in duplicates.get("datasets", []) if other in datasets]:
            raise LedgerError(
                f"datasets {name!r} and {others[0]!r} share events, of which {duplicates['events']} are there more "
                "than once (run, lumi, event): they and their luminosity would count twice"
            )


def common_factor(datasets: Mapping[str, Dataset], luminosity: float, otherwise: str = RESCALE) -> float:
    """The one factor that brings all of some simulated datasets to a luminosity; LedgerError if they need several."""
    factors = {name: factor(name, dataset, luminosity, otherwise=otherwise) for name, dataset in datasets.items()}
    low, high = min(factors, key=factors.__getitem__), max(factors, key=factors.__getitem__)
    if factors[high] > factors[low] * (1 + ROUNDING):
        raise LedgerError(
            f"the weights of datasets {low!r} and {high!r} are of different luminosities; ptmiss skim --luminosity "
            "scales them"
        )
    return factors[low]


def together(tables: Sequence[Mapping[str, Dataset]]) -> dict[str, Dataset]:
    """The datasets of several tables, made apart, as those of one: the ledgers of a dataset in several add up.

    LedgerError where each table has a dataset at the whole luminosity, or says something else of it.
    """
    out: dict[str, Dataset] = {}
    for table in tables:
        for name, dataset in table.items():
            out[name] = _added(name, out[name], dataset) if name in out else dataset
    return out


def _added(name: str, one: Dataset, other: Dataset) -> Dataset:
    if one["metadata"] != other["metadata"]:
        raise LedgerError(f"two tables say something else of dataset {name!r}: {one['metadata']}, {other['metadata']}")
    if one.get("scale", 1.0) != 1.0 or other.get("scale", 1.0) != 1.0:
        raise LedgerError(
            f"two tables have dataset {name!r}, each scaled to a luminosity: expected one skim of all its files, or "
            "tables without --luminosity"
        )
    a, b = _ledger(one), _ledger(other)
    ledger = {key: a[key] + b[key] for key in ("listed", "events", "sumw", "skipped")}
    ledger["generated"] = _added_generated(a, b)
    ledger["duplicates"] = _added_duplicates(a["duplicates"] or {}, b["duplicates"] or {})
    sections = [each.get("same_sections", {}) for each in (a, b)]
    ledger["same_sections"] = {o: sum(each.get(o, 0) for each in sections) for o in {**sections[0], **sections[1]}}
    return {**one, "ledger": ledger}


def _added_generated(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any] | None:
    found = [ledger["generated"] for ledger in (a, b)]
    if found == [None, None]:
        return None
    one, other = (
        each or {"files": 0, "of": 1, "events": None, "sumw": 0.0, "elsewhere": ledger["sumw"]}
        for each, ledger in zip(found, (a, b), strict=True)
    )
    events = None if None in (one["events"], other["events"]) else one["events"] + other["events"]
    return {key: one[key] + other[key] for key in ("files", "of", "sumw", "elsewhere")} | {"events": events}


def _added_duplicates(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    if not a or not b:
        return dict(a or b)
    merged = {key: sorted({*a.get(key, ()), *b.get(key, ())}) for key in ("files", "datasets")}
    return {"events": a["events"] + b["events"], **{key: value for key, value in merged.items() if value}}


def kind_of(name: str, dataset: Dataset) -> str:
    """``data`` or ``mc``; OptionError if nothing says it."""
    kind = dataset["metadata"].get("kind")
    if kind is None:
        raise OptionError(f"dataset {name!r} needs a kind in its metadata, which its files do not show: 'data' or 'mc'")
    return str(kind)


def require_complete(name: str, dataset: Dataset, otherwise: str = RESCALE) -> None:
    """Raise LedgerError if anything of a dataset of a manifest was skipped, or was counted twice.

    otherwise: what the user can do about it, for the end of the error.
    """
    if missing := _missing(dataset):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise LedgerError(f"dataset {name!r} is not complete: {Skipped(**missing[0])}{more}; {otherwise}")
    if _ledger(dataset)["duplicates"] and dataset["metadata"].get("kind") == "data":
        raise LedgerError(f"dataset {name!r}: {duplicates_line(_ledger(dataset)['duplicates'])}; {otherwise}")


def duplicates_line(duplicates: Mapping[str, Any]) -> str:
    """Events that were found twice, in words."""
    others = "".join(f", and in dataset {other!r}" for other in duplicates.get("datasets", []))
    files = ", ".join(duplicates["files"])
    return f"{duplicates['events']} events (run, lumi, event) are there more than once, in {files}{others}"


def _require_known(dataset: Dataset, what: str) -> list[int]:
    """How many events each skipped part has; LedgerError where nobody can know it."""
    for entry in _missing(dataset):
        if entry["events"] is None:
            name = entry["dataset"]
            raise LedgerError(f"dataset {name!r}: a skipped file may have any number of events, its {what} is unknown")
    return [entry["events"] for entry in _missing(dataset)]


def _ledger(dataset: Dataset) -> Mapping[str, Any]:
    """What a manifest says of a dataset's events; LedgerError if it does not say all that counts."""
    found: Mapping[str, Any] = dataset.get("ledger") or {}
    if missing := [key for key in ("listed", "events", "sumw", "skipped", "duplicates") if key not in found]:
        raise LedgerError(f"the manifest's ledger of a dataset has no {missing[0]}: how many events it has is unknown")
    return found


def _missing(dataset: Dataset) -> list[dict[str, Any]]:
    return [entry for entry in _ledger(dataset)["skipped"] if entry["events"] != 0]
