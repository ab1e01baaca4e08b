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


def _invented(rng, events):
    counts = rng.integers(0, 4, events)
    n = counts.sum()
    return jets.Jets(rng.exponential(30, n), rng.normal(0, 0.4, n), rng.uniform(-np.pi, np.pi, n), np.zeros(n), counts)


def test_matching_and_responses_are_those_of_a_loop_over_all_pairs():
    rng = np.random.default_rng(5)
    one, other = _invented(rng, 200), _invented(rng, 200)
    events, others = (np.repeat(np.arange(200), each.counts) for each in (one, other))
    expected, ratios = [], []
    for i in range(len(one.pt)):
        there = np.flatnonzero(others == events[i])
        angle = np.arccos(np.clip(np.cos(one.phi[i] - other.phi[there]), -1, 1))
        distance = np.hypot(one.eta[i] - other.eta[there], angle)
        near = int(np.argmin(distance)) if len(there) and distance.min() < 0.4 else -1
        expected.append(near)
        ratios.append(other.pt[there[near]] / one.pt[i] if near >= 0 else np.nan)
    assert jets.match(one, other).tolist() == expected
    assert 0 < np.count_nonzero(np.asarray(expected) >= 0) < len(expected)
    np.testing.assert_allclose(jets.responses(one, other, 0.4), ratios)


def test_missing_fastjet_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastjet", None)
    with pytest.raises(PtmissError, match=r"pip install 'ptmiss\[simulation\]'"):
        jets.cluster(np.zeros((0, 4)), np.zeros(1, dtype=int), 15.0)


def test_at_electron_colliders_near_is_a_small_angle():
    """Two particles near the beam are far from each other in phi, and 0.13 rad apart."""
    pytest.importorskip("fastjet")
    momentum = _massless([(30, 2.5, 0.0), (20, 2.5, 0.8)])
    offsets = np.array([0, 2])
    assert jets.cluster(momentum, offsets, 5.0).counts.tolist() == [2]
    found = jets.cluster(momentum, offsets, 5.0, jets.EE_GENKT)
    assert found.counts.tolist() == [1]
    assert found.pt == pytest.approx([np.hypot(*momentum[:, :2].sum(axis=0))])
