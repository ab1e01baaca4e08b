"""What can go wrong, as a tree. The command line prints any of these as one line and exits with 1.

::

    PtmissError
    ├── FileError        a file is missing, truncated, or not what it should be
    ├── ColumnError      a file lacks a column that an estimator or a processor needs
    ├── FilesetError     a fileset has a wrong key or value
    ├── WeightsError     a weights file does not match its hash, its shapes or its layout
    ├── CorrectionError  a correction file is of another schema, or is asked for what it cannot answer
    ├── UnknownName      an estimator, processor or model that does not exist
    ├── OptionError      an option, or two options together, that make no sense
    ├── ChunkError       a worker failed on one range of entries
    ├── TrainingError    a training that cannot go on
    ├── LedgerError      a number that what was skipped, or counted twice, would make wrong
    └── Interrupted      a run was stopped from outside
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PtmissError(Exception):
    """Base of all errors that a user can act on."""


class FileError(PtmissError):
    """A file is missing, truncated, or not what it should be."""


class ColumnError(PtmissError):
    """A file lacks a column that an estimator or a processor needs."""


class FilesetError(PtmissError):
    """A fileset has a wrong key or value."""


class WeightsError(PtmissError):
    """A weights file does not match its hash, its shapes or its layout."""


class CorrectionError(PtmissError):
    """A correction file is of another schema, or is asked for what it cannot answer."""


class OptionError(PtmissError):
    """An option, or two options together, that make no sense."""


class ChunkError(PtmissError):
    """A worker failed on one range of entries of one file."""


class TrainingError(PtmissError):
    """A training that cannot go on."""


class LedgerError(PtmissError):
    """A number that what was skipped, or counted twice, would make wrong."""


class Interrupted(PtmissError):  # noqa: N818  (nothing is wrong)
    """A run was stopped from outside; what is done is kept."""


class UnknownName(PtmissError):  # noqa: N818  (reads as the sentence it prints)
    """A name that stands for nothing, with the nearest one that does."""

    def __init__(self, kind: str, name: str, allowed: Iterable[str]):
        self.kind, self.name, self.allowed = kind, name, sorted(allowed)
        super().__init__(f"unknown {kind} {name!r}{hint(name, self.allowed)}; known: {', '.join(self.allowed)}")

    def __reduce__(self) -> tuple[type[UnknownName], tuple[str, str, list[str]]]:
        return UnknownName, (self.kind, self.name, self.allowed)


def hint(name: str, allowed: Iterable[str], likeness: float = 0.5) -> str:
    """``", did you mean 'x'?"`` for the nearest allowed name, or nothing where none is alike."""
    nearest = get_close_matches(name, list(allowed), n=1, cutoff=likeness)
    return f", did you mean {nearest[0]!r}?" if nearest else ""
