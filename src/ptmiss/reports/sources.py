"""What the paths given to a report are: recoil table, run, calibration, evaluation, explanation, or model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ptmiss import results
from ptmiss.errors import FileError, OptionError
from ptmiss.files import parquet
from ptmiss.networks import registry

TABLE, RUN, CALIBRATION, EVALUATION = "recoil table", "run", "calibration", "evaluation"
EXPLANATION, RELEVANCE, MODEL = "explanation", "explanation of candidates", "model"
MARKS = {
    RUN: results.HISTOGRAMS,
    CALIBRATION: "corrections.json.gz",
    EVALUATION: "jets.csv",
    EXPLANATION: "parts.csv",
    RELEVANCE: "sources.csv",
    MODEL: registry.CARD,
}
"""The file that a directory of each kind has."""


class ReportSource(NamedTuple):
    """One path and what it is."""

    kind: str
    path: Path
    name: str


def read(given: Sequence[str]) -> list[ReportSource]:
    """What each of these is; OptionError for two of one name, FileError for what is none of these."""
    if not given:
        raise OptionError(f"expected at least one {', '.join([TABLE, *MARKS])}")
    found = [source(one) for one in given]
    for i, one in enumerate(found):
        if one.name in {other.name for other in found[:i]}:
            raise OptionError(f"two sources are called {one.name!r}: name them as NAME=PATH")
    return found


def source(given: str) -> ReportSource:
    """What a path, or NAME=PATH, is."""
    name, _, path = given.rpartition("=")
    if not Path(path).exists() and path in registry.shipped_models():
        return ReportSource(MODEL, registry.weights_file(path).parent, name or path)
    return ReportSource(kind_of(Path(path)), Path(path), name or Path(path).stem or path)


def kind_of(path: Path) -> str:
    """What a path is."""
    for kind, mark in MARKS.items():
        if (path / mark).is_file():
            return kind
    if parquet.is_table(path):
        return TABLE
    if not path.exists():
        raise FileError(f"no such file or directory: {path}")
    wanted = ", ".join(f"a {kind} ({mark} in it)" for kind, mark in MARKS.items())
    raise FileError(f"{path} is none of: a {TABLE} (a .parquet file, or a folder of such), {wanted}")
