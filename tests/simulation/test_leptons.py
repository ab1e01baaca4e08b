from __future__ import annotations

import numpy as np
import pytest

from ptmiss.candidates.puppi import NEUTRAL, PILEUP, PRIMARY
from ptmiss.simulation import leptons
from ptmiss.simulation.particleflow import Candidates


def _select(rows, code=13, genuine=True):
    """The leptons among candidates (pt, eta, phi, pdg_id, origin) of one event."""
    pt, eta, phi, pdg_id, origin = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    candidates = Candidates(pt, eta, phi, 0 * pt, pdg_id.astype(np.int32), np.zeros(len(pt)), np.arange(len(pt)))
    real = np.full(len(pt), genuine)
    return leptons.select(
        code, candidates, origin.astype(np.int8), real, np.array([0, len(pt)]), np.random.default_rng(1)
    )


MUON = (40.0, 0.0, 3.1, 13, PRIMARY)


def test_isolation_subtracts_half_of_the_charged_pileup():
    around = [
        (4.0, 0.1, 3.1, 211, PRIMARY),
        (3.0, 0.0, -3.1, 22, NEUTRAL),
        (2.0, -0.1, 3.1, 211, PILEUP),
        (9.0, 0.5, 3.1, 22, NEUTRAL),
    ]
    assert _select([MUON, *around]).isolation == pytest.approx([(4 + 3 - 1) / 40])


def test_pileup_never_makes_isolation_negative():
    assert _select([MUON, (30.0, 0.1, 3.1, 211, PILEUP)]).isolation.tolist() == [0.0]


def test_soft_candidates_and_other_flavours_are_no_muons():
    found = _select([(2.0, 0.0, 0.0, -13, PRIMARY), (30.0, 0.0, 1.0, 11, PRIMARY), MUON])
    assert found.candidate.tolist() == [2]


def test_tight_is_tighter_than_medium_and_hard_for_fakes():
    many = [(40.0, eta, 0.0, 13, PRIMARY) for eta in np.linspace(-50, 50, 2000)]
    real, fake = _select(many), _select(many, genuine=False)
    assert not np.any(real.tight & ~real.medium)
    assert real.tight.mean() == pytest.approx(0.96, abs=0.02)
    assert fake.tight.mean() == pytest.approx(0.10, abs=0.03)
