"""A trial of a run: the first files or chunks of each dataset. The ledger lists the rest as left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from coffea.processor.executor import WorkItem

from ptmiss.errors import OptionError
from ptmiss.normalisation import Skipped
from ptmiss.runs.failures import Kind
from ptmiss.runs.fileset import Fileset


class Limits(NamedTuple):
    """How many files and chunks of each dataset are processed; None for all."""

    files: int | None = None
    chunks: int | None = None

    def check(self) -> None:
        """Raise OptionError for less than one."""
        for name, value in self._asdict().items():
            if value is not None and value < 1:
                raise OptionError(f"--limit-{name} {value}: expected at least 1")

    def fileset(self, whole: Fileset) -> tuple[Fileset, list[Skipped]]:
        """The first files of each dataset, and what is left out."""
        if self.files is None:
            return whole, []
        kept, left_out = {}, []
        for name, dataset in whole.items():
            trees = list(dataset.trees())
            kept[name] = dataset.model_copy(update={"files": dict(trees[: self.files])})
            if rest := trees[self.files :]:
                reason = f"--limit-files {self.files}"
                left_out.append(Skipped(name, f"{len(rest)} files", None, None, None, Kind.LIMIT, reason))
        return kept, left_out

    def items(self, whole: Sequence[WorkItem]) -> tuple[list[WorkItem], list[Skipped]]:
        """The first chunks of each dataset, and what is left out."""
        if self.chunks is None:
            return list(whole), []
        seen: Counter[str] = Counter()
        kept: list[WorkItem] = []
        rest: list[WorkItem] = []
        for item in whole:
            (kept if seen[item.dataset] < self.chunks else rest).append(item)
            seen[item.dataset] += 1
        return kept, list(self._skipped(rest))

    def _skipped(self, rest: Iterable[WorkItem]) -> Iterable[Skipped]:
        chunks: Counter[str] = Counter()
        events: Counter[str] = Counter()
        for item in rest:
            chunks[item.dataset] += 1
            events[item.dataset] += len(item)
        reason = f"--limit-chunks {self.chunks}"
        for name, number in chunks.items():
            yield Skipped(name, f"{number} chunks", None, None, events[name], Kind.LIMIT, reason)


NONE = Limits()
