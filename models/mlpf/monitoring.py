"""Monitoring of a training: pTmiss and jets of the reconstruction against those of the truth.

The loss alone says little about the physics. The truth here is the sum of all targets, pile-up included.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.bootstrap import half_width
from ptmiss.jets import cluster, responses
from ptmiss.segments import Offsets, from_counts, sum_by_event

JET_EVENTS = 200
EDGES = (20.0, 60.0, 200.0)  # GeV, of the true jets' pt
LEAST_PT = 5.0  # GeV: least pt of the jets to match
MATCH = 0.2


class Particles(NamedTuple):
    """Flat particles of many events; momentum: (n, 4) px, py, pz and E, GeV."""

    momentum: NDArray[np.float64]
    offsets: Offsets

    @staticmethod
    def of(pt: NDArray, eta: NDArray, phi: NDArray, energy: NDArray, offsets: Offsets) -> Particles:
        """Particles from pt, energy (GeV), eta and phi, each (n,); those without momentum are left out."""
        pt, eta, phi = (np.asarray(x, np.float64) for x in (pt, eta, phi))
        px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
        momentum = np.stack([px, py, pz, np.maximum(energy, pt * np.cosh(eta))], axis=-1)
        keep = pt > 0
        return Particles(momentum[keep], np.concatenate([[0], np.cumsum(keep)])[offsets])

    def first(self, n: int) -> Particles:
        """The first events."""
        offsets = self.offsets[: n + 1]
        return Particles(self.momentum[: offsets[-1]], offsets)


def measure(found: Particles, true: Particles) -> dict[str, float]:
    """Widths of a component of pTmiss about the truth (GeV), and width and median of the jets' response in bins of pt.

    ``met_rms``, which one bad event can make, and ``met_half_width``, half of the central 68 %.
    """
    residual = sum_by_event(found.momentum[:, :2], found.offsets) - sum_by_event(true.momentum[:, :2], true.offsets)
    met = {"met_rms": float(np.sqrt(np.mean(residual**2)))}
    met |= {"met_half_width": float(half_width(residual.ravel())[0])}
    return met | jets(found.first(JET_EVENTS), true.first(JET_EVENTS))


def jets(found: Particles, true: Particles) -> dict[str, float]:
    """(p75 - p25) / p50 and p50 of the response of matched true jets, in bins of the true pt.

    A bin without jets has width 0 and response 1.
    """
    found_jets = cluster(found.momentum, found.offsets, LEAST_PT)
    true_jets = cluster(true.momentum, true.offsets, EDGES[0])
    response, pt = responses(true_jets, found_jets, MATCH), true_jets.pt
    out: dict[str, float] = {}
    for low, high in pairwise(EDGES):
        inside = response[(pt >= low) & (pt < high) & np.isfinite(response)]
        quarter, half, rest = np.quantile(inside, [0.25, 0.5, 0.75]) if len(inside) else (0.0, 1.0, 0.0)
        out |= {f"jet_width_{low:g}": float((rest - quarter) / half), f"jet_response_{low:g}": float(half)}
    return out


def concatenate(parts: Sequence[Particles]) -> Particles:
    """The events of all parts, one after the other."""
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    return Particles(np.concatenate([part.momentum for part in parts]), from_counts(counts))
