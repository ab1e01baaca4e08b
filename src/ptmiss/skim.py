"""From event files to a recoil table, written chunk by chunk: memory is bounded by the chunk, not by the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from importlib import import_module
from pathlib import Path
from typing import Any

from ptmiss import runner
from ptmiss.estimators import Estimator, describe
from ptmiss.fileset import Fileset
from ptmiss.provenance import provenance
from ptmiss.table import writing

PROCESSOR = "ptmiss.processors.skim"


def skim(
    fileset: Fileset,
    estimators: Sequence[Estimator],
    output: Path,
    *,
    selection: str = "default",
    vertex: str = "default",
    pool: Executor | None = None,
    chunksize: int = runner.CHUNKSIZE,
) -> dict[str, Any]:
    """Write the recoil table of all files of a fileset, in their order; return how it was made."""
    processor = import_module(PROCESSOR).Skim(estimators, selection, vertex)
    sources = runner.look(fileset, processor)
    notes: Counter[str] = Counter()
    with writing(output) as table:

        def receive(dataset: str, rows: dict[str, Any]) -> None:
            table.write(rows["rows"])
            notes.update(rows["notes"])

        metrics = runner.stream(sources, processor, receive, pool=pool, chunksize=chunksize)
        made = provenance(
            estimators=[describe(estimator) for estimator in estimators],
            selection=selection,
            vertex=vertex,
            datasets=runner.describe(sources),
            notes=dict(notes),
            metrics=metrics,
        )
        table.close(made)
    return made
