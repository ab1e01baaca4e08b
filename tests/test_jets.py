from __future__ import annotations

import sys

import numpy as np
import pytest

from ptmiss import jets
from ptmiss.errors import PtmissError


def _massless(rows):
    pt, eta, phi = np.array(rows).T
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], axis=1)


def test_close_particles_make_one_jet_and_soft_jets_are_left_out():
    pytest.importorskip("fastjet")
    momentum = _massless([(30, 0.5, 3.1), (20, 0.6, -3.1), (40, -1.0, 0.0), (5, 2.0, 1.0)])
    found = jets.cluster(momentum, np.array([0, 4, 4]), 15.0)
    assert found.counts.tolist() == [2, 0]
    assert found.pt == pytest.approx([49.9, 40.0], abs=0.1)
    assert found.eta[1] == pytest.approx(-1.0)


def test_matching_takes_the_nearest_within_the_window():
    one = jets.Jets(
        np.array([50.0, 40.0, 30.0]),
        np.array([0.0, 2.0, 0.0]),
        np.array([3.1, 0.0, 0.0]),
        np.zeros(3),
        np.array([2, 1]),
    )
    other = jets.Jets(
        np.array([45.0, 44.0]), np.array([0.1, 0.05]), np.array([-3.1, 3.1]), np.zeros(2), np.array([2, 0])
    )
    assert jets.match(one, other).tolist() == [1, -1, -1]


def test_missing_fastjet_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastjet", None)
    with pytest.raises(PtmissError, match=r"pip install 'ptmiss\[simulation\]'"):
        jets.cluster(np.zeros((0, 4)), np.zeros(1, dtype=int), 15.0)
