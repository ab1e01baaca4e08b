"""What can fail in a chunk, by what helps: another attempt, leaving the file out, fewer events, or the user.

* ``io``: reading took too long or broke off: worth another attempt
* ``file``: the file is at fault: truncated, a corrupt basket, not what it should be
* ``memory``: the chunk does not fit: it is cut in halves
* ``worker``: the process died on it: another attempt, then halves
* ``user``: a bug in a processor, a missing branch, a wrong option: the run stops at once

All but the last can be left out on request, and are then in the ledger.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType

from ptmiss.errors import FileError, PtmissError

READING = ("coffea.nanoevents", "coffea.processor.executor")  # where coffea hands over to a reader
READERS = ("uproot", "pyarrow", "fsspec")


class Kind(StrEnum):
    """Whose fault a failure is, see the module."""

    IO = "io"
    FILE = "file"
    MEMORY = "memory"
    WORKER = "worker"
    USER = "user"


@dataclass(frozen=True)
class Failure:
    """What went wrong with one chunk, as a worker tells it."""

    kind: Kind
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class Policy:
    """What is done about failures.

    retries: more attempts after a failure of kind ``io``; timeout: seconds that a chunk may take, None for no limit;
    skip: leave out what is not the user's fault, and write it into the ledger.
    """

    retries: int = 2
    timeout: float | None = None
    skip: bool = False

    def tolerates(self, failure: Failure) -> bool:
        """Whether the run goes on without what failed."""
        return self.skip and failure.kind is not Kind.USER


def failure_of(error: BaseException) -> Failure:
    """An exception in a chunk, or at the opening of a file, as a failure with one line of text."""
    cause = root_cause(error)
    lines = str(cause).strip().splitlines() or ["no message"]
    name = "" if isinstance(cause, PtmissError) else f"{type(cause).__name__}: "
    return Failure(kind_of(cause), name + lines[0].rstrip(":"), "".join(traceback.format_exception(error)))


def kind_of(cause: BaseException) -> Kind:
    """Whose fault the first error of a chain is."""
    if isinstance(cause, MemoryError):
        return Kind.MEMORY
    if isinstance(cause, TimeoutError | ConnectionError):
        return Kind.IO
    if isinstance(cause, FileError):
        return Kind.FILE
    if isinstance(cause, PtmissError | ImportError) or not while_reading(cause):
        return Kind.USER
    return Kind.IO if isinstance(cause, OSError) else Kind.FILE


def while_reading(cause: BaseException) -> bool:
    """Whether an error came from a reader that coffea called, and not from code that was given events."""
    modules = list(_modules(cause.__traceback__))
    last = max((i for i, module in enumerate(modules) if module.startswith(READING)), default=len(modules))
    return any(module.partition(".")[0] in READERS for module in modules[last + 1 : last + 2])


def _modules(frames: TracebackType | None) -> Iterator[str]:
    while frames is not None:
        yield str(frames.tb_frame.f_globals.get("__name__", ""))
        frames = frames.tb_next


def root_cause(error: BaseException) -> BaseException:
    """The error that a chain of ``raise … from`` began with, or the last of our own in it, which says it in words."""
    while error.__cause__ is not None and not isinstance(error, PtmissError):
        error = error.__cause__
    return error
