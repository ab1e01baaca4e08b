from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from ptmiss.candidates.puppi import NEUTRAL, PRIMARY
from ptmiss.simulation import photons
from ptmiss.simulation.history import IS_PROMPT, History
from ptmiss.simulation.particleflow import Candidates


def _history(rows, offsets):
    """Generated particles (pt, eta, phi, pdg_id, status, flags)."""
    pt, eta, phi, pdg_id, status, flags = (np.array(column) for column in zip(*rows, strict=True))
    nothing = np.zeros(len(pt))
    return History(pt, eta, phi, nothing, pdg_id, status, flags, nothing, np.array(offsets))


def _select(rows, history, offsets):
    """The photons among candidates (pt, eta, phi, pdg_id, origin)."""
    pt, eta, phi, pdg_id, origin = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    nothing = np.zeros(len(pt))
    candidates = Candidates(pt, eta, phi, nothing, pdg_id.astype(np.int32), nothing, np.arange(len(pt)))
    return photons.select(candidates, origin.astype(np.int8), history, np.array(offsets), np.random.default_rng(1))


def test_a_particle_is_near_if_it_is_close_hard_stable_and_of_no_hadron():
    around = [
        (60.0, 1.0, 3.1, 22, 1, IS_PROMPT),
        (20.0, -1.0, 0.0, 22, 1, IS_PROMPT),
        (60.0, 0.0, 2.0, 22, 1, 0),
        (60.0, 0.0, 1.0, 22, 23, IS_PROMPT),
        (60.0, 0.0, -1.0, -11, 1, IS_PROMPT),
    ]
    eta = np.array([1.05, 1.2, -1.0, 0.0, 0.0, 0.0])
    phi = np.array([-3.14, 3.1, 0.0, 2.0, 1.0, -1.0])
    found = ak.unflatten(ak.zip({"pt": np.full(6, 50.0), "eta": eta, "phi": phi}), [6, 0])
    history = _history(around, [0, 5, 5])
    assert photons.near(found, history, 22).tolist() == [True, False, False, False, False, False]
    assert photons.near(found, history, 11).tolist() == [False] * 5 + [True]


def _many(kind, n=4000, pt=50.0):
    """Photons in events of their own, at a generated particle of a kind."""
    history = _history([(50.0, 0.0, 0.0, kind, 1, IS_PROMPT)] * n, np.arange(n + 1))
    return _select([(pt, 0.0, 0.0, 22, NEUTRAL)] * n, history, np.arange(n + 1))


def test_genuine_photons_pass_and_electrons_are_vetoed():
    real, electron = _many(22), _many(11)
    for found, steps in ((real, photons.EFFICIENCY), (electron, photons.FAKES)):
        for level, share in enumerate(np.cumprod(steps), start=1):
            assert np.mean(found.identification >= level) == pytest.approx(share, abs=0.025)
    assert real.electron_veto.all()
    assert np.mean(real.pixel_seed) == pytest.approx(photons.SEED, abs=0.01)
    assert np.mean(electron.electron_veto) == pytest.approx(1 - photons.VETO, abs=0.02)
    assert electron.pixel_seed.all()


def test_soft_forward_and_other_candidates_are_no_photons_and_isolation_is_needed():
    history = _history([(50.0, 0.0, 0.0, 22, 1, IS_PROMPT)], [0, 1])
    rows = [
        (50.0, 0.0, 0.0, 22),
        (9.0, 0.0, 1.0, 22),
        (50.0, 2.6, 1.0, 22),
        (50.0, 0.0, 2.0, 130),
        (8.0, 0.1, 0.1, 211),
    ]
    found = _select([(*row, PRIMARY if row[3] == 211 else NEUTRAL) for row in rows], history, [0, 5])
    assert found.candidate.tolist() == [0]
    assert found.isolation == pytest.approx([8 / 50])
    assert found.identification.tolist() == [0]
