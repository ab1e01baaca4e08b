"""What a training is followed with: pTmiss and jets of what is reconstructed against those of what is true.

The loss alone hides the physics. Truth here is the sum of all targets, pile-up and the hard collision's particles alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.jets import Jets, cluster
from ptmiss.segments import Offsets, from_counts, sum_by_event

JET_EVENTS = 200
EDGES = (20.0, 60.0, 200.0)  # GeV, of the true jets' pt
LEAST_PT = 5.0  # GeV, of jets that may be matched
MATCH = 0.2


class Particles(NamedTuple):
    """Flat particles of many events; momentum: (n, 4) px, py, pz and E, GeV."""

    momentum: NDArray[np.float64]
    offsets: Offsets

    @staticmethod
    def of(pt: NDArray, eta: NDArray, phi: NDArray, energy: NDArray, offsets: Offsets) -> Particles:
        """From pt, energy (GeV), eta and phi; those without momentum are left out."""
        pt, eta, phi = (np.asarray(x, np.float64) for x in (pt, eta, phi))
        px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
        momentum = np.stack([px, py, pz, np.maximum(energy, pt * np.cosh(eta))], axis=-1)
        keep = pt > 0
        return Particles(momentum[keep], np.concatenate([[0], np.cumsum(keep)])[offsets])

    def first(self, n: int) -> Particles:
        """The first events."""
        offsets = self.offsets[: n + 1]
        return Particles(self.momentum[: offsets[-1]], offsets)


def measured(found: Particles, true: Particles) -> dict[str, float]:
    """Width of pTmiss about the true one, GeV a component, and of the jets' response in bins of the true pt."""
    residual = sum_by_event(found.momentum[:, :2], found.offsets) - sum_by_event(true.momentum[:, :2], true.offsets)
    return {"met_rms": float(np.sqrt(np.mean(residual**2)))} | jets(found.first(JET_EVENTS), true.first(JET_EVENTS))


def jets(found: Particles, true: Particles) -> dict[str, float]:
    """(p75 - p25) / p50 and p50 of the response of true jets that are matched; 0 where there is none."""
    found_jets = cluster(found.momentum, found.offsets, LEAST_PT)
    true_jets = cluster(true.momentum, true.offsets, EDGES[0])
    response, pt = responses(found_jets, true_jets)
    out: dict[str, float] = {}
    for low, high in pairwise(EDGES):
        inside = response[(pt >= low) & (pt < high)]
        quarter, half, rest = np.quantile(inside, [0.25, 0.5, 0.75]) if len(inside) else (0.0, 1.0, 0.0)
        out |= {f"jet_width_{low:g}": float((rest - quarter) / half), f"jet_response_{low:g}": float(half)}
    return out


def responses(found: Jets, true: Jets) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Response and true pt of the true jets that have a jet within MATCH: that with the largest pt counts."""
    true_event = np.repeat(np.arange(len(true.counts)), true.counts)
    first = np.cumsum(found.counts) - found.counts
    counts = found.counts[true_event]
    row = np.repeat(np.arange(len(true.pt)), counts)
    local = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    other = np.repeat(first[true_event], counts) + local
    dphi = (true.phi[row] - found.phi[other] + np.pi) % (2 * np.pi) - np.pi
    near = np.hypot(true.eta[row] - found.eta[other], dphi) < MATCH
    best = np.zeros(len(true.pt))
    np.maximum.at(best, row[near], found.pt[other[near]])
    return best[best > 0] / true.pt[best > 0], true.pt[best > 0]


def concatenate(parts: Sequence[Particles]) -> Particles:
    """The events of all parts, one after the other."""
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    return Particles(np.concatenate([part.momentum for part in parts]), from_counts(counts))
