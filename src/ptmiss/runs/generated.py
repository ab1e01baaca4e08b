"""What the files of a dataset say of all that was generated, as far as the weights of a processor need it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import awkward as ak
import numpy as np

from ptmiss.events import EventFile
from ptmiss.typing import Array


def copies(files: Iterable[EventFile]) -> dict[str, str]:
    """Files whose sums are those of one before them, by path: parts of a file that each kept all of its ``Runs``.

    They have the same sums, the same luminosity sections, and together no more events than these sums are of.
    """
    first: dict[tuple[object, ...], EventFile] = {}
    entries: Counter[str] = Counter()
    found = {}
    for file in files:
        told = file.generated
        if told is None or not told.events or not told.sections:
            continue
        original = first.setdefault((told.events, told.sumw, told.sumw2, told.sections), file)
        entries[original.path] += file.entries
        if file is not original and entries[original.path] <= told.events:
            found[file.path] = original.path
    return found


def theory_sums(files: Iterable[EventFile], names: Iterable[str]) -> dict[str, list[float]]:
    """Sums over all files relative to their sum of weights, by the name of the column; without those that one lacks."""
    files = list(files)
    others = copies(files)
    stated = [file.generated for file in files if file.path not in others]
    known = [each for each in stated if each is not None]
    found: dict[str, list[float]] = {}
    for name in names:
        columns = [each.theory.get(name, ()) for each in known]
        if known and len(known) == len(stated) and columns[0] and len({len(column) for column in columns}) == 1:
            found[name] = _mean(np.array(columns), np.array([each.sumw for each in known])).tolist()
    return found


def _mean(columns: Array, sumw: Array) -> Array:
    """(members,) means of (files, members), weighted with the (files,) sums of weights."""
    return np.asarray(sumw @ columns / sumw.sum())


def lengths(files: Iterable[EventFile], branches: Iterable[str]) -> dict[str, int]:
    """How many numbers the first event of a dataset has in each of these branches, of those that its file has."""
    first = next((file for file in files if file.entries), None)
    there = [branch for branch in branches if first and branch in first.branches]
    if first is None or not there:
        return {}
    event = first.events(0, 1)
    return {branch: int(ak.num(event[branch])[0]) for branch in there}


def of_signs(file: EventFile) -> EventFile:
    """A file whose sum of weights is that of their signs: exact where all weights have one size, from its square.

    It is unknown, and the events that are read count, where the file does not state the sum of squares.
    """
    stated = file.generated
    if stated is None:
        return file
    if not stated.sumw2 or not stated.events:
        return replace(file, generated=None)
    size = np.sqrt(stated.sumw2 / stated.events)
    return replace(file, generated=replace(stated, sumw=float(stated.sumw / size), sumw2=None))
