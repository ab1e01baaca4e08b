import numpy as np
import pytest

from ptmiss.calibration import smoothing
from ptmiss.calibration.fits import choose

from . import toys
from .test_fits import BASIS, constants, counts


@pytest.fixture
def fitted():
    table = counts(toys.MC["par"], 3000, np.random.default_rng(0))
    return table, choose([table], BASIS)[0].law


def test_scores_of_a_law_are_normal():
    law = toys.law([1], [3], [5])
    np.testing.assert_allclose(smoothing.scores(law, np.array([3.0, 8.0, -97.0, 103.0])), [[0, 1, -20, 20]], atol=1e-6)


def test_the_right_law_has_the_scores_that_are_observed(fitted):
    table, law = fitted
    found = smoothing.observe(table, law, 1)[0]
    assert np.all(np.diff(found) > 0)
    np.testing.assert_allclose(found, smoothing.GRID, atol=0.25)
    inner = np.abs(smoothing.GRID) < 1
    np.testing.assert_allclose(found[inner], smoothing.GRID[inner], atol=0.05)


def test_equal_scores_shift_nothing_and_shifts_are_carried_on():
    law, x = toys.law([1], [0], [10]), np.array([-200.0, -60.0, -5.0, 0.0, 20.0, 90.0, 200.0])
    same = smoothing.GRID[np.newaxis]
    np.testing.assert_allclose(smoothing.shifts(law, x, same, same), 0, atol=1e-6)
    moved = smoothing.shifts(law, x, same, same - 0.1)[0]
    np.testing.assert_allclose(moved, 1.0, atol=1e-6)


def test_a_shape_that_is_not_of_gaussians_is_followed():
    """A uniform law: its scores are not normal under the fit of Gaussians."""
    rng = np.random.default_rng(1)
    table = counts(toys.law([1], [0], [1]), 10, rng)
    for row in range(len(table.values)):
        table.values[row] = np.histogram(rng.uniform(-40, 40, 4000), table.edges)[0]
    law = constants(table).law
    found = smoothing.observe(table, law, 1)[0]
    middle = np.interp(0.0, found, smoothing.GRID)
    low, high = (
        np.interp(z, smoothing.GRID, found) for z in smoothing.scores(law.at([20.0], [0]), np.array([-15.0, 15.0]))[0]
    )
    assert abs(middle) < 0.05
    assert (high - low) / 2 == pytest.approx(0.489, abs=0.03)  # a uniform law has 5/16 beyond each
