"""Certified luminosity sections: a golden JSON, ``{"run": [[first, last], ...]}`` with both ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import RootModel

from ptmiss.errors import FileError
from ptmiss.files import cached_by_file, userfiles


class Sections(NamedTuple):
    """(ranges,) first and last section of each range, as ``position`` numbers them; sorted."""

    first: NDArray[np.uint64]
    last: NDArray[np.uint64]


class Ranges(RootModel[dict[int, list[tuple[int, int]]]]):
    """What a golden JSON holds: ranges of sections by run."""


@cached_by_file
def read(path: str) -> Sections:
    """The sections of a golden JSON; FileError says what is wrong with it."""
    try:
        content = json.loads(userfiles.text(Path(path), "golden JSON"))
    except json.JSONDecodeError as error:
        raise FileError(f"golden JSON {path}: not JSON (line {error.lineno}: {error.msg})") from error
    ranges = userfiles.validate(Ranges, content, f"golden JSON {path}: run ", FileError).root
    rows = sorted((run, *pair) for run, pairs in ranges.items() for pair in pairs)
    run, first, last = np.array(rows, np.int64).reshape(-1, 3).T
    return Sections(position(run, first), np.maximum.accumulate(position(run, last)))


def position(run: Any, section: Any) -> NDArray[np.uint64]:
    """(n,) one number for run and luminosity section, in their order."""
    return np.asarray(run).astype(np.uint64) << np.uint64(32) | np.asarray(section).astype(np.uint64)


def certified(run: Any, section: Any, path: str) -> NDArray[np.bool_]:
    """(n,) whether these luminosity sections of runs are in a golden JSON."""
    sections, wanted = read(path), position(run, section)
    before = np.searchsorted(sections.first, wanted, side="right") - 1
    return (before >= 0) & (wanted <= sections.last[before]) if len(sections.first) else np.zeros(len(wanted), bool)
