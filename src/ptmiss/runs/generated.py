"""What the files of a dataset say of all that was generated, as far as the weights of a processor need it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ptmiss.events import EventFile, Generated
from ptmiss.typing import Array


def theory_sums(files: Iterable[EventFile], names: Iterable[str]) -> dict[str, list[float]]:
    """Sums over all files relative to their sum of weights, by the name of the column; without those that one lacks."""
    stated = [file.generated for file in files]
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
    return replace(file, generated=Generated(stated.events, float(stated.sumw / size), None, stated.theory))
