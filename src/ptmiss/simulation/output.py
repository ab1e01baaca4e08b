"""Files of a production: blocks of events in Parquet, and the finished TTree or RNTuple."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from numpy.typing import NDArray

from ptmiss.errors import FileError
from ptmiss.files import replacing
from ptmiss.simulation import schema

FORMATS = ("ttree", "rntuple")
SUMMED = ("run", "genWeight", "PSWeight")
SIMULATION = 1
"""Run number of simulation."""


def records(columns: dict[str, NDArray]) -> ak.Array:
    """Events from flat columns (rows,): a jagged record for each collection with many rows, a number for the rest."""
    out = {}
    for collection in schema.collections([name for name in schema.OPTIONAL if f"n{name}" in columns]):
        names = [collection.branch_name(branch) for branch in collection.branches]
        if collection.many:
            fields = {branch.name: columns[name] for branch, name in zip(collection.branches, names, strict=True)}
            rows = fields[""] if "" in fields else ak.zip(fields)
            out[collection.name] = ak.unflatten(rows, columns[f"n{collection.name}"])
        else:
            out.update({name: columns[name] for name in names})
    return ak.zip(out, depth_limit=1)


def save_block(columns: dict[str, NDArray], path: Path) -> None:
    """Write a block's flat columns, of shape (rows,), whole or not at all."""
    with replacing(path) as partial:
        ak.to_parquet(records(columns), partial, compression="zstd")


def load_block(path: Path) -> ak.Array:
    """Read a block's events, an array of shape (events,)."""
    try:
        return ak.from_parquet(path)
    except (OSError, ValueError):
        raise FileError(f"{path} is missing or not a block of events; delete it and start the job again") from None


def write(blocks: Iterable[Path], path: Path, file_format: str, metadata: dict[str, str]) -> None:
    """Write blocks, in their order, as ``Events``, and their sums as ``Runs``, whole or not at all.

    metadata: strings to store beside them.
    """
    with replacing(path) as partial, uproot.recreate(partial, compression=uproot.ZSTD(5)) as file:
        tree, parts = None, []
        for block in blocks:
            events = load_block(block)
            arrays = dict(zip(events.fields, ak.unzip(events), strict=True))
            if tree is None:
                tree = make_tree(file, arrays, file_format, "Events")
            tree.extend(arrays)
            parts.append({name: arrays[name] for name in SUMMED if name in arrays})
        of_runs = sums(ak.concatenate([ak.zip(part, depth_limit=1) for part in parts]))
        make_tree(file, of_runs, file_format, "Runs").extend(of_runs)
        for name, text in metadata.items():
            file[name] = text


def sums(events: ak.Array) -> dict[str, ak.Array]:
    """Columns of ``Runs`` of events with SUMMED: of simulation the number of events and the sums of their weights.

    Those of the shower are over that of the nominal one, as in NanoAOD.
    """
    numbers, run = np.unique(ak.to_numpy(events.run), return_inverse=True)
    if numbers[0] != SIMULATION:
        return {"run": ak.Array(numbers)}
    weight = ak.to_numpy(events.genWeight).astype(np.float64)
    total = np.bincount(run, weight)
    out = {"genEventSumw": total, "genEventSumw2": np.bincount(run, weight**2)}
    columns = {"run": numbers, "genEventCount": np.bincount(run), **out}
    if "PSWeight" not in events.fields:
        return {name: ak.Array(column) for name, column in columns.items()}
    varied = ak.to_numpy(events.PSWeight).T * weight
    ratios = np.stack([np.bincount(run, one) / total for one in varied], axis=1)
    return {name: ak.Array(column) for name, column in columns.items()} | {"PSSumw": ak.from_regular(ratios)}


def make_tree(file: uproot.WritableDirectory, arrays: dict[str, ak.Array], file_format: str, name: str) -> Any:
    """An empty TTree or RNTuple for arrays (events, …) or (events,), by name."""
    types = {name: array.type.content for name, array in arrays.items()}
    if file_format == "rntuple":
        return file.mkrntuple(name, types)
    return file.mktree(
        name,
        types,
        title=name,
        counter_name=lambda name: f"n{name}",
        field_name=lambda outer, inner: f"{outer}_{inner}",
    )
