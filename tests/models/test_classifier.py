from itertools import product

import numpy as np
import pytest
from scipy.stats import norm

from ptmiss.errors import OptionError
from ptmiss.models import classifier
from ptmiss.models.classifier import Sides, area, separate


def test_the_area_of_two_shifted_gaussians_is_known_and_so_is_its_error():
    """P(second above first) of two unit Gaussians a distance d apart is Phi(d / sqrt 2)."""
    rng, found = np.random.default_rng(1), []
    for _ in range(200):
        first, second = rng.normal(size=400), rng.normal(0.5, size=300)
        sides = Sides.of(first[:, None], second[:, None])
        found.append(area(np.concatenate([first, second]), sides))
    areas, errors = np.array(found).T
    assert areas.mean() == pytest.approx(norm.cdf(0.5 / np.sqrt(2)), abs=0.004)
    assert areas.std() / errors.mean() == pytest.approx(1, abs=0.15)


def test_the_area_counts_pairs_with_weights_and_half_of_the_ties():
    first, second, w, v = np.array([1.0, 2, 2]), np.array([2.0, 3]), np.array([1, 2, -0.5]), np.array([3.0, 1])
    sides = Sides(np.zeros((5, 1)), np.array([0, 0, 0, 1, 1], bool), np.concatenate([w, v]))
    both = product(zip(first, w, strict=True), zip(second, v, strict=True))
    pairs = [(a * b, (y > x) + 0.5 * (y == x)) for (x, a), (y, b) in both]
    expected = sum(a * b for a, b in pairs) / sum(a for a, _ in pairs)
    assert area(np.concatenate([first, second]), sides)[0] == pytest.approx(expected)


def test_a_background_with_negative_weights_leaves_what_is_without_it():
    rng = np.random.default_rng(2)
    signal, background, other = rng.normal(size=4000), rng.normal(4, size=(2, 2000)), rng.normal(0.3, size=4000)
    data = np.concatenate([signal, *background])
    weights = np.concatenate([np.ones(6000), -np.ones(2000)])
    sides = Sides.of(data[:, None], other[:, None], (weights, np.ones(4000)))
    auc, error = area(np.concatenate([data, other]), sides)
    assert abs(auc - norm.cdf(0.3 / np.sqrt(2))) < 3 * error


def test_a_classifier_finds_a_correlation_and_nothing_where_nothing_is():
    rng = np.random.default_rng(3)
    plain, again = rng.normal(size=(2, 3000, 2))
    turned = rng.normal(size=(3000, 2)) @ np.linalg.cholesky([[1, 0.7], [0.7, 1]]).T
    different = separate(plain, turned, epochs=8)
    same = separate(plain, again, epochs=8)
    assert different.auc > 0.65  # the ratio of both densities, the best classifier there is, has 0.711
    assert abs(same.auc - 0.5) < 4 * same.error
    assert 0.004 < same.error < 0.012
    assert different.auc == separate(plain, turned, epochs=8).auc


def test_too_few_events_are_one_line():
    with pytest.raises(OptionError, match="the second sample has 3 events with a sum of weights of 3"):
        separate(np.zeros((classifier.LEAST, 1)), np.zeros((3, 1)))
