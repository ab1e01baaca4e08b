"""The columns of a recoil table, and what they and the table's provenance say, wherever its rows are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from ptmiss.errors import ColumnError, OptionError, UnknownName

DATASET = "dataset"
SIGNIFICANCE = ("significance", "covXX", "covXY", "covYY")  # ends of columns
CORRECTED = "_corrected"  # ending of the columns of corrected pTmiss, before that of a systematic
WEIGHT = "weight_"  # before the name of a weight's variation
MOVED = ("boson_", "lepton_")  # before variations of the selected leptons
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
OPTIONAL_COLUMNS = {"boson_rapidity": np.float32}
"""Of events, too; a table without them is read as well."""
TRUTH_COLUMNS = dict.fromkeys(
    (f"{name}_{part}" for name in ("genmet", "genboson", "genseen") for part in ("pt", "phi")), np.float32
)


class Table(ABC):
    """What the columns of a recoil table, and how it was made, say of it; where its rows are is left open."""

    provenance: Mapping[str, Any]

    @property
    @abstractmethod
    def columns(self) -> list[str]:
        """Names of its columns."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of events."""

    @abstractmethod
    def batches(self, columns: Iterable[str] | None = None) -> Iterator[Any]:
        """Its rows in their order, as tables in memory, some at a time; columns: those needed, None for all."""

    @abstractmethod
    def read(self) -> Any:
        """The table in memory, all its rows."""

    @abstractmethod
    def select_columns(self, columns: Iterable[str]) -> Self:
        """Without other columns."""

    @abstractmethod
    def rows_of(self, dataset: str) -> Self:
        """The rows of one dataset."""

    def require(self, *columns: str) -> None:
        """Raise ColumnError without one of these columns."""
        for name in columns:
            if name not in self.columns:
                raise ColumnError(f"the table has no column {name!r}; there: {', '.join(self.columns)}")

    def __repr__(self) -> str:
        of = f" of {', '.join(self.datasets)}" if self.datasets else ""
        return f"{len(self)} events{of}, pTmiss by {', '.join(self.estimators)}"

    @property
    def estimators(self) -> list[str]:
        """Names of the estimators, in the order of their columns."""
        ends = [c for c in self.columns if c.startswith("met_") and c.endswith("_pt")]
        return [column.removeprefix("met_").removesuffix("_pt") for column in ends]

    def systematics(self, estimator: str) -> list[str]:
        """The systematics of an estimator that the table has: ``jes_up``, ``jes_down``, …; also ``corrected``, …"""
        start = f"met_{estimator}_pt_"
        return [column.removeprefix(start) for column in self.columns if column.startswith(start)]

    @property
    def weights(self) -> list[str]:
        """Names of the variations of the weights that the table has: ``pileup_up``, ``pileup_down``, …"""
        return [column.removeprefix(WEIGHT) for column in self.columns if column.startswith(WEIGHT)]

    def only(self, estimators: Iterable[str]) -> Self:
        """Without the other estimators."""
        kept = set(estimators)
        left_out = [name for name in self.estimators if name not in kept]
        starts = tuple(f"met_{name}_{part}" for name in left_out for part in ("pt", "phi", *SIGNIFICANCE))
        return self.select_columns(
            c for c in self.columns if c not in starts and not c.startswith(tuple(f"{s}_" for s in starts))
        )

    @property
    def datasets(self) -> Mapping[str, Any]:
        """What is known of each dataset: ``metadata``, ``ledger``, ``scale``; nothing in a table made by hand."""
        return dict(self.provenance.get("datasets") or {})

    def of(self, dataset: str | None = None) -> Self:
        """The rows of a dataset, or all where they may be taken together; OptionError where one has to be named."""
        parts = self.apart() if dataset is None else dict.fromkeys(self.datasets)
        if dataset is not None and dataset not in parts:
            raise UnknownName("dataset in the table", dataset, parts)
        if dataset is None and len(parts) > 1:
            raise OptionError(f"the table holds data and simulation, expected one of its datasets: {', '.join(parts)}")
        return self if dataset is None or len(parts) == 1 else self._alone(dataset)

    def apart(self) -> Mapping[str, Self]:
        """The tables of its datasets, if they cannot be taken together: data and simulation; itself without a name
        else.

        Weights of several processes may be added: skim scales them to one luminosity, unless it is told not to.
        """
        kinds = {about["metadata"].get("kind") for about in self.datasets.values()}
        return {"": self} if len(kinds) < 2 else {name: self._alone(name) for name in self.datasets}

    def provenance_of(self, dataset: str) -> dict[str, Any]:
        """How the rows of one dataset were made."""
        return {**self.provenance, "datasets": {dataset: self.datasets[dataset]}}

    def _alone(self, dataset: str) -> Self:
        is_data = self.datasets[dataset]["metadata"].get("kind") == "data"
        return self.rows_of(dataset).select_columns(c for c in self.columns if not (is_data and c in TRUTH_COLUMNS))


def in_order(known: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Those of the known columns that are wanted, in their own order."""
    chosen = set(wanted)
    return [column for column in known if column in chosen]
