"""The recoil table: one row an event, flat columns, parquet. It opens alike in pandas, polars and RDataFrame.

Columns: ``run luminosityBlock event weight npv njets``; ``boson_pt boson_phi boson_mass`` of the selected lepton pair
or photon and ``lepton_pt lepton_phi`` of a single selected lepton, NaN where there is none; ``met_<estimator>_pt
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

from ptmiss.errors import ColumnError, FileError, OptionError, UnknownName
from ptmiss.files import AnyPath, as_path, replacing
from ptmiss.recoil import azimuth, cartesian, magnitude
from ptmiss.selections import Selection, load_selection
from ptmiss.systematics import NOMINAL
from ptmiss.typing import Array, Vector

METADATA = b"ptmiss"
DATASET = "dataset"
SIGNIFICANCE = ("significance", "covXX", "covXY", "covYY")  # ends of columns
CORRECTED = "_corrected"  # ending of the columns of corrected pTmiss, before that of a systematic
WEIGHT = "weight_"  # before the name of a weight's variation
MOVED = ("boson_", "lepton_")  # before variations of the selected leptons
SHOWN = 5  # rows in a notebook
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
TRUTH_COLUMNS = dict.fromkeys(
    (f"{name}_{part}" for name in ("genmet", "genboson", "genseen") for part in ("pt", "phi")), np.float32
)


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
    moved = {name: np.float32 for name in columns if name.startswith(MOVED) and name not in EVENT_COLUMNS}
    mets = {name: np.float32 for name in columns if name.startswith("met_")}
    truth = {name: kind for name, kind in TRUTH_COLUMNS.items() if name in columns}
    types = EVENT_COLUMNS | weights | moved | mets | truth
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
    for column, kind in TRUTH_COLUMNS.items():
        if truth and column not in data.column_names:
            data = data.append_column(column, pa.array(np.full(len(data), np.nan, kind)))
    vectors = (each for each in others if each.startswith(("met_", *MOVED)) and each not in data.column_names)
    for column in sorted(vectors, key=lambda each: (len(each), each)):
        known = [each for each in data.column_names if column.startswith(f"{each}_")]
        data = data.append_column(column, data[max(known, key=len)])
    index = pa.array(np.full(len(data), list(names).index(name), np.int32))
    return data.append_column(DATASET, pa.DictionaryArray.from_arrays(index, list(names)))


@dataclass(frozen=True)
class RecoilTable:
    """A recoil table in memory.

    data: the rows; provenance: how it was made.
    """

    data: pa.Table
    provenance: Mapping[str, Any]

    def __len__(self) -> int:
        return self.data.num_rows

    def __repr__(self) -> str:
        of = f" of {', '.join(self.datasets)}" if self.datasets else ""
        return f"{len(self)} events{of}, pTmiss by {', '.join(self.estimators)}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.data.slice(0, SHOWN).to_pandas().to_html(index=False)}"

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

    def systematics(self, estimator: str) -> list[str]:
        """The systematics of an estimator that the table has: ``jes_up``, ``jes_down``, …; also ``corrected``, …"""
        start = f"met_{estimator}_pt_"
        return [column.removeprefix(start) for column in self.data.column_names if column.startswith(start)]

    def varied(self, estimator: str, systematic: str) -> Vector:
        """(events, 2) pTmiss of an estimator with one of its systematics, GeV."""
        if systematic not in self.systematics(estimator):
            raise UnknownName(f"systematic of {estimator} in the table", systematic, self.systematics(estimator))
        return cartesian(*(self[f"met_{estimator}_{part}_{systematic}"] for part in ("pt", "phi")))

    @property
    def weights(self) -> list[str]:
        """Names of the variations of the weights that the table has: ``pileup_up``, ``pileup_down``, …"""
        return [column.removeprefix(WEIGHT) for column in self.data.column_names if column.startswith(WEIGHT)]

    def weight(self, variation: str = NOMINAL) -> NDArray[np.float64]:
        """(events,) weights, with one of their variations."""
        if variation != NOMINAL and variation not in self.weights:
            raise UnknownName("variation of the weights in the table", variation, [NOMINAL, *self.weights])
        return np.asarray(self["weight" if variation == NOMINAL else WEIGHT + variation], np.float64)

    def only(self, estimators: Iterable[str]) -> RecoilTable:
        """Without the other estimators."""
        kept = set(estimators)
        left_out = [name for name in self.estimators if name not in kept]
        starts = tuple(f"met_{name}_{part}" for name in left_out for part in ("pt", "phi", *SIGNIFICANCE))
        others = [c for c in self.data.column_names if c in starts or c.startswith(tuple(f"{s}_" for s in starts))]
        return replace(self, data=self.data.drop_columns(others))

    @property
    def datasets(self) -> Mapping[str, Any]:
        """What is known of each dataset: ``metadata``, ``ledger``, ``scale``; nothing in a table made by hand."""
        return dict(self.provenance.get("datasets") or {})

    def of(self, dataset: str | None = None) -> RecoilTable:
        """The rows of a dataset, or all where they may be taken together; OptionError where one has to be named."""
        parts = self.apart() if dataset is None else dict.fromkeys(self.datasets)
        if dataset is not None and dataset not in parts:
            raise UnknownName("dataset in the table", dataset, parts)
        if dataset is None and len(parts) > 1:
            raise OptionError(f"the table holds data and simulation, expected one of its datasets: {', '.join(parts)}")
        return self if dataset is None or len(parts) == 1 else self._rows_of(dataset)

    def _rows_of(self, dataset: str) -> RecoilTable:
        part = self.select(self[DATASET] == dataset)
        about = self.datasets[dataset]
        if about["metadata"].get("kind") == "data":
            part = replace(part, data=part.data.drop_columns([c for c in TRUTH_COLUMNS if c in part.data.column_names]))
        return replace(part, provenance={**self.provenance, "datasets": {dataset: about}})

    def apart(self) -> Mapping[str, RecoilTable]:
        """The tables of its datasets, if they cannot be taken together: data and simulation; itself without a name
        else.

        Weights of several processes may be added: skim scales them to one luminosity, unless it is told not to.
        """
        kinds = {about["metadata"].get("kind") for about in self.datasets.values()}
        return {"": self} if len(kinds) < 2 else {name: self._rows_of(name) for name in self.datasets}

    @property
    def selection(self) -> Selection:
        """The selection with which it was made; the default one of a table made by hand."""
        return load_selection(self.provenance.get("selection") or "default")

    def in_window(self) -> NDArray[np.bool_]:
        """(events,) those with a selected boson, in the mass window of the selection if it is a lepton pair."""
        keep, window = np.isfinite(self["boson_pt"]), self.selection.window
        return keep if window is None else keep & (self["boson_mass"] > window[0]) & (self["boson_mass"] < window[1])

    def select(self, mask: NDArray[np.bool_]) -> RecoilTable:
        """Only the events in the mask."""
        return replace(self, data=self.data.filter(pa.array(mask)))


def read(path: AnyPath) -> RecoilTable:
    """A recoil table from its file."""
    path = as_path(path)
    if path.is_dir():
        raise FileError(f"{path} is a directory, expected a recoil table, the parquet file that ptmiss skim writes")
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
        self._writer.write_table(data.select(self._writer.schema.names))
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
