"""Failures of chunks, classified by their remedy.

* ``io``: reading took too long or was interrupted; it is tried again
* ``file``: the file is truncated, has a corrupt basket, or is of another kind; it can be skipped
* ``memory``: the chunk does not fit in memory; it is halved
* ``worker``: the process died; the chunk is tried again, then halved
* ``user``: a bug in a processor, a missing branch, a wrong option; the run stops at once

With ``--skip-bad-files`` all but the last are skipped in the end, and listed in the ledger.
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
    """The kind of a failure, see the module."""

    IO = "io"
    FILE = "file"
    MEMORY = "memory"
    WORKER = "worker"
    USER = "user"
    LIMIT = "limit"


@dataclass(frozen=True)
class Failure:
    """A failure of one chunk, as the worker reports it."""

    kind: Kind
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class Policy:
    """The treatment of failures.

    retries: attempts after a failure of kind ``io``. timeout: most seconds for a chunk, None for no limit. skip: leave
    out what is not the user's fault, and list it in the ledger. servers: where else remote files are, see
    ptmiss.runs.inputs.places.
    """

    retries: int = 2
    timeout: float | None = None
    skip: bool = False
    servers: tuple[str, ...] = ()

    def tolerates(self, failure: Failure) -> bool:
        """Whether the run continues without the chunk that failed."""
        return self.skip and failure.kind is not Kind.USER


def failure_of(error: BaseException) -> Failure:
    """The failure for an exception, with one line of text."""
    cause = root_cause(error)
    lines = str(cause).strip().splitlines() or ["no message"]
    name = "" if isinstance(cause, PtmissError) else f"{type(cause).__name__}: "
    return Failure(kind_of(cause), name + lines[0].rstrip(":"), "".join(traceback.format_exception(error)))


def kind_of(cause: BaseException) -> Kind:
    """The kind of failure for the first error of a chain."""
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
    """Whether an error came from a reader that coffea called, and not from the processor.

    The modules in the traceback decide: a processor may raise errors of the same classes.
    """
    modules = list(_modules(cause.__traceback__))
    last = max((i for i, module in enumerate(modules) if module.startswith(READING)), default=len(modules))
    return any(module.partition(".")[0] in READERS for module in modules[last + 1 : last + 2])


def _modules(frames: TracebackType | None) -> Iterator[str]:
    while frames is not None:
        yield str(frames.tb_frame.f_globals.get("__name__", ""))
        frames = frames.tb_next


def root_cause(error: BaseException) -> BaseException:
    """The first error of a chain of ``raise … from``, or the last PtmissError in it, whose text is meant for users."""
    while error.__cause__ is not None and not isinstance(error, PtmissError):
        error = error.__cause__
    return error
