"""From event files to a recoil table, chunk by chunk: memory is bounded by the chunk, not by the files.

Finished chunks are kept beside the table, in ``<table>.parts``, until it is written.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ptmiss.estimators import Estimator
from ptmiss.provenance import provenance
from ptmiss.runs import directory as run_directory
from ptmiss.runs.chunks import Chunk
from ptmiss.runs.failures import Policy
from ptmiss.runs.fileset import Fileset
from ptmiss.runs.pools import InProcess, Pool
from ptmiss.runs.runner import Run
from ptmiss.table import writing

PROCESSOR = "ptmiss.processors.skim"


def skim(
    fileset: Fileset,
    estimators: Sequence[Estimator],
    output: Path,
    *,
    selection: str = "default",
    vertex: str = "default",
    pool: Pool | None = None,
    chunksize: int | None = None,
    budget: int | None = None,
    policy: Policy | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Write the recoil table of all files of a fileset, in their order; return how it was made."""
    processor = import_module(PROCESSOR).Skim(estimators, selection, vertex)
    notes: Counter[str] = Counter()

    def receive(_dataset: str, _number: int, chunk: Chunk | None) -> None:
        if chunk is not None:
            notes.update(chunk.out["notes"])

    with run_directory.open_directory(output.with_name(f"{output.name}.parts"), resume) as directory:
        run = Run(fileset, processor, directory, pool or InProcess(), chunksize, budget, policy or Policy())
        details = run.stream(receive)
        made = provenance(
            estimators=[estimator.manifest_entry() for estimator in estimators],
            selection=selection,
            vertex=vertex,
            notes=dict(notes),
            **details,
        )
        with writing(output) as table:
            for address in run.stored:
                table.write(directory.store.read(address).out["rows"])
            table.close(made)
    if not any(dataset["ledger"]["skipped"] for dataset in details["datasets"].values()):
        shutil.rmtree(directory.path)
    return made
