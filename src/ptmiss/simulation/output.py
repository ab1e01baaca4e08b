"""Files: blocks of events on their way (Parquet), and the finished TTree or RNTuple."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import awkward as ak
import uproot
from numpy.typing import NDArray

from ptmiss.errors import FileError
from ptmiss.files import replacing
from ptmiss.simulation import schema

FORMATS = ("ttree", "rntuple")


def records(columns: dict[str, NDArray]) -> ak.Array:
    """Events of flat columns: one jagged record a collection with many rows, one number a branch with one."""
    out = {}
    for collection in schema.collections("nPFElement" in columns):
        names = [collection.branch_name(branch) for branch in collection.branches]
        if collection.many:
            fields = {branch.name: columns[name] for branch, name in zip(collection.branches, names, strict=True)}
            out[collection.name] = ak.unflatten(ak.zip(fields), columns[f"n{collection.name}"])
        else:
            out.update({name: columns[name] for name in names})
    return ak.zip(out, depth_limit=1)


def save_block(columns: dict[str, NDArray], path: Path) -> None:
    """Write a block's columns, whole or not at all."""
    with replacing(path) as partial:
        ak.to_parquet(records(columns), partial, compression="zstd")


def load_block(path: Path) -> ak.Array:
    """Read a block's events."""
    try:
        return ak.from_parquet(path)
    except (OSError, ValueError):
        raise FileError(f"{path} is missing or not a block of events; delete it and start the job again") from None


def write(blocks: Iterable[Path], path: Path, file_format: str, metadata: dict[str, str]) -> None:
    """Write blocks, in their order, as ``Events``; ``metadata`` goes into strings beside it. Whole or not at all."""
    with replacing(path) as partial, uproot.recreate(partial, compression=uproot.ZSTD(5)) as file:
        tree = None
        for block in blocks:
            events = load_block(block)
            arrays = dict(zip(events.fields, ak.unzip(events), strict=True))
            if tree is None:
                tree = _make(file, arrays, file_format)
            tree.extend(arrays)
        for name, text in metadata.items():
            file[name] = text


def _make(file: uproot.WritableDirectory, arrays: dict[str, ak.Array], file_format: str) -> Any:
    types = {name: array.type.content for name, array in arrays.items()}
    if file_format == "rntuple":
        return file.mkrntuple("Events", types)
    return file.mktree(
        "Events",
        types,
        title="Events",
        counter_name=lambda name: f"n{name}",
        field_name=lambda outer, inner: f"{outer}_{inner}",
    )
