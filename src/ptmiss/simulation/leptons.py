"""Reconstructed muons and electrons: isolation and identification.

Every PF muon above 3 GeV and every PF electron above 5 GeV is included. Identification is truth times efficiency; a
hadron with the signature of a muon passes the tight identification one time in ten.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.angles import separation
from ptmiss.candidates.puppi import NEUTRAL, PILEUP, PRIMARY
from ptmiss.simulation.particleflow import Candidates

MUON_CONE, ELECTRON_CONE = 0.4, 0.3
MIN_MUON_PT, MIN_ELECTRON_PT = 3.0, 5.0


class Leptons(NamedTuple):
    """Leptons of one flavour, flat over events: ``candidate`` is their row among the flat candidates.

    ``isolation`` is relative; ``loose``, ``medium`` and ``tight`` are working points.
    """

    candidate: NDArray[np.int64]
    isolation: NDArray[np.float64]
    loose: NDArray[np.bool_]
    medium: NDArray[np.bool_]
    tight: NDArray[np.bool_]


def select(
    code: int,
    candidates: Candidates,
    origin: NDArray[np.int8],
    genuine: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    rng: np.random.Generator,
) -> Leptons:
    """The leptons with a PDG code (11 or 13) among flat candidates.

    origin: (candidates,) as in candidates.puppi. genuine: (candidates,) mask of those that are what they look like.
    offsets: (events + 1,).
    """
    pt, pdg_id = candidates.pt, candidates.pdg_id
    cone, least = (MUON_CONE, MIN_MUON_PT) if code == 13 else (ELECTRON_CONE, MIN_ELECTRON_PT)
    chosen = np.flatnonzero((np.abs(pdg_id) == code) & (pt > least))
    sums = isolation(chosen, candidates, origin, offsets, cone)
    draw = rng.random(len(chosen))
    real = genuine[chosen]
    medium, tight = draw < np.where(real, 0.98, 0.3), draw < np.where(real, 0.96, 0.1)
    return Leptons(chosen, sums, np.ones(len(chosen), dtype=np.bool_), medium, tight)


def isolation(
    chosen: NDArray[np.int64],
    candidates: Candidates,
    origin: NDArray[np.int8],
    offsets: NDArray[np.int64],
    cone: float,
) -> NDArray[np.float64]:
    """(chosen,) relative isolation of candidates in a cone."""
    event = np.searchsorted(offsets, chosen, side="right") - 1
    pt, eta, phi, code = candidates.pt, candidates.eta, candidates.phi, np.abs(candidates.pdg_id)
    sums = _cone_sums(chosen, offsets[event], offsets[event + 1], pt, eta, phi, code, origin, cone)
    return sums / pt[chosen]


@njit(cache=True)
def _cone_sums(chosen, first, last, pt, eta, phi, code, origin, cone):  # type: ignore[no-untyped-def]
    """Isolation sum around each chosen candidate: charged of the vertex + max(neutral - charged pile-up / 2, 0)."""
    out = np.zeros(len(chosen))
    for k in range(len(chosen)):
        charged = neutral = pileup = 0.0
        for i in range(first[k], last[k]):
            dphi = separation(phi[i], phi[chosen[k]])
            if i == chosen[k] or math.hypot(eta[i] - eta[chosen[k]], dphi) > cone:
                continue
            if origin[i] == PRIMARY and code[i] == 211:
                charged += pt[i]
            elif origin[i] == PILEUP:
                pileup += pt[i]
            elif origin[i] == NEUTRAL and pt[i] > 0.5:
                neutral += pt[i]
        out[k] = charged + max(neutral - 0.5 * pileup, 0.0)
    return out
