"""Decisions of the triggers: of a muon with turn-on and efficiency, of an electron and a photon plain thresholds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptmiss.simulation.leptons import Leptons
from ptmiss.simulation.particleflow import Candidates
from ptmiss.simulation.photons import Photons

MUON_PT, MUON_ETA, MUON_ISOLATION, MUON_EFFICIENCY = 24.0, 2.4, 0.15, 0.9
ELECTRON_PT, PHOTON_PT, MAX_ETA = 32.0, 50.0, 2.5


def single_muon(
    muons: Leptons, candidates: Candidates, offsets: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """(events,) decision of the isolated-muon trigger, with a turn-on of half a GeV around the threshold."""
    pt, eta = candidates.pt[muons.candidate], candidates.eta[muons.candidate]
    turn_on = MUON_EFFICIENCY / (1 + np.exp(-(pt - MUON_PT) / 0.5))
    fired = (np.abs(eta) < MUON_ETA) & (muons.isolation < MUON_ISOLATION) & (rng.random(len(pt)) < turn_on)
    return _any(muons.candidate[fired], offsets)


def single_electron(electrons: Leptons, candidates: Candidates, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(events,) decision of the trigger on a tight electron."""
    tight = electrons.candidate[electrons.medium & electrons.tight]
    return _any(_above(tight, candidates, ELECTRON_PT), offsets)


def single_photon(photons: Photons, candidates: Candidates, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(events,) decision of the trigger on any photon."""
    return _any(_above(photons.candidate, candidates, PHOTON_PT), offsets)


def _above(rows: NDArray[np.int64], candidates: Candidates, pt: float) -> NDArray[np.int64]:
    """The rows of candidates above a threshold, GeV, in acceptance."""
    return rows[(candidates.pt[rows] > pt) & (np.abs(candidates.eta[rows]) < MAX_ETA)]


def _any(rows: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(events,) whether any of some rows, in their order, is in the event."""
    return np.diff(np.searchsorted(rows, offsets)) > 0
