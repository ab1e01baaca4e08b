"""The files of a fileset, each looked into once before any event is read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from coffea.processor import ProcessorABC
from coffea.processor.executor import WorkItem

from ptmiss.errors import FileError, FilesetError
from ptmiss.events import EventFile, identifier, inspect
from ptmiss.normalisation import Skipped
from ptmiss.runs import ledger
from ptmiss.runs.failures import Failure, Kind, Policy
from ptmiss.runs.fileset import Fileset, Metadata

LOOKING = 16  # files looked into at a time
PAUSE = 0.5  # s before the first new attempt, then twice as long each time
NO_UUID = bytes(16)


@dataclass(frozen=True)
class InputFile:
    """One file of a dataset."""

    dataset: str
    metadata: Metadata
    file: EventFile

    @property
    def record(self) -> dict[str, Any]:
        """What a manifest keeps of it."""
        return {"path": self.file.path, "entries": self.file.entries, "uuid": identifier(self.file.identity)}

    def chunks(self, chunksize: int) -> Iterator[WorkItem]:
        """Ranges of about equal length, at most ``chunksize`` entries each, that cover the file."""
        file, metadata = self.file, self.metadata.model_dump()
        pieces = -(-file.entries // chunksize)
        for piece in range(pieces):
            start, stop = piece * file.entries // pieces, (piece + 1) * file.entries // pieces
            yield WorkItem(self.dataset, file.path, file.tree, start, stop, file.identity, metadata)


def inspect_files(
    fileset: Fileset, processor: ProcessorABC, policy: Policy | None = None
) -> tuple[list[InputFile], list[Skipped]]:
    """Look into every file; raise before any event is read if one cannot be read or lacks a needed column.

    A file that cannot be read, or is there twice, is skipped instead where the policy tolerates that.
    """
    policy = policy or Policy()
    wanted = [(name, dataset.metadata, *tree) for name, dataset in fileset.items() for tree in dataset.trees()]
    with ThreadPoolExecutor(LOOKING) as threads:
        found = list(threads.map(lambda want: _inspected(want[0], want[2], want[3], policy), wanted))
    files = [(name, metadata, file) for (name, metadata, *_), file in zip(wanted, found, strict=True)]
    sources = [InputFile(name, metadata, file) for name, metadata, file in files if isinstance(file, EventFile)]
    copies = list(_copies(sources))
    if copies and not policy.skip:
        raise FilesetError(f"dataset {copies[0].dataset!r}: {copies[0].path} {copies[0].reason}")
    skipped = [file for _, _, file in files if isinstance(file, Skipped)] + copies
    sources = [source for source in sources if (source.dataset, source.file.path) not in _places(copies)]
    skipped += [ledger.empty(source.dataset, source.file.path) for source in sources if not source.file.entries]
    _require(processor, sources)
    if not any(source.file.entries for source in sources):
        raise FileError(f"no events in {', '.join(path for _, _, path, _ in wanted)}")
    return sources, skipped


def _inspected(dataset: str, path: str, tree: str, policy: Policy) -> EventFile | Skipped:
    """What is in a file; tried again where that may help, skipped where that is tolerated."""
    for attempt in range(policy.retries + 1):
        try:
            return inspect(path, tree)
        except FileError as error:
            failure = Failure(_kind(error, path), str(error))
            if failure.kind is not Kind.IO or attempt == policy.retries:
                if policy.tolerates(failure):
                    return Skipped(dataset, path, None, None, None, failure.kind, failure.message)
                raise
            time.sleep(PAUSE * 2**attempt)
    raise ValueError(f"{policy.retries} retries, expected 0 or more")


def _kind(error: FileError, path: str) -> Kind:
    cause = error.__cause__ or error
    if isinstance(cause, ImportError):
        return Kind.USER
    remote = "://" in path and isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
    return Kind.IO if remote or isinstance(cause, TimeoutError | ConnectionError) else Kind.FILE


def _copies(sources: Sequence[InputFile]) -> Iterator[Skipped]:
    """Files that are copies of others of their dataset: their events would count twice."""
    first: dict[tuple[str, bytes], str] = {}
    for source in sources:
        original = first.setdefault((source.dataset, source.file.identity), source.file.path)
        if original != source.file.path and source.file.identity != NO_UUID:
            reason = f"is a copy of {original}; its events would count twice (--skip-bad-files leaves it out)"
            yield Skipped(source.dataset, source.file.path, None, None, 0, Kind.FILE, reason)


def _places(skipped: Sequence[Skipped]) -> set[tuple[str, str]]:
    return {(entry.dataset, entry.path) for entry in skipped}


def _require(processor: ProcessorABC, sources: Sequence[InputFile]) -> None:
    if hasattr(processor, "require"):
        for source in sources:
            processor.require(source.file.branches, source.file.path, source.metadata.model_dump())


def describe(fileset: Fileset, sources: Sequence[InputFile]) -> dict[str, Any]:
    """Metadata of each dataset, and its files that could be opened."""
    datasets: dict[str, Any] = {
        name: {"metadata": dataset.metadata.model_dump(mode="json", exclude_none=True), "files": []}
        for name, dataset in fileset.items()
    }
    for source in sources:
        datasets[source.dataset]["files"].append(source.record)
    return datasets
