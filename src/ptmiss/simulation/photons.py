"""Reconstructed photons: isolation, identification and the veto of electrons.

Every PF photon above 10 GeV inside abs eta 2.5 is included. It is genuine if a generated photon that is not of a hadron
and has half of its pT or more is near. Identification is that truth times efficiency, and isolation. An electron whose
track was lost looks like a photon: there the veto works nine times in ten.
"""

from __future__ import annotations

from typing import NamedTuple

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss import segments
from ptmiss.angles import delta_r
from ptmiss.simulation import leptons
from ptmiss.simulation.history import IS_PROMPT, History
from ptmiss.simulation.particleflow import Candidates

PHOTON, ELECTRON = 22, 11
MIN_PT, MAX_ETA, CONE, MAX_ISOLATION = 10.0, 2.5, 0.3, 0.15
EFFICIENCY, FAKES = (0.95, 0.90, 0.80), (0.20, 0.10, 0.05)
"""Shares of genuine photons, and of others, that pass loose, of these medium, and of these tight identification."""
MATCHING_DR, MATCHING_PT = 0.1, 0.5
VETO, SEED = 0.9, 0.02
"""Electrons that the veto finds, and photons with hits in the innermost tracker, of conversions."""


class Photons(NamedTuple):
    """Photons, flat over events: ``candidate`` is their row among the flat candidates, ``isolation`` is relative.

    identification: 0 none, 1 loose, 2 medium, 3 tight.
    """

    candidate: NDArray[np.int64]
    isolation: NDArray[np.float64]
    identification: NDArray[np.int64]
    electron_veto: NDArray[np.bool_]
    pixel_seed: NDArray[np.bool_]


def select(
    candidates: Candidates,
    origin: NDArray[np.int8],
    history: History,
    offsets: NDArray[np.int64],
    rng: np.random.Generator,
) -> Photons:
    """The photons among flat candidates; origin: (candidates,) as in candidates.puppi, offsets: (events + 1,)."""
    hard = (candidates.pdg_id == PHOTON) & (candidates.pt > MIN_PT) & (np.abs(candidates.eta) < MAX_ETA)
    chosen = np.flatnonzero(hard)
    isolation = leptons.isolation(chosen, candidates, origin, offsets, CONE)
    counts = np.diff(np.searchsorted(chosen, offsets))
    found = ak.unflatten(ak.zip({name: getattr(candidates, name)[chosen] for name in ("pt", "eta", "phi")}), counts)
    genuine, electron = (near(found, history, code) for code in (PHOTON, ELECTRON))
    draw = rng.random((3, len(chosen)))
    passed = draw < np.where(genuine, np.array(EFFICIENCY)[:, None], np.array(FAKES)[:, None])
    level = np.cumprod(passed, axis=0).sum(axis=0) * (isolation < MAX_ISOLATION)
    electron &= ~genuine
    return Photons(chosen, isolation, level, ~(electron & (draw[1] < VETO)), electron | (draw[2] < SEED))


def near(photons: ak.Array, history: History, code: int) -> NDArray[np.bool_]:
    """(photons,) whether a stable particle of a PDG code that is not of a hadron is near, with half of the pT or more.

    photons: jagged records of pt, eta and phi.
    """
    stable = (np.abs(history.pdg_id) == code) & (history.status == 1) & (history.flags & IS_PROMPT > 0)
    rows = np.diff(segments.select(stable, history.offsets))
    columns = {name: getattr(history, name)[stable] for name in ("pt", "eta", "phi")}
    photon, other = ak.unzip(ak.cartesian([photons, ak.unflatten(ak.zip(columns), rows)], nested=True))
    close = (delta_r(photon, other) < MATCHING_DR) & (other.pt > MATCHING_PT * photon.pt)
    return ak.to_numpy(ak.flatten(ak.any(close, axis=-1)))
