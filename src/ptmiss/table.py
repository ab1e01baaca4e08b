"""The recoil table: one row an event, flat columns, parquet. It opens alike in pandas, polars and RDataFrame.

Columns: ``run luminosityBlock event weight npv njets``; ``boson_pt boson_phi boson_mass`` of the selected muon pair and
``lepton_pt lepton_phi`` of a single selected muon, NaN where there is none; ``met_<estimator>_pt
met_<estimator>_phi``; in simulation ``genmet_pt genmet_phi genboson_pt genboson_phi``. GeV and rad, float32. How the
table was made is in the file's metadata under ``ptmiss``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from ptmiss.errors import ColumnError, FileError, UnknownName
from ptmiss.files import replacing
from ptmiss.recoil import Vector, azimuth, cartesian, magnitude

METADATA = b"ptmiss"
EVENT_COLUMNS = {
    "run": np.uint32,
    "luminosityBlock": np.uint32,
    "event": np.uint64,
    "weight": np.float64,
    "npv": np.int32,
    "njets": np.int32,
    "boson_pt": np.float32,
    "boson_phi": np.float32,
    "boson_mass": np.float32,
    "lepton_pt": np.float32,
    "lepton_phi": np.float32,
}
TRUTH_COLUMNS = dict.fromkeys(("genmet_pt", "genmet_phi", "genboson_pt", "genboson_phi"), np.float32)


def polar(name: str, vector: Vector) -> dict[str, NDArray]:
    """Columns ``<name>_pt`` (GeV) and ``<name>_phi`` (rad) of vectors, shape (events, 2)."""
    return {f"{name}_pt": magnitude(vector), f"{name}_phi": azimuth(vector)}


def rows(columns: Mapping[str, NDArray]) -> pa.Table:
    """Columns in the table's types and order: those of the event, then those of the estimators, then the truth."""
    mets = {name: np.float32 for name in columns if name.startswith("met_")}
    truth = {name: kind for name, kind in TRUTH_COLUMNS.items() if name in columns}
    types = EVENT_COLUMNS | mets | truth
    return pa.table({name: np.asarray(columns[name], kind) for name, kind in types.items()})


@dataclass(frozen=True)
class RecoilTable:
    """A recoil table in memory.

    data: the rows; provenance: how it was made.
    """

    data: pa.Table
    provenance: Mapping[str, Any]

    def __len__(self) -> int:
        return self.data.num_rows

    def __getitem__(self, name: str) -> NDArray:
        if name not in self.data.column_names:
            raise ColumnError(f"the table has no column {name!r}; there: {', '.join(self.data.column_names)}")
        return self.data[name].to_numpy()

    @cached_property
    def estimators(self) -> list[str]:
        """Names of the estimators, in the order of their columns."""
        columns = self.data.column_names
        return [
            c.removeprefix("met_").removesuffix("_pt") for c in columns if c.startswith("met_") and c.endswith("_pt")
        ]

    def vector(self, name: str) -> Vector:
        """(events, 2) vectors, GeV, of ``boson``, ``lepton``, ``genmet``, ``genboson`` or ``met_<estimator>``."""
        return cartesian(self[f"{name}_pt"], self[f"{name}_phi"])

    def met(self, estimator: str) -> Vector:
        """(events, 2) pTmiss of an estimator, GeV."""
        if estimator not in self.estimators:
            raise UnknownName("estimator in the table", estimator, self.estimators)
        return self.vector(f"met_{estimator}")

    def only(self, estimators: Iterable[str]) -> RecoilTable:
        """Without the other estimators."""
        kept = set(estimators)
        others = [f"met_{name}_{part}" for name in self.estimators if name not in kept for part in ("pt", "phi")]
        return replace(self, data=self.data.drop_columns(others))

    def select(self, mask: NDArray[np.bool_]) -> RecoilTable:
        """Only the events in the mask."""
        return replace(self, data=self.data.filter(pa.array(mask)))


def read(path: Path) -> RecoilTable:
    """A recoil table from its file."""
    try:
        data = pa.parquet.read_table(path)
        metadata = pa.parquet.read_metadata(path).metadata or {}
    except FileNotFoundError as error:
        raise FileError(f"no such recoil table: {path}") from error
    except (OSError, pa.ArrowInvalid) as error:
        reason = str(error).splitlines()[0]
        reason = "it is of another format" if "magic bytes" in reason else reason
        raise FileError(f"{path} is not a readable parquet file: {reason}") from error
    missing = [name for name in EVENT_COLUMNS if name not in data.column_names]
    if missing:
        raise ColumnError(f"{path} is not a recoil table: it has no column {', '.join(missing)}")
    try:
        return RecoilTable(data, json.loads(metadata.get(METADATA, b"{}")))
    except ValueError as error:
        raise FileError(f"{path} does not say how it was made: {METADATA.decode()!r} in it is not JSON") from error


class TableWriter:
    """Writes rows as they come and how they were made at the end."""

    def __init__(self, path: Path):
        self._path = path
        self._writer: pa.parquet.ParquetWriter | None = None
        self.rows = 0

    def write(self, data: pa.Table) -> None:
        """Add rows."""
        if self._writer is None:
            floats = [f.name for f in data.schema if pa.types.is_float32(f.type)]
            others = [f.name for f in data.schema if f.name not in floats]
            options = {"compression": "zstd", "use_dictionary": others, "use_byte_stream_split": floats}
            self._writer = pa.parquet.ParquetWriter(self._path, data.schema, **options)
        self._writer.write_table(data)
        self.rows += data.num_rows

    def close(self, provenance: Mapping[str, Any]) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.add_key_value_metadata({METADATA.decode(): json.dumps(provenance)})
            self._writer.close()

    def abandon(self) -> None:
        """Close the file as it is; it will be removed."""
        if self._writer is not None and self._writer.is_open:
            self._writer.close()


@contextmanager
def writing(path: Path) -> Iterator[TableWriter]:
    """A writer whose file appears under its name when it was closed without an error, and not at all otherwise."""
    with replacing(path) as temporary:
        writer = TableWriter(temporary)
        try:
            yield writer
        finally:
            writer.abandon()
