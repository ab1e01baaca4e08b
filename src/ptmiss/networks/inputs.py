"""Inputs of networks on candidates: features, the row of a table for three categories, sums over neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from ptmiss.candidates import CATEGORIES, LATENTS, VOCABULARY, Candidates
from ptmiss.networks.features import FEATURES, OVERFLOW, SCALE
from ptmiss.segments import Offsets

UNKNOWN = 255  # the row of a candidate whose category is not in the vocabulary


@dataclass(frozen=True)
class Inputs:
    """Inputs of a network: features (n, 8), momenta in units of 50 GeV; rows (n,) of the category table; offsets.

    latents: (n, width) what the MLPF that made the candidates knows of them; None for other candidates.
    """

    features: NDArray[np.float32]
    rows: NDArray[np.uint8]
    offsets: Offsets
    latents: NDArray[np.float16] | None = None

    @staticmethod
    def of(features: NDArray[np.float32], categories: NDArray[np.integer], offsets: Offsets) -> Inputs:
        """Inputs from physical values: features (n, 8), categories (n, 3), offsets (events + 1,); see DeepMET.met."""
        check_inputs(features, categories, offsets)
        return Inputs(scale_features(features), combinations(categories), offsets)

    @staticmethod
    def from_candidates(candidates: Candidates) -> Inputs:
        """Inputs from candidates, in one compiled pass."""
        from ptmiss.networks import kernels

        columns = tuple(candidates[name] for name in (*FEATURES[:6], "phi"))
        lowest, positions = _positions("pdgId")
        limits = np.float32(1 / SCALE), np.float32(OVERFLOW), positions, lowest
        features, rows = kernels.prepare(columns, *limits, *(candidates[name] for name in CATEGORIES))
        if (rows == UNKNOWN).any():
            combinations(np.stack([candidates[name] for name in CATEGORIES], axis=-1))
        return Inputs(features, rows, candidates.offsets, candidates.columns.get(LATENTS))

    @cached_property
    def neighbours(self) -> NDArray[np.float32]:
        """(n, 6) sums around each candidate, see ptmiss.networks.neighbours."""
        from ptmiss.networks import neighbours

        return neighbours.sums(self.features, self.rows, self.offsets)

    def keep(self, mask: NDArray[np.bool_]) -> Inputs:
        """The candidates in a mask, shape (n,); the number of events stays the same."""
        if mask.all():
            return self
        kept = np.flatnonzero(mask)
        return Inputs(
            self.features[kept],
            self.rows[kept],
            np.searchsorted(kept, self.offsets),
            None if self.latents is None else self.latents[kept],
        )


def scale_features(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 8) features for the network: momenta divided by 50 GeV, and zero if that is beyond 1e6, as in CMSSW."""
    features = np.array(features, np.float32)
    momenta = features[:, [4, 6, 7]] / np.float32(SCALE)
    features[:, [4, 6, 7]] = np.where(np.abs(momenta) > OVERFLOW, np.float32(0), momenta)
    return features


@cache
def _positions(name: str) -> tuple[int, NDArray[np.intp]]:
    """Lowest value of a vocabulary, and the position of each integer from there to the highest; -1 if not in it."""
    values = np.asarray(VOCABULARY[name])
    positions = np.full(values[-1] - values[0] + 1, -1, np.intp)
    positions[values - values[0]] = np.arange(len(values))
    return int(values[0]), positions


def combinations(categories: NDArray[np.integer]) -> NDArray[np.uint8]:
    """(n,) rows of the category table for (n, 3) physical values of charge, pdgId and fromPV."""
    row = np.zeros(len(categories), np.intp)
    for column, name in enumerate(CATEGORIES):
        lowest, positions = _positions(name)
        found = positions.take(categories[:, column] - lowest, mode="clip")
        unknown = (found < 0) | (categories[:, column] < lowest) | (categories[:, column] >= lowest + len(positions))
        if unknown.any():
            at = int(np.argmax(unknown))
            raise ValueError(f"{name} {categories[at, column]} of candidate {at} is not among {VOCABULARY[name]}")
        row *= len(VOCABULARY[name])
        row += found
    return row.astype(np.uint8)


def within(limit: int, offsets: Offsets) -> NDArray[np.bool_]:
    """(candidates,) mask of the first ``limit`` candidates of each event; offsets: (events + 1,)."""
    counts = np.diff(offsets)
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts) < limit


def check_inputs(features: NDArray, categories: NDArray, offsets: Offsets) -> None:
    """Raise ValueError unless features (n, 8), integer categories (n, 3) and offsets (events + 1,) match."""
    n = len(features)
    if not np.issubdtype(categories.dtype, np.integer):
        raise ValueError(f"categories must be integers (charge, pdgId, fromPV), not {categories.dtype}")
    if features.shape != (n, len(FEATURES)) or categories.shape != (n, len(CATEGORIES)):
        raise ValueError(
            f"features and categories must have shapes (n, {len(FEATURES)}) and (n, {len(CATEGORIES)}), "
            f"not {features.shape} and {categories.shape}"
        )
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != n or np.any(np.diff(offsets) < 0):
        raise ValueError(f"offsets must rise from 0 to the number of candidates, {n}")
