"""What of the generator's record is kept, in NanoAOD's fashion: ``GenPart`` with status flags and mothers.

Kept: the hard process, the last copies of W, Z, Higgs and top, taus, all muons and neutrinos, and the electrons and photons
that do not come from a hadron (photons for dressing).
"""

from __future__ import annotations

from typing import NamedTuple

import awkward as ak
import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.simulation.particles import Particles

IS_PROMPT = 1 << 0
IS_PROMPT_TAU_PRODUCT = 1 << 3
IS_HARD_PROCESS = 1 << 7
FROM_HARD_PROCESS = 1 << 8
IS_FIRST_COPY = 1 << 12
IS_LAST_COPY = 1 << 13
"""Bits of ``GenPart_statusFlags`` that are filled, numbered as in NanoAOD."""


class History(NamedTuple):
    """Kept particles, each of shape (kept,), momenta in GeV; ``mother`` counts inside the event, -1 for none."""

    pt: NDArray
    eta: NDArray
    phi: NDArray
    mass: NDArray
    pdg_id: NDArray
    status: NDArray
    flags: NDArray
    mother: NDArray
    offsets: NDArray


def build(flat: ak.Array, offsets: NDArray[np.int64]) -> History:
    """The history of events from Pythia's flat record cut by offsets."""
    names = ("id", "status", "mother1", "daughter1", "daughter2")
    pdg_id, status, mother1, daughter1, daughter2 = (flat[name].to_numpy() for name in names)
    keep, flags, mother = select(pdg_id, status, mother1, daughter1, daughter2, offsets)
    px, py, pz = (flat.p[axis].to_numpy()[keep] for axis in ("px", "py", "pz"))
    pt = np.hypot(px, py)
    status = status[keep]
    counted = np.concatenate([[0], np.cumsum(keep, dtype=np.int64)])
    return History(
        pt.astype(np.float32),
        np.arcsinh(pz / np.maximum(pt, 1e-6)).astype(np.float32),
        np.arctan2(py, px).astype(np.float32),
        flat.m.to_numpy()[keep].astype(np.float32),
        pdg_id[keep].astype(np.int32),
        np.where(status > 0, 1, -status).astype(np.int32),
        flags[keep],
        mother[keep],
        counted[offsets],
    )


def of_particles(particles: Particles) -> History:
    """The history of single particles, one an event."""
    n = len(particles.px)
    flags = np.full(n, IS_PROMPT | IS_HARD_PROCESS | FROM_HARD_PROCESS | IS_FIRST_COPY | IS_LAST_COPY, dtype=np.int32)
    eta = np.arcsinh(particles.pz / particles.pt).astype(np.float32)
    phi = np.arctan2(particles.py, particles.px)
    ones = np.ones(n, dtype=np.int32)
    offsets = np.arange(n + 1, dtype=np.int64)
    return History(particles.pt, eta, phi, particles.mass, particles.pdg_id, ones, flags, -ones, offsets)


@njit(cache=True)
def select(pdg_id, status, mother1, daughter1, daughter2, offsets):  # type: ignore[no-untyped-def]
    """Mask of kept particles, their flags and the kept mother's number in the event; daughters count inside the event."""
    keep = np.zeros(len(pdg_id), dtype=np.bool_)
    flags = np.zeros(len(pdg_id), dtype=np.int32)
    mother = np.full(len(pdg_id), -1, dtype=np.int32)
    for event in range(len(offsets) - 1):
        first, last = offsets[event], offsets[event + 1]
        rank = np.full(last - first, -1, dtype=np.int32)
        kept = 0
        for i in range(last - first):
            keep[first + i], flags[first + i] = _judge(
                i,
                pdg_id[first:last],
                status[first:last],
                mother1[first:last],
                daughter1[first:last],
                daughter2[first:last],
            )
            if keep[first + i]:
                ancestor = mother1[first + i]
                while ancestor > 0 and rank[ancestor] < 0:
                    ancestor = mother1[first + ancestor]
                mother[first + i] = rank[ancestor] if ancestor > 0 else -1
                rank[i] = kept
                kept += 1
    return keep, flags, mother


@njit(cache=True)
def _judge(i, pdg_id, status, mother1, daughter1, daughter2):  # type: ignore[no-untyped-def]
    """Whether particle ``i`` is kept, and its flags."""
    code = abs(pdg_id[i])
    hard = 21 <= abs(status[i]) <= 29
    first_copy = pdg_id[mother1[i]] != pdg_id[i]
    last_copy = pdg_id[daughter1[i]] != pdg_id[i] and pdg_id[daughter2[i]] != pdg_id[i]
    from_hadron, from_tau, from_hard = _ancestry(i, pdg_id, status, mother1)
    flags = IS_FIRST_COPY * first_copy | IS_LAST_COPY * last_copy | IS_HARD_PROCESS * hard
    flags |= FROM_HARD_PROCESS * (hard or (from_hard and not from_hadron))
    if not from_hadron:
        flags |= IS_PROMPT_TAU_PRODUCT if from_tau else IS_PROMPT
    final = status[i] > 0
    heavy = (code == 6 or 23 <= code <= 25) and last_copy
    tau = code == 15 and last_copy
    always = final and (code == 12 or code == 13 or code == 14 or code == 16)
    prompt = final and not from_hadron and (code == 11 or code == 22)
    return hard or heavy or tau or always or prompt, flags


@njit(cache=True)
def _ancestry(i, pdg_id, status, mother1):  # type: ignore[no-untyped-def]
    """Whether a hadron, a tau, or a particle of the hard process is among the ancestors (beams, status 12, end the walk)."""
    hadron = tau = hard = False
    ancestor = mother1[i]
    while ancestor > 0 and abs(status[ancestor]) != 12:
        hadron |= abs(pdg_id[ancestor]) > 100
        tau |= abs(pdg_id[ancestor]) == 15 and pdg_id[ancestor] != pdg_id[i]
        hard |= 22 <= abs(status[ancestor]) <= 29
        ancestor = mother1[ancestor]
    return hadron, tau, hard
