"""The selected part of the generator's record in the form of NanoAOD: ``GenPart`` with status flags and mothers.

Kept: the hard process, the last copies of W, Z, Higgs and top, taus and the decay products of those of the hard
process, all muons and neutrinos, and the electrons and photons that do not come from a hadron (photons for dressing).

``FROM_HARD_PROCESS`` marks a particle of the hard process or a later copy of one, as in NanoAOD, and not its decay
products: a muon of a tau has ``DIRECT_HARD_TAU_PRODUCT`` instead.
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
HARD_TAU_PRODUCT = 1 << 9
DIRECT_HARD_TAU_PRODUCT = 1 << 10
IS_FIRST_COPY = 1 << 12
IS_LAST_COPY = 1 << 13
"""The bits of ``GenPart_statusFlags`` that are set, numbered as in NanoAOD."""


class History(NamedTuple):
    """Selected particles: columns (particles,), momenta in GeV. mother: row in the event, -1 for none."""

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
    """The history of events from Pythia's flat record, (particles,), and its offsets, shape (events + 1,)."""
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
    """The history of events with one particle each."""
    n = len(particles.px)
    flags = np.full(n, IS_PROMPT | IS_HARD_PROCESS | FROM_HARD_PROCESS | IS_FIRST_COPY | IS_LAST_COPY, dtype=np.int32)
    eta = np.arcsinh(particles.pz / particles.pt).astype(np.float32)
    phi = np.arctan2(particles.py, particles.px)
    ones = np.ones(n, dtype=np.int32)
    offsets = np.arange(n + 1, dtype=np.int64)
    return History(particles.pt, eta, phi, particles.mass, particles.pdg_id, ones, flags, -ones, offsets)


@njit(cache=True)
def select(pdg_id, status, mother1, daughter1, daughter2, offsets):  # type: ignore[no-untyped-def]
    """(particles,) mask of kept particles, their flags, and the row of the nearest kept ancestor in the event.

    The columns are (particles,); mothers and daughters are rows in the event. offsets: (events + 1,).
    """
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
    from_hadron, tau = _ancestry(i, pdg_id, status, mother1)
    of_hard_tau = tau > 0 and _is_copy_of_hard(tau, pdg_id, status, mother1)
    direct = of_hard_tau and _uppermost(i, pdg_id, mother1, tau)
    flags = IS_FIRST_COPY * first_copy | IS_LAST_COPY * last_copy | IS_HARD_PROCESS * hard
    flags |= FROM_HARD_PROCESS * _is_copy_of_hard(i, pdg_id, status, mother1)
    flags |= HARD_TAU_PRODUCT * of_hard_tau | DIRECT_HARD_TAU_PRODUCT * direct
    if not from_hadron:
        flags |= IS_PROMPT_TAU_PRODUCT if tau > 0 else IS_PROMPT
    final = status[i] > 0
    heavy = (code == 6 or 23 <= code <= 25) and last_copy
    taus = (code == 15 and last_copy) or direct
    always = final and (code == 12 or code == 13 or code == 14 or code == 16)
    prompt = final and not from_hadron and (code == 11 or code == 22)
    return hard or heavy or taus or always or prompt, flags


@njit(cache=True)
def _ancestry(i, pdg_id, status, mother1):  # type: ignore[no-untyped-def]
    """Whether a hadron is among the ancestors, and the row of the tau that decayed to the particle, 0 for none.

    The search ends at the beams (status 12). Radiation of a tau (51) is no decay product (91 to 99).
    """
    hadron, tau, child = False, 0, i
    ancestor = mother1[i]
    while ancestor > 0 and abs(status[ancestor]) != 12:
        hadron |= abs(pdg_id[ancestor]) > 100
        if abs(pdg_id[ancestor]) == 15 and 91 <= abs(status[child]) <= 99:
            tau = ancestor
        child, ancestor = ancestor, mother1[ancestor]
    return hadron, tau


@njit(cache=True)
def _is_copy_of_hard(i, pdg_id, status, mother1):  # type: ignore[no-untyped-def]
    """Whether a particle is of the hard process, or a later copy of one that is."""
    while not 21 <= abs(status[i]) <= 29:
        if mother1[i] <= 0 or pdg_id[mother1[i]] != pdg_id[i]:
            return False
        i = mother1[i]
    return True


@njit(cache=True)
def _uppermost(i, pdg_id, mother1, above):  # type: ignore[no-untyped-def]
    """Whether a particle, or the first of its copies, has this mother."""
    while pdg_id[mother1[i]] == pdg_id[i]:
        i = mother1[i]
    return mother1[i] == above
