"""The recoil table: one row an event, flat columns, parquet. It opens alike in pandas, polars and RDataFrame.

Columns: ``run luminosityBlock event weight npv njets``; ``boson_pt boson_phi boson_mass`` of the selected lepton pair
or photon, with ``boson_rapidity`` (pseudorapidity of a photon; not in older tables), and ``lepton_pt
lepton_phi`` of a single selected lepton, NaN where there is none; ``met_<estimator>_pt
met_<estimator>_phi``, and of its variations ``met_<estimator>_pt_jes_up`` and so on, with corrections beside them
``met_<estimator>_pt_corrected`` and ``met_<estimator>_pt_corrected_<systematic>``; in simulation ``genmet_pt
genmet_phi genboson_pt genboson_phi genseen_pt genseen_phi``, the last of what is seen of the generated boson (see
ptmiss.truth); ``boson_pt_<systematic> lepton_pt_<systematic>`` where corrected momenta of leptons are varied;
``dataset`` of the fileset; ``weight_<name>_up weight_<name>_down`` of the selection's weights, all
others nominal. GeV and rad, float32. How the table was made is in the file's metadata under ``ptmiss``: of each of
``datasets`` its metadata and ledger, and ``scale``, by which its weights were multiplied; ``luminosity`` (fb^-1) that
they stand for.
"""

from __future__ import annotations

import html
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from ptmiss import normalisation
from ptmiss.errors import ColumnError, LedgerError, OptionError, UnknownName
from ptmiss.files import AnyPath, digest, parquet, replacing
from ptmiss.recoil import azimuth, cartesian, magnitude
from ptmiss.systematics import NOMINAL
from ptmiss.table.columns import (
    CORRECTED,
    DATASET,
    EVENT_COLUMNS,
    MOVED,
    OPTIONAL_COLUMNS,
    SIGNIFICANCE,
    TRUTH_COLUMNS,
    WEIGHT,
    Table,
    in_order,
)
from ptmiss.typing import Array, Vector

SHOWN = 5  # rows in a notebook
BATCH = 65_536  # rows that are worked on at a time


def polar(name: str, vector: Vector, systematic: str = "") -> dict[str, NDArray]:
    """Columns ``<name>_pt`` (GeV) and ``<name>_phi`` (rad) of vectors, (events, 2); systematic: an ending of both."""
    return {f"{name}_pt{systematic}": magnitude(vector), f"{name}_phi{systematic}": azimuth(vector)}


def of_significance(name: str, significance: Array, covariance: Array) -> dict[str, NDArray]:
    """Columns ``<name>_significance`` (events,) and ``<name>_covXX``, ``_covXY``, ``_covYY`` (GeV²), as NanoAOD's."""
    values = significance, covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    return {f"{name}_{column}": value for column, value in zip(SIGNIFICANCE, values, strict=True)}


def rows(columns: Mapping[str, NDArray]) -> pa.Table:
    """Columns (events,) in the table's types and order: of the event, then of the estimators, then of the truth."""
    weights = {name: np.float32 for name in columns if name.startswith(WEIGHT)}
    optional = {name: kind for name, kind in OPTIONAL_COLUMNS.items() if name in columns}
    moved = {name: np.float32 for name in columns if name.startswith(MOVED) and name not in EVENT_COLUMNS | optional}
    mets = {name: np.float32 for name in columns if name.startswith("met_")}
    truth = {name: kind for name, kind in TRUTH_COLUMNS.items() if name in columns}
    types = EVENT_COLUMNS | optional | weights | moved | mets | truth
    return pa.table({name: np.asarray(columns[name], kind) for name, kind in types.items()})


def of_dataset(
    data: pa.Table, name: str, names: Sequence[str], scale: float = 1.0, others: Collection[str] = ()
) -> pa.Table:
    """Rows of a dataset, one of some, with its name, and their weights times a factor.

    others: columns of other rows. What the generator says is then NaN where these have none, and a varied weight,
    pTmiss, boson or lepton is the nominal one.
    """
    truth = not TRUTH_COLUMNS.keys().isdisjoint(others)
    missing = sorted(each for each in others if each.startswith(WEIGHT) and each not in data.column_names)
    for place, column in enumerate(missing, start=len(EVENT_COLUMNS)):
        data = data.add_column(place, column, pa.array(data["weight"].to_numpy().astype(np.float32)))
    for column in (each for each in data.column_names if each == "weight" or each.startswith(WEIGHT)):
        values = data[column].to_numpy()
        data = data.set_column(data.column_names.index(column), column, pa.array(values * values.dtype.type(scale)))
    wanted = [column for column in OPTIONAL_COLUMNS if column in others] + [*TRUTH_COLUMNS] * truth
    for column, kind in (OPTIONAL_COLUMNS | TRUTH_COLUMNS).items():
        if column in wanted and column not in data.column_names:
            data = data.append_column(column, pa.array(np.full(len(data), np.nan, kind)))
    vectors = (each for each in others if each.startswith(("met_", *MOVED)) and each not in data.column_names)
    for column in sorted(vectors, key=lambda each: (len(each), each)):
        known = [each for each in data.column_names if column.startswith(f"{each}_")]
        data = data.append_column(column, data[max(known, key=len)])
    index = pa.array(np.full(len(data), list(names).index(name), np.int32))
    return data.append_column(DATASET, pa.DictionaryArray.from_arrays(index, list(names)))


