"""Finished chunks on disk: each one file, written whole, in formats that cannot run code.

A chunk's file is a zip archive: ``chunk.json`` with numbers and the order of the outputs, histograms as uhi writes
them, tables as parquet, and ``ids.npy`` with a fingerprint of each event. Its name is the chunk's address (see
ptmiss.addresses). A file that is cut or changed does not load, and its chunk counts as missing.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import uhi.io.zip
from coffea.processor import accumulate
from numpy.typing import NDArray

from ptmiss.errors import OptionError
from ptmiss.files import write_atomically

DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
COMPRESSION = zipfile.ZIP_DEFLATED, 1  # most bins are empty: the fastest level is nearly the best

Ids = NDArray[np.uint64]


@dataclass(frozen=True)
class Chunk:
    """What became of a range of entries.

    out: the processor's output: histograms, tables, and what JSON can hold.
    events, sumw: events read and the sum of their generator weights; ids: sorted fingerprints of the events.
    metrics: entries, bytesread, columns, processtime (s).
    """

    out: Mapping[str, Any]
    events: int
    sumw: float
    ids: Ids
    metrics: Mapping[str, Any]


def pack(chunk: Chunk) -> bytes:
    """A chunk as the content of its file; OptionError if an output cannot be stored."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", COMPRESSION[0], compresslevel=COMPRESSION[1]) as archive:
        outputs = [[name, *_write(archive, str(i), name, value)] for i, (name, value) in enumerate(chunk.out.items())]
        with archive.open("ids.npy", "w") as file:
            np.save(file, chunk.ids)
        about = {"events": chunk.events, "sumw": chunk.sumw, "metrics": chunk.metrics, "outputs": outputs}
        archive.writestr("chunk.json", json.dumps(about))
    return content.getvalue()


def unpack(content: bytes) -> Chunk:
    """A chunk from the content of its file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        about = json.loads(archive.read("chunk.json"))
        out = {name: _read(archive, str(i), *stored) for i, (name, *stored) in enumerate(about.pop("outputs"))}
        return Chunk(out=out, ids=np.load(archive.open("ids.npy")), **about)


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """Chunks of neighbouring entries as one, in their order."""
    metrics = accumulate([{**chunk.metrics, "columns": set(chunk.metrics["columns"])} for chunk in chunks])
    names = dict.fromkeys(name for chunk in chunks for name in chunk.out)
    return Chunk(
        out={name: _sum([chunk.out[name] for chunk in chunks if name in chunk.out]) for name in names},
        events=sum(chunk.events for chunk in chunks),
        sumw=sum(chunk.sumw for chunk in chunks),
        ids=np.sort(np.concatenate([chunk.ids for chunk in chunks])),
        metrics={**metrics, "columns": sorted(metrics["columns"])},
    )


def _sum(values: list[Any]) -> Any:
    return pa.concat_tables(values) if isinstance(values[0], pa.Table) else accumulate(values)


def storable(name: str, value: Any) -> None:
    """Raise OptionError unless an output is something that JSON can hold."""
    try:
        json.dumps(value)
    except TypeError as error:
        raise OptionError(f"output {name!r} of the processor cannot be stored: {error}") from error


def _write(archive: zipfile.ZipFile, place: str, name: str, value: Any) -> list[Any]:
    if isinstance(value, hist.Hist):
        uhi.io.zip.write(archive, place, value)
        return ["histogram"]
    if isinstance(value, pa.Table):
        with archive.open(f"{place}.parquet", "w") as file:
            pa.parquet.write_table(value, file, compression="lz4")
        return ["table"]
    storable(name, value)
    return ["json", value]


def _read(archive: zipfile.ZipFile, place: str, kind: str, value: Any = None) -> Any:
    match kind:
        case "histogram":
            return hist.Hist(uhi.io.zip.read(archive, place))
        case "table":
            return pa.parquet.read_table(io.BytesIO(archive.read(f"{place}.parquet")))
    return value


class ChunkStore:
    """The files of finished chunks in a directory, by address."""

    def __init__(self, directory: Path):
        self.directory = directory

    def path(self, address: str) -> Path:
        """The file of a chunk."""
        return self.directory / f"{address}.zip"

    def __contains__(self, address: str) -> bool:
        return self.path(address).is_file()

    def save(self, address: str, content: bytes) -> None:
        """Write what :func:`pack` made, whole or not at all."""
        write_atomically(self.path(address), content)

    def load(self, address: str) -> Chunk | None:
        """A chunk; None if it is not there or does not load."""
        try:
            return self.read(address)
        except DAMAGE:
            return None

    def read(self, address: str) -> Chunk:
        """A chunk that is there."""
        return unpack(self.path(address).read_bytes())

    def ids(self, address: str) -> Ids:
        """Fingerprints of a chunk's events."""
        with zipfile.ZipFile(self.path(address)) as archive:
            return np.load(archive.open("ids.npy"))

    def keep(self, addresses: set[str]) -> None:
        """Remove all chunks but these, and what a killed run left half written."""
        if self.directory.is_dir():
            for path in self.directory.iterdir():
                if path.stem not in addresses:
                    path.unlink(missing_ok=True)
