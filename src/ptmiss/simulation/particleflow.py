"""Particle flow by rule, after CMS (JINST 12 (2017) P10003): elements in, candidates out.

Tracks link to the nearest ECAL cluster (within 0.04) and HCAL cluster (within 0.15). An HCAL cluster, its tracks and
their ECAL clusters are a block. If its calorimeter energy exceeds the tracks' momenta by more than n sigma, the excess
becomes a photon (up to the ECAL's energy) and a neutral hadron. A track of 10 to 20 GeV without the energy that it
should leave is dropped as a fake. Harder ones are kept, since the tracker makes no such fakes: they are muons that were
not identified, and hadrons in a crack. Free clusters become photons and neutral hadrons. Beyond the tracker, an ECAL
cluster in front of an HCAL cluster is part of the same hadron. HF halves become HF photons and hadrons.

Measured in unbiased Z -> mu mu, the response of the recoil rises with qT. Two effects are behind it. Neutral hadrons in
the barrel have a response of 0.6 below 2 GeV, 0.77 at 3, 0.90 at 10 and 0.96 above 30 GeV (in HF, uncorrected, 0.4 to
0.85), because soft ones stay below the thresholds, and a shower in two calorimeters is measured in parts. Charged
hadrons have 1.01 to 1.03, because a shower that fluctuates up by two sigma adds a neutral hadron.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.angles import separation
from ptmiss.simulation.elements import ECAL, HCAL, HF_EM, HF_HAD, TRACK, Elements
from ptmiss.simulation.parameters import Detector
from ptmiss.simulation.showers import CALIBRATION_ENERGY, hadron_response
from ptmiss.simulation.tracks import FAKE_MAX_PT

ECAL_LINK, HCAL_LINK = 0.04, 0.15
MIN_NEUTRAL_HADRON, MIN_PHOTON = 1.0, 0.2
MUON_ENERGY = 2.5
TRACKER_ETA = 2.5
PION_MASS, MUON_MASS, ELECTRON_MASS = 0.13957, 0.10566, 0.000511
_FAKE_PT, _FAKE_SIGMA = (10.0, FAKE_MAX_PT), 3.0
_NOMINAL = Detector()


class Candidates(NamedTuple):
    """PF candidates, each array of shape (candidates,): GeV. ``element`` is the row of the element with the direction.

    Charged candidates come first, in the order of their tracks.
    """

    pt: NDArray
    eta: NDArray
    phi: NDArray
    mass: NDArray
    pdg_id: NDArray
    charge: NDArray
    element: NDArray


def reconstruct(elements: Elements) -> Candidates:
    """Candidates of one event's elements."""
    track, ecal, hcal = (elements.of(kind) for kind in (TRACK, ECAL, HCAL))
    n_track, n_ecal, n_hcal = len(track.pt), len(ecal.pt), len(hcal.pt)
    ecal_of, ecal_distance = nearest(track.calo_eta, track.calo_phi, ecal.calo_eta, ecal.calo_phi, ECAL_LINK)
    hcal_of, _ = nearest(track.calo_eta, track.calo_phi, hcal.calo_eta, hcal.calo_phi, HCAL_LINK)
    behind, _ = nearest(ecal.calo_eta, ecal.calo_phi, hcal.calo_eta, hcal.calo_phi, HCAL_LINK)
    behind[np.abs(ecal.eta) < TRACKER_ETA] = -1
    pdg_id, track_energy, photon, neutral = _flow(
        track.energy,
        track.pt,
        track.muon,
        track.electron,
        ecal_of,
        ecal_distance,
        hcal_of,
        ecal.energy,
        behind,
        hcal.energy,
    )
    kept = np.flatnonzero(pdg_id)
    parts = [_charged_candidates(track, kept, pdg_id, track_energy)]
    clusters = np.arange(n_track, n_track + n_ecal + n_hcal)
    for code, energy, least in ((22, photon, MIN_PHOTON), (130, neutral, MIN_NEUTRAL_HADRON)):
        parts.append(_neutral_candidates(elements, clusters, energy, code, least))
    halves = np.arange(n_track + n_ecal + n_hcal, len(elements.pt))
    for code, kind in ((2, HF_EM), (1, HF_HAD)):
        parts.append(
            _neutral_candidates(
                elements, halves, np.where(elements.type[halves] == kind, elements.energy[halves], 0.0), code, 0.0
            )
        )
    return Candidates(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@njit(cache=True)
def hadron_energy(ecal, hcal):  # type: ignore[no-untyped-def]
    """Calibrated energy (GeV) of a hadron from its energies in ECAL and HCAL: the inverse of the mean response.

    The response depends on the energy itself, hence the iteration. It changes so slowly that four steps are enough.
    """
    energy = ecal + hcal
    reference = hadron_response(CALIBRATION_ENERGY, _NOMINAL.hadronic_response)
    for _ in range(4):
        energy = (ecal + hcal * reference) / hadron_response(energy, _NOMINAL.hadronic_response)
    return energy


@njit(cache=True)
def nearest(eta, phi, other_eta, other_phi, window):  # type: ignore[no-untyped-def]
    """Index of the nearest other point within a window, -1 for none, and its distance; each (points,).

    Points at (0, 0) have no position: they are tracks that do not reach the calorimeter.
    """
    index = np.full(len(eta), -1, dtype=np.int64)
    distance = np.full(len(eta), window)
    order = np.argsort(other_eta)
    sorted_eta = other_eta[order]
    for i in range(len(eta)):
        if eta[i] == 0 and phi[i] == 0:
            continue
        j = np.searchsorted(sorted_eta, eta[i] - window)
        while j < len(order) and sorted_eta[j] < eta[i] + window:
            dphi = separation(other_phi[order[j]], phi[i])
            apart = math.hypot(sorted_eta[j] - eta[i], dphi)
            if apart < distance[i]:
                index[i], distance[i] = order[j], apart
            j += 1
    return index, distance


@njit(cache=True)
def _flow(p, pt, muon, electron, ecal_of, ecal_distance, hcal_of, ecal_energy, behind, hcal_energy):  # type: ignore[no-untyped-def]
    """Particle flow in the blocks of an event.

    Returns PDG code (0: dropped) and energy of each track, and the energy of a photon and of a neutral hadron at each
    cluster (ECAL, then HCAL).
    """
    n_ecal, n_hcal = len(ecal_energy), len(hcal_energy)
    pdg_id, energy, ecal_left = _leptons(p, muon, electron, ecal_of, ecal_energy)
    block_of = _blocks(ecal_of, ecal_distance, hcal_of, behind)
    ecal_sum, ecal_lead = np.zeros(n_ecal + n_hcal), np.full(n_ecal + n_hcal, -1)
    for e in range(n_ecal):
        block = block_of[e]
        ecal_sum[block] += ecal_left[e]
        if ecal_lead[block] < 0 or ecal_left[e] > ecal_left[ecal_lead[block]]:
            ecal_lead[block] = e
    hcal_sum = np.concatenate((np.zeros(n_ecal), hcal_energy))
    track_block = np.full(len(p), -1)
    for t in range(len(p)):
        if hcal_of[t] >= 0:
            track_block[t] = n_ecal + hcal_of[t]
        elif ecal_of[t] >= 0:
            track_block[t] = block_of[ecal_of[t]]
    charged = _expected_energy(p, pt, pdg_id, track_block, ecal_sum, hcal_sum)

    photon, neutral = np.zeros(n_ecal + n_hcal), np.zeros(n_ecal + n_hcal)
    for block in range(n_ecal + n_hcal):
        if ecal_sum[block] + hcal_sum[block] <= 0:
            continue
        here = block if hcal_sum[block] > 0 else ecal_lead[block]
        front = ecal_lead[block] if ecal_lead[block] >= 0 else here
        hadron = hadron_energy(ecal_sum[block], hcal_sum[block])
        if charged[block] == 0:
            if hcal_sum[block] > 0:
                neutral[here] += hadron
            else:
                photon[front] += ecal_sum[block]
            continue
        excess = hadron - charged[block]
        # CMS's n = 1 + exp(-E / 100 GeV) sigma: stricter for soft hadrons, whose showers fluctuate most
        if excess < (1 + math.exp(-charged[block] / 100)) * _sigma(charged[block]):
            continue
        photon[front] += min(excess, ecal_sum[block])
        neutral[here] += max(excess - ecal_sum[block], 0.0)
    return pdg_id, energy, photon, neutral


@njit(cache=True)
def _sigma(energy):  # type: ignore[no-untyped-def]
    """Calorimeter resolution (GeV) for hadrons of this energy."""
    return math.sqrt(_NOMINAL.hcal_stochastic**2 * energy + (_NOMINAL.hcal_constant * energy) ** 2)


@njit(cache=True)
def _leptons(p, muon, electron, ecal_of, ecal_energy):  # type: ignore[no-untyped-def]
    """Codes and energies of tracks, and the remaining energy of ECAL clusters: an electron takes its cluster."""
    pdg_id, energy, left = np.full(len(p), 211), p.copy(), ecal_energy.copy()
    for t in range(len(p)):
        e = ecal_of[t]
        if muon[t]:
            pdg_id[t] = 13
        elif electron[t] and e >= 0 and 0.7 * p[t] < left[e] < 3 * p[t]:
            pdg_id[t], energy[t], left[e] = 11, left[e], 0.0
    return pdg_id, energy, left


@njit(cache=True)
def _blocks(ecal_of, ecal_distance, hcal_of, behind):  # type: ignore[no-untyped-def]
    """Block of each ECAL cluster: that of its nearest track's HCAL cluster, or of the one behind it, or its own."""
    n_ecal = len(behind)
    block = np.arange(n_ecal)
    closest = np.full(n_ecal, 1e9)
    for e in range(n_ecal):
        if behind[e] >= 0:
            block[e] = n_ecal + behind[e]
    for t in range(len(ecal_of)):
        e = ecal_of[t]
        if e >= 0 and ecal_distance[t] < closest[e]:
            closest[e] = ecal_distance[t]
            if hcal_of[t] >= 0:
                block[e] = n_ecal + hcal_of[t]
    return block


@njit(cache=True)
def _expected_energy(p, pt, pdg_id, track_block, ecal_sum, hcal_sum):  # type: ignore[no-untyped-def]
    """Energy that the tracks of each block should leave.

    A track that may be a fake, in a block with far too little energy, is one: its code becomes 0. Muons leave little
    and are kept; the energy of electrons is not in the block any more.
    """
    expected = np.zeros(len(ecal_sum))
    for t in range(len(p)):
        block = track_block[t]
        if block >= 0 and pdg_id[t] != 11:
            expected[block] += min(p[t], MUON_ENERGY) if pdg_id[t] == 13 else p[t]
    for t in range(len(p)):
        if pdg_id[t] != 211 or not _FAKE_PT[0] <= pt[t] < _FAKE_PT[1]:
            continue
        block = track_block[t]
        found = hadron_energy(ecal_sum[block], hcal_sum[block]) if block >= 0 else 0.0
        total = expected[block] if block >= 0 else p[t]
        if total - found > _FAKE_SIGMA * _sigma(total) and p[t] > found:
            pdg_id[t] = 0
            if block >= 0:
                expected[block] -= p[t]
    return expected


def _charged_candidates(track: Elements, kept: NDArray, pdg_id: NDArray, energy: NDArray) -> Candidates:
    code = pdg_id[kept]
    charge = track.charge[kept]
    mass = np.select([code == 13, code == 11], [MUON_MASS, ELECTRON_MASS], default=PION_MASS)
    sign = np.where(code == 211, charge, -charge)
    pt = energy[kept] / np.cosh(track.eta[kept])
    return Candidates(pt, track.eta[kept], track.phi[kept], mass, (sign * code).astype(np.int32), charge, kept)


def _neutral_candidates(elements: Elements, index: NDArray, energy: NDArray, code: int, least: float) -> Candidates:
    kept = energy > least
    chosen, eta = index[kept], elements.eta[index[kept]]
    none = np.zeros(len(chosen), dtype=np.int32)
    return Candidates(
        energy[kept] / np.cosh(eta),
        eta,
        elements.phi[chosen],
        np.zeros(len(chosen)),
        none + np.int32(code),
        none,
        chosen,
    )
