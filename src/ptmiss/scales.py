"""How well a detector knows the momentum of each kind of PF candidate: uncertainties of the scale, and resolutions.

The scales of muons, electrons and photons are those that CMS takes for pTmiss (CMS-JME-17-001). Of the hadrons' 3 %,
5 % in the forward calorimeter, and 0.5 % for tracks are round numbers of the size of CMS's uncertainties of single
pions; take your own with ``Scales``. The resolutions are those by which CMS shifts candidates outside of jets for the
unclustered energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import UnknownName
from ptmiss.typing import Array, Mask

KINDS = {
    "charged_hadrons": (211,),
    "photons": (22,),
    "neutral_hadrons": (130,),
    "hf": (1, 2),
    "electrons": (11,),
    "muons": (13,),
}
"""Unsigned pdgId of each kind of candidate."""

HADRONS_AND_PHOTONS = ("charged_hadrons", "photons", "neutral_hadrons", "hf")
LEPTONS = ("electrons", "muons")
SIGNS = {"up": 1.0, "down": -1.0}
BARREL = 1.479  # abs eta up to which the first number of a pair holds

Columns = Mapping[str, NDArray[Any]]


class Scales(NamedTuple):
    """Relative uncertainty of the scale of each kind; of a pair the first is that of the barrel."""

    charged_hadrons: float | tuple[float, float] = 0.005
    photons: float | tuple[float, float] = (0.01, 0.025)
    neutral_hadrons: float | tuple[float, float] = 0.03
    hf: float | tuple[float, float] = 0.05
    electrons: float | tuple[float, float] = (0.006, 0.015)
    muons: float | tuple[float, float] = 0.002

    def of(self, kind: str, candidates: Columns) -> Array:
        """(candidates,) relative uncertainty of those of one kind, 0 for all others; needs pdgId and eta."""
        if kind not in KINDS:
            raise UnknownName("kind of candidates", kind, KINDS)
        return np.where(is_kind(kind, candidates), self.size(kind, candidates["eta"]), 0.0)

    def size(self, kind: str, eta: Any) -> Any:
        """Relative uncertainty of the scale of one kind at each eta, an array of any shape, flat or jagged."""
        size = getattr(self, kind)
        inner, outer = size if isinstance(size, tuple) else (size, size)
        return outer + (inner - outer) * (np.abs(eta) < BARREL)


DEFAULT = Scales()


def scale_leptons(leptons: ak.Array, systematic: str, scales: Scales = DEFAULT) -> ak.Array:
    """What makes the boson, as it is with a systematic: ``muons_up``, ``electrons_down``, ``photons_up`` and so on.

    leptons: jagged records with pt (GeV), eta and pdgId; photons too. Other systematics leave them as they are.
    """
    kind, _, way = systematic.rpartition("_")
    if kind not in (*LEPTONS, "photons"):
        return leptons
    size = scales.size(kind, leptons.eta) * (np.abs(leptons.pdgId) == KINDS[kind][0])
    return ak.with_field(leptons, leptons.pt * (1 + SIGNS[way] * size), "pt")


def is_kind(kind: str, candidates: Columns) -> Mask:
    """(candidates,) mask of one kind; needs pdgId."""
    return np.isin(np.abs(candidates["pdgId"]), KINDS[kind])


def resolution(candidates: Columns) -> Array:
    """(candidates,) relative resolution of pT; needs pt (GeV), eta and pdgId."""
    pt, stretch = candidates["pt"].astype(np.float64), np.cosh(candidates["eta"].astype(np.float64))
    energy, code = np.maximum(pt * stretch, 1e-3), np.abs(candidates["pdgId"])
    stochastic = 1 / np.sqrt(energy)
    barrel = np.minimum(0.25, np.hypot(0.8 * stochastic, 0.05))
    hcal = np.where(np.abs(candidates["eta"]) < 1.3, barrel, np.minimum(0.3, np.hypot(stochastic, 0.04)))
    by_kind = [np.hypot(0.03 * stochastic, 0.001), hcal, np.hypot(stochastic, 0.05)]
    track = np.hypot(9e-5 * pt, 0.0085 * np.sqrt(stretch))
    return np.select([code == 22, code == 130, (code == 1) | (code == 2)], by_kind, track)