@dataclass(frozen=True, repr=False)
class RecoilTable(Table):
    """A recoil table in memory.

    Attributes:
        data: the rows.
        provenance: how it was made.
        numbers: (events,) of the rows in the table that they were taken from, None for 0, 1, 2, ….
    """

    data: pa.Table
    provenance: Mapping[str, Any]
    numbers: NDArray[np.int64] | None = None

    @property
    def columns(self) -> list[str]:
        """Names of its columns."""
        return list(self.data.column_names)

    def __len__(self) -> int:
        return self.data.num_rows

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.data.slice(0, SHOWN).to_pandas().to_html(index=False)}"

    def __getitem__(self, name: str) -> NDArray:
        self.require(name)
        return self.data[name].to_numpy()

    @property
    def row(self) -> NDArray[np.int64]:
        """(events,) number of each row in the table that it was taken from, whatever was selected since."""
        return np.arange(len(self)) if self.numbers is None else self.numbers

    def batches(self, columns: Iterable[str] | None = None) -> Iterator[RecoilTable]:
        """Its rows in their order, some at a time; columns: those that are needed, None for all."""
        data = self.data if columns is None else self.data.select(in_order(self.columns, columns))
        for first in range(0, len(self), BATCH):
            some = slice(first, first + BATCH)
            yield replace(self, data=data.slice(first, BATCH).combine_chunks(), numbers=self.row[some])

    def read(self) -> RecoilTable:
        """Itself."""
        return self

    def vector(self, name: str, systematic: str = "") -> Vector:
        """(events, 2) ``boson``, ``lepton``, ``genmet``, ``genboson``, ``genseen`` or ``met_<estimator>``, GeV.

        systematic: of the selected leptons; others leave them as they are.
        """
        ending = f"_{systematic.removeprefix(f'{CORRECTED[1:]}_')}" if systematic else ""
        ending = ending if f"{name}_pt{ending}" in self.data.column_names else ""
        return cartesian(self[f"{name}_pt{ending}"], self[f"{name}_phi{ending}"])

    def met(self, estimator: str) -> Vector:
        """(events, 2) pTmiss of an estimator, GeV."""
        if estimator not in self.estimators:
            raise UnknownName("estimator in the table", estimator, self.estimators)
        return self.vector(f"met_{estimator}")

    def varied_met(self, estimator: str, systematic: str) -> Vector:
        """(events, 2) pTmiss of an estimator with one of its systematics, GeV."""
        if systematic not in self.systematics(estimator):
            raise UnknownName(f"systematic of {estimator} in the table", systematic, self.systematics(estimator))
        return cartesian(*(self[f"met_{estimator}_{part}_{systematic}"] for part in ("pt", "phi")))

    def weight(self, variation: str = NOMINAL) -> NDArray[np.float64]:
        """(events,) weights, with one of their variations."""
        if variation != NOMINAL and variation not in self.weights:
            raise UnknownName("variation of the weights in the table", variation, [NOMINAL, *self.weights])
        return np.asarray(self["weight" if variation == NOMINAL else WEIGHT + variation], np.float64)

    def rows_of(self, dataset: str) -> RecoilTable:
        """The rows of one dataset."""
        part = self.select(self[DATASET] == dataset)
        return replace(part, provenance=self.provenance_of(dataset))

    def select_columns(self, columns: Iterable[str]) -> RecoilTable:
        """Without other columns."""
        return replace(self, data=self.data.select(list(columns)))

    def select(self, mask: NDArray[np.bool_]) -> RecoilTable:
        """Only the events in the mask."""
        return replace(self, data=self.data.filter(pa.array(mask)), numbers=self.row[mask])


