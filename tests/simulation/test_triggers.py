from __future__ import annotations

import numpy as np
import pytest

from ptmiss.simulation import triggers
from ptmiss.simulation.leptons import Leptons
from ptmiss.simulation.particleflow import Candidates
from ptmiss.simulation.photons import Photons


def _singles(pt, eta):
    """Events with one candidate each, flat, and their offsets."""
    n = len(pt)
    nothing = np.zeros(n)
    return Candidates(np.asarray(pt), np.asarray(eta), nothing, nothing, nothing, nothing, nothing), np.arange(n + 1)


def _share_of_muons(pt, eta, n=2000):
    """Share of events with one isolated muon that the trigger takes."""
    candidates, offsets = _singles(np.full(n, pt), np.full(n, eta))
    muons = Leptons(np.arange(n), np.zeros(n), *(np.ones(n, bool),) * 3)
    return triggers.single_muon(muons, candidates, offsets, np.random.default_rng(1)).mean()


def test_the_muon_trigger_turns_on_at_its_threshold():
    assert _share_of_muons(15.0, 0.0) == 0
    assert _share_of_muons(24.0, 0.0) == pytest.approx(0.45, abs=0.04)
    assert _share_of_muons(40.0, 0.0) == pytest.approx(0.9, abs=0.02)
    assert _share_of_muons(40.0, 2.5) == 0


def test_the_electron_trigger_takes_tight_electrons_above_its_threshold():
    candidates, offsets = _singles([31.9, 32.1, 50.0, 50.0], [0.0, 2.4, 2.6, -1.0])
    tight = np.array([True, True, True, False])
    electrons = Leptons(np.arange(4), np.zeros(4), np.ones(4, bool), np.ones(4, bool), tight)
    assert triggers.single_electron(electrons, candidates, offsets).tolist() == [False, True, False, False]


def test_the_photon_trigger_takes_any_photon_of_the_event():
    candidates, _ = _singles([60.0, 12.0, 49.0, 51.0], [2.0, 0.0, 0.0, 0.0])
    photons = Photons(np.array([0, 1, 2, 3]), np.ones(4), np.zeros(4), np.ones(4, bool), np.ones(4, bool))
    assert triggers.single_photon(photons, candidates, np.array([0, 2, 3, 4, 4])).tolist() == [True, False, True, False]
