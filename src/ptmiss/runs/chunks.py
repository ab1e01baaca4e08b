"""Finished chunks on disk: each one file, written whole, in formats that cannot run code.

A chunk's file is a zip archive: ``chunk.json`` with numbers and the order of the outputs, tables as parquet,
``ids.npy`` and ``sections.npy`` with a fingerprint of each event and luminosity section, and ``histograms.zip.zst``
with the histograms in uhi's format, without empty bins, and compressed together. Its name is the chunk's address (see
ptmiss.runs.addresses). A truncated or changed file does not load, and its chunk counts as missing.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import uhi.io.zip
from coffea.processor import accumulate
from numpy.typing import NDArray
from uhi.io import from_sparse, to_sparse

from ptmiss.errors import OptionError
from ptmiss.files import write_atomically

DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
PRINTS = ("ids", "sections")
HISTOGRAMS, CODEC = "histograms.zip.zst", "zstd"

KEPT = (hist.Hist, pa.Table)  # outputs that are not JSON
MEANS = (hist.storage.Mean, hist.storage.WeightedMean)
"""Storages whose bins do not come back from uhi's format, which has no variance of a single entry."""

Ids = NDArray[np.uint64]


@dataclass(frozen=True)
class Chunk:
    """The result of a range of entries.

    out: the processor's output: histograms, tables, and values for JSON. events, sumw: number of events and sum of
    their generator weights. ids, sections: sorted fingerprints of the events, (events,), and of their luminosity
    sections, (sections,). metrics: entries, bytesread, columns, processtime (s).
    """

    out: Mapping[str, Any]
    events: int
    sumw: float
    ids: Ids
    sections: Ids
    metrics: Mapping[str, Any]


@dataclass
class Packed:
    """A chunk and the content of its file. Only the content is sent from process to process."""

    content: bytes
    _chunk: Chunk | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The content."""
        return {"content": self.content, "_chunk": None}

    @property
    def chunk(self) -> Chunk:
        """The chunk; it is unpacked if it came from another process."""
        return self._chunk or unpack(self.content)


def pack(chunk: Chunk) -> Packed:
    """The chunk with the content of its file; OptionError if an output cannot be stored."""
    chunk = replace(chunk, out=as_stored(chunk.out))
    content, histograms = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        with zipfile.ZipFile(histograms, "w") as inner:
            outputs = [_write(archive, inner, str(i), *output) for i, output in enumerate(chunk.out.items())]
        archive.writestr(HISTOGRAMS, pa.compress(histograms.getbuffer(), CODEC, asbytes=True))
        for name in PRINTS:
            with archive.open(f"{name}.npy", "w") as file:
                np.save(file, getattr(chunk, name))
        about = {"events": chunk.events, "sumw": chunk.sumw, "metrics": chunk.metrics}
        size = histograms.getbuffer().nbytes
        archive.writestr("chunk.json", json.dumps({"chunk": about, "outputs": outputs, "histograms": size}))
    return Packed(content.getvalue(), chunk)


def unpack(content: bytes) -> Chunk:
    """A chunk from the content of its file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        about = json.loads(archive.read("chunk.json"))
        histograms = pa.decompress(archive.read(HISTOGRAMS), about["histograms"], CODEC, asbytes=True)
        with zipfile.ZipFile(io.BytesIO(histograms)) as inner:
            out = {name: _read(archive, inner, str(i), *what) for i, (name, *what) in enumerate(about["outputs"])}
        prints = {name: np.load(archive.open(f"{name}.npy")) for name in PRINTS}
        return Chunk(out=out, **prints, **about["chunk"])


def concatenate(chunks: Sequence[Chunk]) -> Chunk:
    """One chunk from chunks of neighbouring entries, in their order."""
    metrics = accumulate([{**chunk.metrics, "columns": set(chunk.metrics["columns"])} for chunk in chunks])
    names = dict.fromkeys(name for chunk in chunks for name in chunk.out)
    return Chunk(
        out={name: _sum([chunk.out[name] for chunk in chunks if name in chunk.out]) for name in names},
        events=sum(chunk.events for chunk in chunks),
        sumw=sum(chunk.sumw for chunk in chunks),
        ids=np.sort(np.concatenate([chunk.ids for chunk in chunks])),
        sections=np.unique(np.concatenate([chunk.sections for chunk in chunks])),
        metrics={**metrics, "columns": sorted(metrics["columns"])},
    )


