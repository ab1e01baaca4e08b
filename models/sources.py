"""The files of a training and of a test: what each is, and which of them have events in common.

Files of ``ptmiss simulate`` have the same hard collisions if process, profile and seed are the same, whatever their
number of events and their pile-up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import uproot

from ptmiss.events import EventFile, expand, identifier, inspect

Sources = Mapping[str, int | None]
"""Event files, and the number of events to read from the beginning of each; None for all."""

PILEUP = "Pileup_nPU"
HARD = ("process", "seed", "profile")
OURS = "the package's own simulation, which is CMS-like and never CMS: no number here holds for collisions"
OTHERS = "Other detectors, other tunes of PUPPI and files that keep only some of the candidates are outside of that."


def describe(sources: Sources) -> list[dict[str, Any]]:
    """For a manifest: name and identity of each file, the number of events used, their pile-up, how they were made."""
    files = [(inspect(path), n) for pattern, n in sources.items() for path in expand([pattern])]
    return [describe_file(file, min(n or file.entries, file.entries)) for file, n in files]


def describe_file(file: EventFile, events: int) -> dict[str, Any]:
    """The same of one file and its first events.

    ``pileup``: least and largest number of additional collisions; ``simulation``: process, seed and profile. Each is
    there if the file says it.
    """
    about: dict[str, Any] = {"file": Path(file.path).name, "events": events, "uuid": identifier(file.identity)}
    if PILEUP in file.branches and events:
        numbers = file.events(0, events).Pileup.nPU
        about["pileup"] = [int(ak.min(numbers)), int(ak.max(numbers))]
    job = simulation(file)
    return about | ({"simulation": job} if job else {})


def simulation(file: EventFile) -> dict[str, Any]:
    """Process, seed and profile of a file of ``ptmiss simulate``; empty for any other."""
    if file.format == "parquet":
        return {}
    with uproot.open(file.path) as content:
        if "simulation" not in content:
            return {}
        job = json.loads(str(content["simulation"]))
    return {"process": job["process"], "seed": job["seed"], "profile": job["profile"]["name"]}


def common(some: Iterable[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of those of some files that have events in common with others; both as ``describe`` has them."""
    return [one["file"] for one in some if any(is_same(one, other) for other in others)]


def is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two files are the same, or have the same hard collisions."""
    hard = one.get("simulation")
    return one["uuid"] == other["uuid"] or bool(hard and hard == other.get("simulation"))


def limits(training: Sequence[Mapping[str, Any]]) -> str:
    """What the events of a training say about where its network may be used, in words."""
    if not training:
        return "The files of the training are not known, and so its limits are not."
    n = sum(one["events"] for one in training)
    processes = sorted({one["simulation"]["process"] for one in training if "simulation" in one})
    ours = all("simulation" in one for one in training)
    made = f"{OURS}. Processes: {', '.join(processes)}" if ours else "files that do not say how they were simulated"
    ranges = [one["pileup"] for one in training if "pileup" in one]
    pileup = f"Pile-up from {min(a for a, _ in ranges)} to {max(b for _, b in ranges)} collisions. " if ranges else ""
    return f"Trained on {n} events of {made}. {pileup}{OTHERS}"
