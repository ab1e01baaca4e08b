"""What the generator says: pTmiss, and the boson as neutrinos and dressed leptons."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from ptmiss.leptons import delta_r
from ptmiss.recoil import Vector, cartesian

DRESSING_DR = 0.1
CHARGED, NEUTRAL = (11, 13), (12, 14)
IS_PROMPT = 1 << 0  # bit of GenPart_statusFlags


def is_data(events: Any) -> bool:
    """Whether the fileset says that these events are data; pseudo-data keep their truth in the file."""
    return (getattr(events, "metadata", None) or {}).get("kind") == "data"


def has_truth(events: Any) -> bool:
    """Whether these events are simulated, with generated pTmiss."""
    return "GenMET" in events.fields and not is_data(events)


def generated_met(events: Any) -> Vector:
    """(events, 2) generated pTmiss, GeV; NaN where there is none (data)."""
    if not has_truth(events):
        return np.full((len(events), 2), np.nan)
    return cartesian(ak.to_numpy(events.GenMET.pt), ak.to_numpy(events.GenMET.phi))


def generated_boson(events: Any) -> Vector:
    """(events, 2) sum of exactly two prompt leptons (e, mu dressed, or neutrinos), GeV; NaN for any other number.

    Z → ll and W → lv are meant; in top pairs there is no one boson, and the number of leptons says so.
    """
    if "GenPart" not in events.fields or is_data(events):
        return np.full((len(events), 2), np.nan)
    leptons = ak.concatenate([neutrinos(events.GenPart), dressed_leptons(events)], axis=1)
    total = np.stack([ak.to_numpy(ak.sum(leptons[c], axis=-1)) for c in ("px", "py")], axis=-1)
    return np.where(ak.to_numpy(ak.num(leptons) == 2)[:, np.newaxis], total, np.nan)


def neutrinos(particles: ak.Array) -> ak.Array:
    """Px and py of the prompt neutrinos in the final state."""
    return momenta(particles[prompt(particles, NEUTRAL)])


def dressed_leptons(events: Any) -> ak.Array:
    """Px and py of prompt electrons and muons with the photons within ΔR 0.1: the file's own, or made here."""
    if "GenDressedLepton" in events.fields:
        return momenta(events.GenDressedLepton)
    particles = events.GenPart
    bare = particles[prompt(particles, CHARGED)]
    photons = particles[(particles.pdgId == 22) & (particles.status == 1)]
    lepton, photon = ak.unzip(ak.cartesian([_directed(bare), _directed(photons)], nested=True))
    near = delta_r(lepton, photon) < DRESSING_DR
    photon_momenta, lepton_momenta = momenta(photon), momenta(bare)
    return ak.zip(
        {c: lepton_momenta[c] + ak.sum(ak.where(near, photon_momenta[c], 0.0), axis=-1) for c in ("px", "py")}
    )


def prompt(particles: ak.Array, kinds: tuple[int, ...]) -> ak.Array:
    """Mask of prompt particles of these kinds in the final state."""
    kind = np.abs(particles.pdgId)
    of_kind = (kind == kinds[0]) | (kind == kinds[1])
    return of_kind & (particles.status == 1) & ((particles.statusFlags & IS_PROMPT) != 0)


def momenta(particles: ak.Array) -> ak.Array:
    """Px and py in float64."""
    pt = ak.values_astype(particles.pt, np.float64)
    return ak.zip({"px": pt * np.cos(particles.phi), "py": pt * np.sin(particles.phi)})


def _directed(particles: ak.Array) -> ak.Array:
    return ak.zip({name: particles[name] for name in ("pt", "eta", "phi")})
