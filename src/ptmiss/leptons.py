"""The leptons of the boson, or the photon that it is, taken out of the candidates before a network weights them.

A network that weights the leptons too can scale pTmiss down, ``pTmiss -> s pTmiss``, and look better than it is: its
true response falls, its apparent one does not, and no response correction notices. Without the leptons among the
candidates, ``u`` measures the hadronic part alone.
"""

from __future__ import annotations

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.angles import delta_r
from ptmiss.candidates import Candidates
from ptmiss.segments import sum_by_event
from ptmiss.typing import Vector

EXACT, AS_CANDIDATES = "exact", "as-candidates"
TREATMENTS = (EXACT, AS_CANDIDATES)
MAX_DR = 0.05
PHOTON = 22

SHIFT = "shift"  # field of a lepton: of pT by its correction, GeV; shift_<systematic>: by a variation beside it


def leave_out(candidates: Candidates, selected: NDArray[np.bool_]) -> tuple[Candidates, Vector]:
    """Candidates without the selected leptons, and the (events, 2) sums of px and py of these, GeV.

    selected: (candidates,) mask, see :func:`match`.
    """
    out = candidates.keep(selected)
    return candidates.keep(~selected), sum_by_event(out.momentum, out.offsets)


def match(candidates: Candidates, leptons: ak.Array) -> tuple[NDArray[np.bool_], int]:
    """(candidates,) mask of the candidate of each lepton or photon, and the number of these that have none.

    A candidate must have the lepton's pdgId and lie within MAX_DR. Of several it is the nearest, but the hardest for a
    photon, near which there are soft ones of its shower and of pile-up.

    candidates: with pdgId, eta and phi, and pt if there are photons.
    leptons: jagged array, for each event a list of records with eta, phi and pdgId.
    """
    wanted = np.unique(np.abs(ak.to_numpy(ak.flatten(leptons.pdgId, axis=None))))
    names = ("pdgId", "eta", "phi", *(("pt",) if PHOTON in wanted else ()))
    taken = np.zeros(candidates.offsets[-1], bool)
    where = np.flatnonzero(np.isin(np.abs(candidates["pdgId"]), wanted))
    counts = np.diff(np.searchsorted(where, candidates.offsets))
    fields = {name: candidates[name][where] for name in names}
    nearby = ak.unflatten(ak.zip({"index": where, **fields}), counts)
    lepton, candidate = ak.unzip(ak.cartesian([leptons, nearby], nested=True))
    dr = ak.where(lepton.pdgId == candidate.pdgId, delta_r(lepton, candidate), np.inf)
    rank = ak.where((lepton.pdgId == PHOTON) & (dr < MAX_DR), -candidate.pt, dr) if PHOTON in wanted else dr
    best = ak.argmin(rank, axis=-1, keepdims=True)
    close = ak.flatten(ak.fill_none(dr[best] < MAX_DR, False), axis=None)
    index = ak.flatten(ak.fill_none(candidate.index[best], -1), axis=None)
    found = ak.to_numpy(index[close])
    taken[found] = True
    return taken, int(ak.sum(ak.num(leptons))) - len(found)
