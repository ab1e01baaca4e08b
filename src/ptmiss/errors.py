"""What can go wrong, as a tree. The command line prints any of these as one line and exits with 1.

::

    PtmissError
    ├── FileError        a file is missing, truncated, or not what it should be
    ├── ColumnError      a file lacks a column that an estimator or a processor needs
    ├── FilesetError     a fileset has a wrong key or value
    ├── WeightsError     a weights file does not match its hash, its shapes or its layout
    ├── CorrectionError  a correction file has another schema, or no answer to what it is asked
    ├── UnknownName      an estimator, processor or model that does not exist
    ├── OptionError      an option has a wrong value, or contradicts another
    ├── ChunkError       a worker failed on one range of entries
    ├── TrainingError    a training cannot go on
    ├── LedgerError      events were skipped or counted twice, and would make a number wrong
    └── Interrupted      a run was stopped from outside
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from difflib import get_close_matches

LISTED = 25  # names in the message of an error


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
    """A correction file has another schema, or no answer to what it is asked."""


class OptionError(PtmissError):
    """An option has a wrong value, or contradicts another."""


class ChunkError(PtmissError):
    """A worker failed on one range of entries of one file."""


class TrainingError(PtmissError):
    """A training cannot go on."""


class LedgerError(PtmissError):
    """Events were skipped or counted twice, and would make a number wrong."""


class Interrupted(PtmissError):  # noqa: N818  (nothing is wrong)
    """A run was stopped from outside; what is done is kept."""


class UnknownName(PtmissError):  # noqa: N818  (reads as the sentence it prints)
    """A name that does not exist. The message offers the nearest one that does."""

    def __init__(self, kind: str, name: str, allowed: Iterable[str]):
        self.kind, self.name, self.allowed = kind, name, sorted(allowed)
        super().__init__(f"unknown {kind} {name!r}{hint(name, self.allowed)}; known: {listed(name, self.allowed)}")

    def __reduce__(self) -> tuple[type[UnknownName], tuple[str, str, list[str]]]:
        return UnknownName, (self.kind, self.name, self.allowed)


def listed(name: str, allowed: Sequence[str]) -> str:
    """All allowed names, or of many the ``LISTED`` most similar."""
    if len(allowed) <= LISTED:
        return ", ".join(allowed)
    nearest = sorted(get_close_matches(name, allowed, n=LISTED, cutoff=0))
    return f"{', '.join(nearest)} and {len(allowed) - LISTED} others"


def hint(name: str, allowed: Iterable[str], likeness: float = 0.5) -> str:
    """``", did you mean 'x'?"`` for the nearest allowed name; empty if none is similar."""
    nearest = get_close_matches(name, list(allowed), n=1, cutoff=likeness)
    return f", did you mean {nearest[0]!r}?" if nearest else ""


def needs_torch(what: str) -> AbstractContextManager[None]:
    """Imports that need torch: where there is none, one line says what needs it."""
    return _needs(what, "train", "torch")


def needs_flow(what: str) -> AbstractContextManager[None]:
    """Imports that need torch and zuko: where one is missing, one line says what needs it."""
    return _needs(what, "flow", "torch", "zuko")


def needs_optuna(what: str) -> AbstractContextManager[None]:
    """Imports that need Optuna: where there is none, one line says what needs it."""
    return _needs(what, "tune", "optuna")


@contextmanager
def _needs(what: str, extra: str, *modules: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in modules:
            raise
        raise OptionError(f"{what} needs {error.name}, the extra {extra}: pip install 'ptmiss[{extra}]'") from error
