"""Reconstructed muons and electrons: isolation, identification and the single-muon trigger.

Every PF muon above 3 GeV and PF electron above 5 GeV is one. Identification is by truth times efficiency; a hadron that fakes the
signature passes the tight muon identification one time in ten.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.puppi import NEUTRAL, PILEUP, PRIMARY
from ptmiss.simulation.particleflow import Candidates

MUON_CONE, ELECTRON_CONE = 0.4, 0.3
MIN_MUON_PT, MIN_ELECTRON_PT = 3.0, 5.0
TRIGGER_PT, TRIGGER_ETA, TRIGGER_ISOLATION, TRIGGER_EFFICIENCY = 24.0, 2.4, 0.15, 0.9


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
    """The leptons of a PDG code (11 or 13) among flat candidates; ``genuine`` says which candidates are what they look like."""
    pt, eta, phi, pdg_id = candidates.pt, candidates.eta, candidates.phi, candidates.pdg_id
    cone, least = (MUON_CONE, MIN_MUON_PT) if code == 13 else (ELECTRON_CONE, MIN_ELECTRON_PT)
    chosen = np.flatnonzero((np.abs(pdg_id) == code) & (pt > least))
    event = np.searchsorted(offsets, chosen, side="right") - 1
    sums = _cone_sums(chosen, offsets[event], offsets[event + 1], pt, eta, phi, np.abs(pdg_id), origin, cone)
    draw = rng.random(len(chosen))
    real = genuine[chosen]
    medium, tight = draw < np.where(real, 0.98, 0.3), draw < np.where(real, 0.96, 0.1)
    return Leptons(chosen, sums / pt[chosen], np.ones(len(chosen), dtype=np.bool_), medium, tight)


@njit(cache=True)
def _cone_sums(chosen, first, last, pt, eta, phi, code, origin, cone):  # type: ignore[no-untyped-def]
    """Charged from the primary vertex plus neutral minus half of the charged pile-up, around each chosen candidate."""
    out = np.zeros(len(chosen))
    for k in range(len(chosen)):
        charged = neutral = pileup = 0.0
        for i in range(first[k], last[k]):
            separation = abs(phi[i] - phi[chosen[k]])
            separation = min(separation, 2 * math.pi - separation)
            if i == chosen[k] or math.hypot(eta[i] - eta[chosen[k]], separation) > cone:
                continue
            if origin[i] == PRIMARY and code[i] == 211:
                charged += pt[i]
            elif origin[i] == PILEUP:
                pileup += pt[i]
            elif origin[i] == NEUTRAL and pt[i] > 0.5:
                neutral += pt[i]
        out[k] = charged + max(neutral - 0.5 * pileup, 0.0)
    return out


def trigger(
    muons: Leptons, candidates: Candidates, offsets: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Whether an isolated muon fired, shape (events,): a turn-on of half a GeV around the threshold."""
    pt, eta = candidates.pt[muons.candidate], candidates.eta[muons.candidate]
    turn_on = TRIGGER_EFFICIENCY / (1 + np.exp(-(pt - TRIGGER_PT) / 0.5))
    fired = (np.abs(eta) < TRIGGER_ETA) & (muons.isolation < TRIGGER_ISOLATION) & (rng.random(len(pt)) < turn_on)
    return np.diff(np.searchsorted(muons.candidate[fired], offsets)) > 0
