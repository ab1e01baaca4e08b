"""Sums over candidates: ``pf``, ``puppi`` and ``track``.

A photon that is the boson counts with weight one. PUPPI knows no vertex of it and takes a part of it for pile-up, which
would be a false recoil.

``track`` has a significance, and no chi² of two degrees: what it loses, the neutral energy, is in no candidate that it
sees (measured in docs/howto/significance.md).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptmiss.candidates import Candidates
from ptmiss.scales import DEFAULT, Scales
from ptmiss.segments import Offsets
from ptmiss.significance import Noise
from ptmiss.typing import Array, Vector

from .base import Selected
from .shifts import BOSON, CandidateSum

PHOTON = 22


def mark_photons(candidates: Candidates, selected: Selected) -> Candidates:
    """Candidates with a column that says which are selected photons; selected: (candidates,) mask."""
    chosen = selected & (candidates["pdgId"] == PHOTON)
    return replace(candidates, columns={**candidates.columns, BOSON: chosen})


def unit_weight(candidates: Candidates) -> NDArray[np.float32]:
    """(candidates,) ones."""
    return np.ones(candidates.offsets[-1], np.float32)


def puppi_weight(candidates: Candidates) -> NDArray[np.float32]:
    """(candidates,) PUPPI weights."""
    return candidates["puppiWeight"]


def vertex_track(candidates: Candidates) -> NDArray[np.float32]:
    """(candidates,) weights: 1 for charged candidates of the primary vertex (fromPV of 2 or 3), 0 for all others."""
    return ((candidates["charge"] != 0) & (candidates["fromPV"] >= 2)).astype(np.float32)


SUMS = {
    "pf": (unit_weight, ("pt", "phi")),
    "puppi": (puppi_weight, ("pt", "phi", "puppiWeight")),
    "track": (vertex_track, ("pt", "phi", "charge", "fromPV")),
}


@dataclass(frozen=True)
class WeightedSum(CandidateSum):
    """Minus the weighted sum of the candidates' momenta; SUMS has the weights."""

    name: str
    systematics: tuple[str, ...] = ()
    scales: Scales = DEFAULT
    jerc: str = ""
    noise: Noise | None = None

    @property
    def own_columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Candidate columns that the sum needs."""
        return SUMS[self.name][1]

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV."""
        return self.total(self.add(candidates, self.weigh(candidates)), candidates.offsets)

    def prepare(self, candidates: Candidates) -> Candidates:
        """The candidates."""
        return candidates

    def weigh(self, prepared: Candidates) -> NDArray:
        """(candidates,) weights."""
        weights = SUMS[self.name][0](prepared)
        photons = prepared.columns.get(BOSON)
        return weights if photons is None else np.where(photons, np.float32(1), weights)

    def add(self, prepared: Candidates, weights: NDArray) -> Array:
        """(events, 2) weighted sums of momenta, GeV."""
        from ptmiss.networks import kernels

        return kernels.sum_momenta(weights, prepared.momentum, prepared.offsets)

    def total(self, sums: Array, candidates: Offsets) -> Vector:
        """(events, 2) minus the sums."""
        return -sums
