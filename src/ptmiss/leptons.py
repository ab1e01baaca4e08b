"""The leptons that make the boson, taken out of the candidates before a network weights them.

With them left in, ``pTmiss -> s pTmiss`` makes a network's recoil look better than it is (its true response falls,
its apparent one does not), and no response correction can catch it. Left out, ``u`` measures the hadronic part alone.
"""

from __future__ import annotations

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.candidates import Candidates
from ptmiss.recoil import Vector
from ptmiss.segments import sum_by_event

EXACT, AS_CANDIDATES = "exact", "as-candidates"
TREATMENTS = (EXACT, AS_CANDIDATES)
MAX_DR = 0.05


def leave_out(candidates: Candidates, selected: NDArray[np.bool_]) -> tuple[Candidates, Vector]:
    """Candidates without the selected leptons, and (events, 2) the sum of px, py of what was taken out, GeV.

    selected: mask of the candidates, see :func:`matched`.
    """
    out = candidates.keep(selected)
    return candidates.keep(~selected), sum_by_event(out.momentum, out.offsets)


def matched(candidates: Candidates, leptons: ak.Array) -> tuple[NDArray[np.bool_], int]:
    """Mask of the candidates nearest to each lepton (same pdgId, within MAX_DR), and the number of leptons with none.

    candidates: with pdgId, eta and phi.
    leptons: jagged array, one list of records with eta, phi and pdgId an event.
    """
    taken = np.zeros(candidates.offsets[-1], bool)
    where = np.flatnonzero(np.isin(np.abs(candidates["pdgId"]), (11, 13)))
    counts = np.diff(np.searchsorted(where, candidates.offsets))
    fields = {name: candidates[name][where] for name in ("pdgId", "eta", "phi")}
    nearby = ak.unflatten(ak.zip({"index": where, **fields}), counts)
    lepton, candidate = ak.unzip(ak.cartesian([leptons, nearby], nested=True))
    dr = ak.where(lepton.pdgId == candidate.pdgId, delta_r(lepton, candidate), np.inf)
    best = ak.argmin(dr, axis=-1, keepdims=True)
    close = ak.flatten(ak.fill_none(dr[best] < MAX_DR, False), axis=None)
    index = ak.flatten(ak.fill_none(candidate.index[best], -1), axis=None)
    found = ak.to_numpy(index[close])
    taken[found] = True
    return taken, int(ak.sum(ak.num(leptons))) - len(found)


def delta_r(a: ak.Array, b: ak.Array) -> ak.Array:
    """Distance in (eta, phi) of two arrays of records of the same structure."""
    dphi = (a.phi - b.phi + np.pi) % (2 * np.pi) - np.pi
    return np.hypot(a.eta - b.eta, dphi)