def _sum(values: list[Any]) -> Any:
    return pa.concat_tables(values) if isinstance(values[0], pa.Table) else accumulate(values)


def storable(name: str, value: Any) -> Any:
    """An output as it is after a round trip through JSON; OptionError if JSON cannot hold it or it does not add."""
    try:
        text = json.dumps({name: value})
        accumulate([json.loads(text), json.loads(text)])
    except (TypeError, ValueError) as error:
        raise OptionError(f"output {name!r} of the processor cannot be stored and added up: {error}") from error
    return json.loads(text)[name]


def as_stored(out: Mapping[str, Any]) -> dict[str, Any]:
    """A processor's output as it would come back from disk: JSON turns keys into strings and tuples into lists."""
    return {name: value if isinstance(value, KEPT) else storable(name, value) for name, value in flat(out).items()}


def flat(out: Mapping[str, Any]) -> dict[str, Any]:
    """Histograms and tables inside dictionaries by all names on the way to them: ``SR/met``."""
    found: dict[str, Any] = {}
    for name, value in out.items():
        if isinstance(value, Mapping) and holds_kept(value):
            found |= {f"{name}/{inner}": each for inner, each in flat(value).items()}
        else:
            found[str(name)] = value
    return found


def holds_kept(value: Any) -> bool:
    """Whether it is, or has inside, a histogram or a table."""
    return isinstance(value, KEPT) or (isinstance(value, Mapping) and any(map(holds_kept, value.values())))


def _write(
    archive: zipfile.ZipFile, histograms: zipfile.ZipFile, place: str, name: str, value: Any
) -> tuple[str, str, Any]:
    """Store an output; returns its name, its kind, and, if it is for JSON, its value."""
    if isinstance(value, hist.Hist) and value.storage_type in MEANS:
        uhi.io.zip.write(histograms, place, to_sparse(value.copy().reset()._to_uhi_()))
        with archive.open(f"{place}.npy", "w") as file:
            np.save(file, np.asarray(value.view(flow=True)))
        return name, "means", None
    if isinstance(value, hist.Hist):
        uhi.io.zip.write(histograms, place, to_sparse(value._to_uhi_()))
        return name, "histogram", None
    if isinstance(value, pa.Table):
        with archive.open(f"{place}.parquet", "w") as file:
            pa.parquet.write_table(value, file, compression="lz4")
        return name, "table", None
    return name, "json", value


def _read(archive: zipfile.ZipFile, histograms: zipfile.ZipFile, place: str, kind: str, value: Any) -> Any:
    match kind:
        case "histogram":
            return hist.Hist(from_sparse(uhi.io.zip.read(histograms, place)))
        case "means":
            found = hist.Hist(from_sparse(uhi.io.zip.read(histograms, place)))
            found.view(flow=True)[...] = np.load(archive.open(f"{place}.npy"))
            return found
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
        """A chunk; None if it is missing or does not load."""
        try:
            return self.read(address)
        except DAMAGE:
            return None

    def read(self, address: str) -> Chunk:
        """A chunk, which must exist."""
        return unpack(self.path(address).read_bytes())

    def ids(self, address: str, of: str = "ids") -> Ids:
        """(events,) fingerprints of a chunk's events, or (sections,) of its ``sections``."""
        with zipfile.ZipFile(self.path(address)) as archive:
            return np.load(archive.open(f"{of}.npy"))

    def keep(self, addresses: set[str]) -> None:
        """Remove all other chunks, and incomplete files that a killed run left."""
        if self.directory.is_dir():
            for path in self.directory.iterdir():
                if path.suffix == ".zip" and path.stem not in addresses:
                    path.unlink(missing_ok=True)
