import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptmiss.angles import wrap
from ptmiss.networks import pairs
from ptmiss.networks.features import NEAREST, PAIRS, SCALE
from ptmiss.networks.neighbours import NEUTRAL, NEVER, PILEUP, VERTEX
from ptmiss.segments import from_counts

FAR = 9.0


@st.composite
def events(draw):
    """Features and classes of a few events, in a part of the plane, and offsets."""
    counts = draw(st.lists(st.integers(0, 60), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, wide = sum(counts), draw(st.floats(0.1, 7))
    phi = wrap(np.pi + rng.uniform(-min(wide, np.pi), min(wide, np.pi), n))
    pt = rng.exponential(5, n) / SCALE
    features = np.zeros((n, 8), np.float32)
    features[:, 1], features[:, 2], features[:, 4] = rng.normal(0, 3, n), rng.uniform(-wide, wide, n), pt
    features[:, 6], features[:, 7] = pt * np.cos(phi), pt * np.sin(phi)
    return features, rng.integers(0, NEVER + 1, n).astype(np.int8), from_counts(counts)


def distances(features, kinds, offsets):
    """(n, n) ΔR in double precision; FAR for what is no neighbour."""
    eta, phi = features[:, 2].astype(float), np.arctan2(*features[:, 7:5:-1].T.astype(float))
    apart = np.hypot(eta[:, None] - eta, wrap(phi[:, None] - phi))
    event = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    apart[(event[:, None] != event) | (kinds == NEVER) | np.eye(len(eta), dtype=bool)] = FAR
    return np.where(apart < pairs.RADIUS, apart, FAR)


@settings(deadline=None, max_examples=40)
@given(events())
def test_the_neighbours_are_the_nearest_of_all_pairs(made):
    features, kinds, offsets = made
    apart, index = distances(*made), pairs.neighbours(features, kinds, offsets)
    found = np.where(index < 0, FAR, np.take_along_axis(apart, np.maximum(index, 0), axis=1)) if len(apart) else index
    expected = np.sort(np.pad(apart, ((0, 0), (0, NEAREST)), constant_values=FAR), axis=1)[:, :NEAREST]
    np.testing.assert_allclose(np.sort(found, axis=1), expected, atol=2e-6)
    for row in index:
        there = row[row >= 0]
        assert len(set(there)) == len(there)
        assert (row[len(there) :] == -1).all()


def test_an_event_that_turns_keeps_its_neighbours():
    rng = np.random.default_rng(1)
    phi, eta = rng.uniform(-np.pi, np.pi, 400), rng.uniform(-5, 5, 400)
    kinds, offsets = np.full(400, NEUTRAL, np.int8), np.array([0, 400])
    features = np.zeros((2, 400, 8), np.float32)
    features[..., 2] = eta
    for made, angle in zip(features, (0, 2.345), strict=True):
        made[:, 6], made[:, 7] = np.cos(phi + angle), np.sin(phi + angle)
    one, other = (np.sort(pairs.neighbours(f, kinds, offsets), axis=1) for f in features)
    np.testing.assert_array_equal(one, other)


def test_features_of_pairs_are_those_of_their_formulas():
    rng, n = np.random.default_rng(0), 60
    pt, dz = rng.exponential(3, n) + 0.1, rng.normal(size=n)
    eta, phi = rng.uniform(-1, 1, n), np.pi + rng.uniform(-0.5, 0.5, n)
    kinds = rng.integers(0, NEVER + 1, n).astype(np.int8)
    columns = [0 * pt, dz, eta, 0 * pt, pt, pt, pt * np.cos(phi), pt * np.sin(phi)]
    features = np.stack(columns, axis=1).astype(np.float32)
    features[:, [4, 6, 7]] /= SCALE
    index = pairs.neighbours(features, kinds, np.array([0, n]))
    found = pairs.pair_features(features, kinds, index)
    assert found.shape == (n, len(PAIRS), NEAREST)
    for i, k in itertools.product(range(n), range(NEAREST)):
        if (j := index[i, k]) < 0:
            assert not found[i, :, k].any()
            continue
        dr, low = np.hypot(eta[i] - eta[j], wrap(phi[i] - phi[j])), min(pt[i], pt[j])
        tracks = {kinds[i], kinds[j]} <= {VERTEX, PILEUP}
        expected = [np.log(dr), np.log(low * dr), np.log(low / (pt[i] + pt[j])), np.log(pt[i] * pt[j] * dr**2)]
        expected += [kinds[i] == kinds[j], tracks / (1 + 10 * abs(dz[i] - dz[j]))]
        np.testing.assert_allclose(found[i, :, k], expected, atol=2e-5, rtol=2e-5)
        exact = 2 * pt[i] * pt[j] * (np.cosh(eta[i] - eta[j]) - np.cos(phi[i] - phi[j]))
        assert found[i, 3, k] == pytest.approx(np.log(exact), abs=0.04)


def test_one_on_top_of_another_and_one_without_momentum():
    features = np.zeros((3, 8), np.float32)
    features[0, [4, 6]] = 1
    kinds, offsets = np.full(3, NEUTRAL, np.int8), np.array([0, 3])
    index = pairs.neighbours(features, kinds, offsets)
    assert [set(row[row >= 0]) for row in index] == [{1, 2}, {0, 2}, {0, 1}]
    assert np.isfinite(pairs.pair_features(features, kinds, index)).all()