@dataclass(frozen=True, repr=False)
class StoredTable(Table):
    """A recoil table that stays on disk: files of parquet with the same columns, read some rows at a time.

    parts: the files, in their order; names: of the columns that are used; dataset: that whose rows are used, None for
    all.
    """

    parts: Sequence[parquet.Part]
    names: Sequence[str]
    provenance: Mapping[str, Any]
    dataset: str | None = None

    @property
    def columns(self) -> list[str]:
        """Names of its columns."""
        return list(self.names)

    @cached_property
    def _events(self) -> int:
        if self.dataset is None:
            return sum(part.rows for part in self.parts)
        return sum(batch.num_rows for _, batch in self._read([DATASET]))

    def __len__(self) -> int:
        return self._events

    def _read(self, columns: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
        return parquet.batches(self.parts, columns, BATCH, (DATASET, self.dataset) if self.dataset else None)

    def batches(self, columns: Iterable[str] | None = None) -> Iterator[RecoilTable]:
        """Its rows in their order, some at a time; columns: those that are needed, None for all."""
        wanted = list(self.columns) if columns is None else in_order(self.columns, columns)
        for numbers, data in self._read(wanted):
            yield RecoilTable(data, self.provenance, numbers)

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, or of those of the files."""
        every = [digest(part.path) for part in self.parts]
        return every[0] if len(every) == 1 else digest("".join(every).encode())

    def rows_of(self, dataset: str) -> StoredTable:
        """The rows of one dataset."""
        return replace(self, dataset=dataset, provenance=self.provenance_of(dataset))

    def select_columns(self, columns: Iterable[str]) -> StoredTable:
        """Without other columns."""
        return replace(self, names=in_order(self.columns, columns))

    def read(self) -> RecoilTable:
        """All rows in memory."""
        found = list(self.batches())
        data = (
            pa.concat_tables([batch.data for batch in found]) if found else parquet.empty(self.parts[0], self.columns)
        )
        return RecoilTable(data, self.provenance, np.concatenate([b.row for b in found]) if self.dataset else None)


def open_table(source: AnyPath | Iterable[AnyPath]) -> StoredTable:
    """A recoil table that is read some rows at a time.

    Args:
        source: a parquet file that ``skim`` wrote, a folder, a glob, or several of these.

    Returns:
        The table: what is in it is known, its rows are still on disk.

    Raises:
        FileError: no file, or one that is not readable.
        ColumnError: a file is no recoil table, or has other columns than the first.
        LedgerError: files of one dataset cannot be taken together.
    """
    parts = parquet.find(source)
    for part in parts:
        missing = [name for name in EVENT_COLUMNS if name not in part.columns]
        if missing:
            raise ColumnError(f"{part.path} is not a recoil table: it has no column {', '.join(missing)}")
    parquet.require_same_columns(parts)
    return StoredTable(parts, parts[0].columns, merge(parts))


def read(source: AnyPath | Iterable[AnyPath]) -> RecoilTable:
    """A recoil table in memory.

    Args:
        source: a parquet file that ``skim`` wrote, a folder, a glob, or several of these.

    Returns:
        One row per event: ``table["weight"]`` is ``(events,)``, ``table.met("pf")`` is ``(events, 2)`` in GeV.

    Raises:
        FileError: no file, or one that is not readable.
        ColumnError: a file is no recoil table, or has other columns than the first.
        LedgerError: files of one dataset cannot be taken together.
    """
    return open_table(source).read()


def merge(parts: Sequence[parquet.Part]) -> dict[str, Any]:
    """How the rows of several files were made: what the first says, and the datasets of all.

    Files of one skim say the same but for their number; ledgers of several skims add up.
    """
    first, skims = parts[0], dict[str, list[parquet.Part]]()
    texts = {id(part.provenance): json.dumps(part.provenance) for part in {id(p.provenance): p for p in parts}.values()}
    for part in parts:
        if part.provenance.get("selection") != first.provenance.get("selection"):
            raise OptionError(f"{first.path} and {part.path} were made with other selections")
        skims.setdefault(texts[id(part.provenance)], []).append(part)
    for files in skims.values():
        _require_once(files)
    made = [files[0].provenance for files in skims.values()]
    if len(made) == 1:
        return dict(made[0])
    return {**made[0], "datasets": normalisation.together([each.get("datasets") or {} for each in made])}


def _require_once(files: Sequence[parquet.Part]) -> None:
    """Raise LedgerError if files of one skim have the same rows, or some are missing."""
    seen = dict[int | None, Path]()
    for part in files:
        if part.number in seen and part.provenance.get("datasets"):
            raise LedgerError(f"{seen[part.number]} and {part.path} are the same rows: they would count twice")
        seen[part.number] = part.path
    if files[0].files not in (None, len(seen)):
        raise LedgerError(
            f"{files[0].path} is one of {files[0].files} files of a skim, {len(seen)} of them are there: expected all"
        )


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
            self._writer = pa.parquet.ParquetWriter(self._path, data.schema, write_page_checksum=True, **options)
        self._writer.write_table(data.select(self._writer.schema.names))
        self.rows += data.num_rows

    def close(self, provenance: Mapping[str, Any]) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.add_key_value_metadata({parquet.METADATA: json.dumps(provenance)})
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
