"""What the generator says: pTmiss, the boson of the hard process, and what is seen of it.

One definition for every file with NanoAOD's ``GenPart``. The leptons of the hard process are its electrons, muons and
neutrinos in the final state, and its taus as they decay. An event has a boson where there are exactly two of them and
at most one heavy particle (W, Z, gamma*, H or top) in the hard process. The boson is that particle, after all recoil;
where the record has none, the sum of the two leptons, dressed with the prompt photons within ΔR 0.1. Without leptons
and heavy particles it is the photon of the hard process, if there is exactly one (photon and jets).

Top pairs, single tops and pairs of bosons have no single boson, and so none here, whatever they decay to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss import candidates as pf_candidates
from ptmiss import elements as pf_elements
from ptmiss.angles import delta_r
from ptmiss.errors import ColumnError
from ptmiss.recoil import cartesian, rapidity, transverse_sum
from ptmiss.typing import Vector

IS_PROMPT, FROM_HARD_PROCESS, DIRECT_HARD_TAU_PRODUCT, IS_LAST_COPY = 1 << 0, 1 << 8, 1 << 10, 1 << 13
"""Bits of ``GenPart_statusFlags``."""
COLUMNS = ("pdgId", "statusFlags", "status", "pt", "eta", "phi", "mass")
CHARGED, NEUTRINOS, TAU, PHOTON = (11, 13), (12, 14, 16), (15,), (22,)
HEAVY = (6, 23, 24, 25)
BRANCHES = ("GenJet_pt", "GenJet_eta", "GenJet_phi", "GenJet_mass", "GenMET_pt", "GenMET_phi", "PV_npvs")
MIN_PHOTON_MASS = 1.0  # GeV, of a gamma*
DRESSING_DR = 0.1
MATCHING_DR = 0.1  # of a reconstructed lepton to the generated one
MUON_ETA = 2.5  # beyond it a muon leaves nothing to see


def require(branches: Collection[str], path: str) -> None:
    """Raise ColumnError unless a file has elements, targets, candidates and generated jets and pTmiss."""
    pf_elements.require(branches, path, targets=True)
    pf_candidates.require(pf_candidates.BRANCHES, branches, "pf", path)
    if missing := [name for name in BRANCHES if name not in branches]:
        raise ColumnError(f"an evaluation needs {', '.join(missing)}, which {path} does not have")


def is_data(events: Any) -> bool:
    """Whether the fileset says that these events are data; pseudo-data keep their truth in the file."""
    return (getattr(events, "metadata", None) or {}).get("kind") == "data"


def has_truth(events: Any) -> bool:
    """Whether these events are simulated, with generated pTmiss."""
    return "GenMET" in events.fields and not is_data(events)


def has_particles(events: Any) -> bool:
    """Whether these events are simulated, with generated particles and where they come from."""
    return "GenPart" in events.fields and "statusFlags" in events.GenPart.fields and not is_data(events)


def generated_particles(events: Any) -> ak.Array:
    """The columns of GenPart that are read: pt, eta, phi, mass (GeV), pdgId, status, statusFlags."""
    return ak.zip({name: events.GenPart[name] for name in COLUMNS})


def generated_met(events: Any) -> Vector:
    """(events, 2) generated pTmiss, GeV; NaN where there is none (data)."""
    if not has_truth(events):
        return np.full((len(events), 2), np.nan)
    return cartesian(ak.to_numpy(events.GenMET.pt), ak.to_numpy(events.GenMET.phi))


def generated_boson(events: Any) -> Vector:
    """(events, 2) transverse momentum of the boson of the hard process, GeV; NaN where there is not exactly one."""
    return _of_boson(events, transverse_sum, 2)


def generated_rapidity(events: Any) -> NDArray[np.float64]:
    """(events,) rapidity of the boson of the hard process; NaN where there is not exactly one."""
    return _of_boson(events, lambda particles: rapidity(particles)[:, np.newaxis], 1)[:, 0]


def _of_boson(events: Any, measure: Callable[[ak.Array], NDArray[np.float64]], columns: int) -> NDArray[np.float64]:
    """(events, columns) what is measured of the particles that are the boson; NaN where there is not exactly one."""
    if not has_particles(events):
        return np.full((len(events), columns), np.nan)
    particles = generated_particles(events)
    leptons, heavy = particles[hard_leptons(particles)], particles[heavy_particles(particles)]
    photons = radiation(particles, leptons[of_kind(leptons, CHARGED + TAU)])
    recorded = ak.to_numpy(ak.num(heavy))[:, np.newaxis]
    boson = np.where(recorded == 1, measure(heavy), measure(ak.concatenate([leptons, photons], axis=1)))
    single = (ak.to_numpy(ak.num(leptons))[:, np.newaxis] == 2) & (recorded <= 1)
    photon = particles[boson_photons(particles, leptons, heavy)]
    alone = ak.to_numpy(ak.num(photon))[:, np.newaxis] == 1
    return np.where(single, boson, np.where(alone, measure(photon), np.nan))


def visible_boson(events: Any, leptons: ak.Array) -> Vector:
    """(events, 2) what is seen of the boson, GeV; NaN where there is no boson.

    Not seen are neutrinos, those of taus too, and muons beyond ``|η|`` 2.5. Reconstructed leptons (records with pt,
    eta, phi, pdgId) stand for the generated ones that they are, and so does a photon that is the boson. A lepton that
    is not of the boson stays in the recoil.
    """
    boson = generated_boson(events)
    if not has_particles(events):
        return boson
    particles = generated_particles(events)
    decays = particles[decay_leptons(particles)]
    muon_outside = of_kind(decays, (13,)) & (np.abs(decays.eta) > MUON_ETA)
    unseen = decays[of_kind(decays, NEUTRINOS) | muon_outside]
    seen = decays[of_kind(decays, CHARGED) & ~muon_outside]
    photon = particles[
        boson_photons(particles, particles[hard_leptons(particles)], particles[heavy_particles(particles)])
    ]
    found, generated = match(leptons, ak.concatenate([seen, photon], axis=1))
    return boson - transverse_sum(unseen) - transverse_sum(generated) + transverse_sum(found)


def match(leptons: ak.Array, generated: ak.Array) -> tuple[ak.Array, ak.Array]:
    """(events, var) the leptons near a generated one of the same pdgId, and the generated ones, the nearest to each."""
    lepton, other = ak.unzip(ak.cartesian([_directions(leptons), _directions(generated)], nested=True))
    dr = ak.where(lepton.pdgId == other.pdgId, delta_r(lepton, other), np.inf)
    best = ak.argmin(dr, axis=-1, keepdims=True)
    close = ak.fill_none(ak.flatten(dr[best] < MATCHING_DR, axis=-1), False)
    return leptons[close], ak.flatten(other[best], axis=-1)[close]


def hard_leptons(particles: ak.Array) -> ak.Array:
    """(events, var) mask of the leptons of the hard process: e, mu and stable neutrinos, taus as they decay."""
    stable = of_kind(particles, CHARGED + NEUTRINOS) & (particles.status == 1)
    last_tau = of_kind(particles, TAU) & has(particles, IS_LAST_COPY)
    return has(particles, FROM_HARD_PROCESS) & (stable | last_tau)


def decay_leptons(particles: ak.Array) -> ak.Array:
    """(events, var) mask of stable e, mu and neutrinos, of the hard process or straight from one of its taus."""
    stable = of_kind(particles, CHARGED + NEUTRINOS) & (particles.status == 1)
    return stable & has(particles, FROM_HARD_PROCESS | DIRECT_HARD_TAU_PRODUCT)


def heavy_particles(particles: ak.Array) -> ak.Array:
    """(events, var) mask of the last copies of W, Z, gamma*, H and top of the hard process."""
    virtual = of_kind(particles, PHOTON) & (particles.mass > MIN_PHOTON_MASS)
    last = has(particles, FROM_HARD_PROCESS) & has(particles, IS_LAST_COPY)
    return last & (of_kind(particles, HEAVY) | virtual)


def boson_photons(particles: ak.Array, leptons: ak.Array, heavy: ak.Array) -> ak.Array:
    """(events, var) mask of the photons of the hard process, in events without its leptons and heavy particles."""
    alone = (ak.num(leptons) == 0) & (ak.num(heavy) == 0)
    return alone & of_kind(particles, PHOTON) & (particles.status == 1) & has(particles, FROM_HARD_PROCESS)


def radiation(particles: ak.Array, leptons: ak.Array) -> ak.Array:
    """(events, var) prompt photons within ΔR 0.1 of any of the leptons, each once."""
    photons = particles[of_kind(particles, PHOTON) & (particles.status == 1) & has(particles, IS_PROMPT)]
    photon, lepton = ak.unzip(ak.cartesian([_directions(photons), _directions(leptons)], nested=True))
    return photons[ak.any(delta_r(photon, lepton) < DRESSING_DR, axis=-1)]


def of_kind(particles: ak.Array, kinds: tuple[int, ...]) -> ak.Array:
    """(events, var) mask of particles and antiparticles of these PDG codes."""
    kind = np.abs(particles.pdgId)
    mask = kind == kinds[0]
    for other in kinds[1:]:
        mask = mask | (kind == other)
    return mask


def has(particles: ak.Array, flags: int) -> ak.Array:
    """(events, var) mask of particles with any of these status flags."""
    return (particles.statusFlags & flags) != 0


def _directions(particles: ak.Array) -> ak.Array:
    return ak.zip({name: particles[name] for name in ("pt", "eta", "phi", "pdgId")})
