import numpy as np
import pytest
from hypothesis import given, settings

from ptmiss.calibration.laws import Basis, Law
from ptmiss.calibration.quantiles import Surface, exact, nodes, surface

from . import toys
from .test_gaussians import laws


def bisection(mc, data, x):
    """F_data^-1(F_MC(x)) by halving, in double precision."""
    low, high, target = np.full_like(x, -1000.0), np.full_like(x, 1000.0), mc.cdf(x)[0]
    for _ in range(80):
        middle = (low + high) / 2
        below = data.cdf(middle)[0] < target
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low


def smooth(mean: float, width: float) -> Law:
    """Two Gaussians whose mean and width change with qT."""
    basis = Basis(80.0, 2)
    coefficients = np.zeros((5, len(basis.terms)))
    coefficients[:, 0] = [mean, -2, np.log(width), np.log(1.9), 0.8]
    coefficients[0, 1], coefficients[2, 1], coefficients[2, 5] = -2, 0.2, 0.1
    return Law(basis, coefficients, coefficients != 0, np.eye(np.count_nonzero(coefficients)))


@settings(max_examples=15)
@given(laws, laws)
def test_the_exact_map_is_that_of_a_bisection(mc, data):
    core = np.linspace(mc.mean[0] - 4 * mc.rms[0], mc.mean[0] + 4 * mc.rms[0], 101)
    np.testing.assert_allclose(exact(mc, data, core)[0], bisection(mc, data, core), atol=0.01)


@given(laws)
def test_equal_laws_leave_everything_as_it_is(law):
    x = law.mean[0] + law.rms[0] * np.linspace(-15, 15, 50)
    np.testing.assert_allclose(exact(law, law, x)[0], x, atol=1e-5)


def test_a_single_gaussian_is_mapped_by_a_straight_line():
    x = np.linspace(-100, 100, 201)
    found = exact(toys.law([1], [1], [10]), toys.law([1], [-2], [12]), x)[0]
    np.testing.assert_allclose(found, -2 + 1.2 * (x - 1), atol=1e-6)


def test_the_grid_is_the_exact_map_between_its_nodes_too():
    mc, data = smooth(-2, 10), smooth(-3, 11)
    found = surface(mc, data, 2)
    for qt in (0.7, 13.0, 44.0, 80.0):
        for jets in (0, 1):
            x = np.linspace(-50, 45, 301)
            right = exact(mc.at([qt], [jets]), data.at([qt], [jets]), x)[0]
            np.testing.assert_allclose(found(qt, jets, x), right, atol=0.03)
            far = np.linspace(-300, 300, 4001)
            assert np.all(np.diff(found(qt, jets, far)) > 0)
    np.testing.assert_array_equal(found(80.0, 0, x), found(5000.0, 0, x))


def test_beyond_the_nodes_the_shift_is_carried_on():
    found = surface(smooth(-2, 10), smooth(-3, 11), 2)
    end = found.x[-1]
    assert found(20.0, 0, end + 100) - (end + 100) == pytest.approx(found(20.0, 0, end) - end)


def test_what_does_not_rise_is_made_to():
    grid = Surface(nodes(50.0), np.linspace(-20, 20, 9), np.zeros((1, 17, 9)))
    y = grid.x + np.random.default_rng(0).normal(0, 5, (17, 9))
    assert np.all(np.diff(grid.x + grid.like(y).shift, axis=-1) >= -1e-9)


def test_nodes_reach_from_zero_to_the_top():
    found = nodes(108.0)
    assert found[0] == 0
    assert found[-1] == 108
    assert np.all(np.diff(found, 2) > -0.02)


@pytest.mark.parametrize("qt", [0.0, 12.3, 75.0, 300.0])
def test_the_map_of_one_cell_is_that_of_the_whole_grid(qt):
    found = surface(smooth(-3.0, 10.0), smooth(-5.0, 12.0), 2)
    x = np.linspace(-400, 400, 801)
    np.testing.assert_allclose(found.along(qt, 1, x), found(qt, 1, x), rtol=0, atol=1e-12)
