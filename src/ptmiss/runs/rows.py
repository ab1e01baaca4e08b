"""The rows of a finished skim, written as one file, or as a directory with a file for each file of events.

Files of a directory are called ``<number>-<file of events>.parquet``, so that the order of their names is that of the
events. ``manifest.json`` beside them says how all were made, and under ``tables`` which is whose. Each file has its
number, how many there are and the SHA-256 of the manifest: they are read together, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from ptmiss import results
from ptmiss.files import digest, parquet, remove_abandoned, write_atomically
from ptmiss.runs.ledger import Part
from ptmiss.runs.runner import Run
from ptmiss.table import of_dataset, writing


def is_directory(output: Path) -> bool:
    """Whether a table of this name is a directory: one without an ending."""
    return not output.suffix


def write(run: Run, output: Path, made: Mapping[str, Any], columns: Iterable[str]) -> None:
    """Write the rows of a finished run, and how they were made, into a file or a directory.

    columns: those that any of the rows have.
    """
    remove_abandoned(output)
    every = sorted(columns)
    if is_directory(output):
        write_directory(run, output, made, every)
    else:
        write_file(output, blocks(run, run.stored, made, every), made)


def write_file(path: Path, rows: Iterable[pa.Table], made: Mapping[str, Any]) -> None:
    """Write rows, and how they were made, into a file."""
    with writing(path) as table:
        for block in rows:
            table.write(block)
        table.close(made)


def write_directory(run: Run, directory: Path, made: Mapping[str, Any], columns: Sequence[str]) -> None:
    """Write a file for each file of events that has any, and the manifest; all or none."""
    files = [(key, list(parts)) for key, parts in groupby(run.stored, key=lambda part: (part.dataset, part.path))]
    names = places([path for (_, path), _ in files])
    tables = {name: {"dataset": of, "path": path} for name, ((of, path), _) in zip(names, files, strict=True)}
    manifest = results.as_json({**made, "tables": tables})
    shared = {parquet.FILES: len(files), parquet.MANIFEST: digest(manifest.encode())}
    with results.replacing_directory(directory) as temporary:
        write_atomically(temporary / results.MANIFEST, manifest)
        for number, (name, (_, parts)) in enumerate(zip(names, files, strict=True)):
            write_file(temporary / name, blocks(run, parts, made, columns), {parquet.PART: number, **shared})


def places(paths: Sequence[str]) -> list[str]:
    """A name for the rows of each file, in the order of the files."""
    width = len(str(len(paths)))
    stems = [re.sub(r"[^\w.+-]", "_", PurePosixPath(path).stem) for path in paths]
    return [f"{number:0{width}d}-{stem}{parquet.ENDING}" for number, stem in enumerate(stems)]


def blocks(run: Run, parts: Iterable[Part], made: Mapping[str, Any], columns: Sequence[str]) -> Iterator[pa.Table]:
    """Rows of finished chunks, each with its dataset and with its weights times the factor of that."""
    datasets = made["datasets"]
    for part in parts:
        rows = run.directory.store.read(part.address).out["rows"]
        yield of_dataset(rows, part.dataset, list(datasets), datasets[part.dataset]["scale"], columns)
