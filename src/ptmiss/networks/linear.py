"""The baseline for networks: one weight for each of 64 classes of candidates, from a fit by least squares."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ptmiss.candidates import CATEGORIES, VOCABULARY
from ptmiss.networks.features import FEATURES, SCALE
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.weights import Tensors, check_shapes
from ptmiss.segments import sum_by_event

ETA_EDGES = (2.5, 3.0)
PUPPI_EDGES = (0.01, 0.3, 0.8)
PT_EDGES = (1.0, 2.0, 5.0, 20.0)  # GeV
LEPTON, VERTEX, LOOSE, PILEUP = range(4)
CHARGED = 4
SHAPE = (len(ETA_EDGES) + 1, len(PUPPI_EDGES) + 1, len(PT_EDGES) + 1)
CLASSES = CHARGED + int(np.prod(SHAPE))
"""Leptons; charged hadrons with fromPV of 2 or 3, 1, and 0; neutrals in bins of abs(eta), PUPPI weight and pt."""


@dataclass(frozen=True)
class Linear:
    """``pTmiss = -Σ w(class) pT`` over the candidates."""

    tensors: Tensors = field(repr=False)
    padding: int = 0
    name: str = "linear"
    architecture = "linear"
    features = FEATURES
    sees_neighbours = False
    latents = 0

    def __post_init__(self) -> None:
        check_shapes(self.name, self.tensors, {"weight": (CLASSES,)})

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return CLASSES

    def evaluate(self, inputs: Inputs) -> NDArray[np.float32]:
        """(events, 2) pTmiss, GeV."""
        return self.total(self.add(inputs, self.outputs(inputs)), np.diff(inputs.offsets))

    def outputs(self, inputs: Inputs) -> NDArray[np.float32]:
        """(n,) weight of every candidate."""
        return self.tensors["weight"][classes(inputs)]

    def momentum_weights(self, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) factor with which minus the momentum of every candidate counts in pTmiss; outputs: (n,)."""
        return outputs.astype(np.float64)

    def add(self, inputs: Inputs, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """(events, 2) sums of the weighted momenta over 50 GeV; outputs: (n,)."""
        return sum_by_event(outputs[:, np.newaxis] * inputs.features[:, 6:8], inputs.offsets)

    def total(self, sums: NDArray[np.float64], counts: NDArray[np.integer]) -> NDArray[np.float32]:
        """(events, 2) pTmiss, GeV, of the sums, (events, 2); counts is there for networks with padding."""
        return (-SCALE * sums).astype(np.float32)


def classes(inputs: Inputs) -> NDArray[np.intp]:
    """(n,) class of each candidate."""
    found = class_of_row()[inputs.rows]
    neutral = np.flatnonzero(found == CHARGED)
    pt, eta, puppi = (inputs.features[neutral, column] for column in (4, 2, 5))
    bins = (
        np.searchsorted(ETA_EDGES, np.abs(eta), side="right"),
        np.searchsorted(PUPPI_EDGES, puppi, side="right"),
        np.searchsorted(PT_EDGES, SCALE * pt, side="right"),
    )
    found[neutral] += np.ravel_multi_index(bins, SHAPE)
    return found


@cache
def class_of_row() -> NDArray[np.intp]:
    """(rows,) class of each row of the category table; all neutrals have CHARGED, the first number after the others."""
    charge, pdg_id, from_pv = (
        values.ravel() for values in np.meshgrid(*(VOCABULARY[c] for c in CATEGORIES), indexing="ij")
    )
    lepton = np.isin(np.abs(pdg_id), (11, 13))
    return np.select([lepton, charge == 0, from_pv >= 2, from_pv == 1], [LEPTON, CHARGED, VERTEX, LOOSE], PILEUP)
