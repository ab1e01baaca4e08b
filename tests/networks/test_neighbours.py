import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptmiss.networks import neighbours
from ptmiss.networks.features import SCALE
from ptmiss.networks.inputs import Inputs, combinations
from ptmiss.networks.neighbours import ETA_CELLS, PHI_CELLS
from ptmiss.segments import from_counts

from ..helpers import random_candidates

KINDS = {(0, 22): 2, (0, 130): 2, (1, 211): None, (-1, -211): None, (1, -13): -1, (-1, 11): -1}


@st.composite
def events(draw):
    """Inputs of a few events, with the cell of each candidate: each is in the middle half of its cell."""
    counts = draw(st.lists(st.integers(0, 12), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = sum(counts)
    eta_cell = rng.integers(0, draw(st.integers(1, ETA_CELLS)), n)
    phi_cell = rng.integers(-draw(st.integers(0, PHI_CELLS)), draw(st.integers(1, PHI_CELLS)), n) % PHI_CELLS
    eta = 0.2 * (eta_cell + rng.uniform(0.25, 0.75, n)) - 6
    phi = 2 * np.pi / PHI_CELLS * (phi_cell + rng.uniform(0.25, 0.75, n))
    kinds = rng.integers(0, len(KINDS), n)
    categories = np.array([(*list(KINDS)[k], rng.integers(0, 4)) for k in kinds], int)
    pt = rng.exponential(5, n) / SCALE
    features = np.zeros((n, 8), np.float32)
    features[:, 2], features[:, 4], features[:, 6], features[:, 7] = eta, pt, pt * np.cos(phi), pt * np.sin(phi)
    return Inputs(features, combinations(categories.reshape(n, 3)), from_counts(counts)), categories, eta_cell, phi_cell


def kind(categories):
    charge, pdg_id, from_pv = categories
    known = KINDS[charge, pdg_id]
    return known if known is not None else int(from_pv < 2)


def written_out(inputs, categories, eta_cell, phi_cell):
    """The sums by two loops over all pairs, in double precision."""
    sums = np.zeros((len(categories), 6))
    for start, stop in itertools.pairwise(inputs.offsets):
        for i, j in itertools.permutations(range(start, stop), 2):
            far = abs(phi_cell[i] - phi_cell[j])
            apart = max(abs(eta_cell[i] - eta_cell[j]), min(far, PHI_CELLS - far))
            if (k := kind(categories[j])) >= 0 and apart <= 1:
                sums[i, 3 + k] += SCALE * inputs.features[j, 4]
                sums[i, k] += SCALE * inputs.features[j, 4] * (apart == 0)
    return np.log1p(sums)


@settings(deadline=None, max_examples=50)
@given(events())
def test_sums_are_those_of_all_pairs(made):
    inputs = made[0]
    np.testing.assert_allclose(inputs.neighbours, written_out(*made), atol=2e-6)


@settings(deadline=None, max_examples=50)
@given(events(), st.integers(0, 2**32))
def test_the_order_of_candidates_does_not_matter(made, seed):
    inputs, rng = made[0], np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(np.arange(a, b)) for a, b in itertools.pairwise(inputs.offsets)])
    shuffled = Inputs(inputs.features[order], inputs.rows[order], inputs.offsets)
    np.testing.assert_array_equal(shuffled.neighbours, inputs.neighbours[order])


@settings(deadline=None, max_examples=50)
@given(events(), st.integers(0, PHI_CELLS))
def test_an_event_turned_by_whole_cells_has_the_same_sums(made, cells):
    inputs = made[0]
    angle = 2 * np.pi / PHI_CELLS * cells
    turned = inputs.features.copy()
    turned[:, 6:] @= np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    again = Inputs(turned, inputs.rows, inputs.offsets)
    np.testing.assert_array_equal(again.neighbours, inputs.neighbours)


def test_leptons_have_neighbours_and_are_none():
    features = np.zeros((2, 8), np.float32)
    features[:, [4, 6]] = 1
    rows = combinations(np.array([[-1, 13, 3], [0, 22, 3]]))
    found = Inputs(features, rows, np.array([0, 2])).neighbours
    np.testing.assert_allclose(found, [[0, 0, np.log(51)] * 2, [0] * 6], atol=1e-6)


def test_candidates_at_the_edges_and_without_momentum():
    """A candidate of no momentum is at phi = 0; one beyond the grid is in its last cell."""
    features = np.zeros((4, 8), np.float32)
    features[:, 2] = [7, 5.9, 0, 0]
    features[:, 4] = [1, 1, 0, 1]
    features[:, 6] = features[:, 4]
    inputs = Inputs(features, combinations(np.array([[0, 22, 3]] * 4)), np.array([0, 4]))
    np.testing.assert_allclose(inputs.neighbours[:, 2], np.log1p([50, 50, 50, 0]), rtol=1e-6)


def test_phi_cells_close_the_circle():
    phi = np.random.default_rng(0).uniform(-np.pi, np.pi, 4000)
    cells = [neighbours.phi_cell(np.float32(np.cos(p)), np.float32(np.sin(p))) for p in phi]
    np.testing.assert_array_equal(cells, np.floor(phi % (2 * np.pi) / (2 * np.pi / PHI_CELLS)))


def test_the_logarithm():
    x = np.r_[0, np.geomspace(1e-8, 1e7, 4001)].astype(np.float32)
    found = x.copy()
    neighbours.log1p_(found)
    np.testing.assert_allclose(found, np.log1p(x.astype(float)), atol=1.5e-7, rtol=1.5e-7)


def test_of_no_candidates():
    features, categories, _ = random_candidates([0])
    assert Inputs.of(features, categories, np.array([0, 0])).neighbours.shape == (0, 6)
