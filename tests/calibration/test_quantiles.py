import numpy as np
import pytest
from hypothesis import given, settings

from ptmiss.calibration.gaussians import Mixture, smoothed
from ptmiss.calibration.quantiles import exact, quantile_map, smoothed_map

from . import toys
from .test_gaussians import laws


def bisection(mc, data, x):
    """F_data^-1(F_MC(x)) by halving, in double precision."""
    low, high, target = np.full_like(x, -1000.0), np.full_like(x, 1000.0), mc.cdf(x)
    for _ in range(80):
        middle = (low + high) / 2
        below = data.cdf(middle) < target
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low


@settings(max_examples=15)
@given(laws, laws)
def test_the_map_is_that_of_a_bisection_and_rises(mc, data):
    found = quantile_map(mc, data)
    width, centre = mc.widths.max(), mc.means[mc.widths.argmax()]
    core = np.linspace(mc.mean - 4 * mc.rms, mc.mean + 4 * mc.rms, 301)
    np.testing.assert_allclose(found(core), bisection(mc, data, core), atol=0.005)
    ends = np.array([centre - 12 * width, centre + 12 * width])
    np.testing.assert_allclose(found(ends), exact(mc, data, ends), atol=0.3)
    everywhere = np.linspace(centre - 20 * width, centre + 20 * width, 4001)
    assert np.all(np.diff(found(everywhere)) > 0)


@given(laws)
def test_equal_densities_leave_everything_as_it_is(law):
    x = np.linspace(-300, 300, 50)
    np.testing.assert_allclose(quantile_map(law, law)(x), x, atol=1e-5)


def test_a_single_gaussian_is_mapped_by_a_straight_line():
    mc, data = (Mixture(np.ones(1), np.array([m]), np.array([w])) for m, w in ((1.0, 10.0), (-2.0, 12.0)))
    x = np.linspace(-100, 100, 201)
    np.testing.assert_allclose(quantile_map(mc, data)(x), -2 + 1.2 * (x - 1), atol=1e-6)


def test_the_map_is_continuous_where_its_tails_begin():
    found = quantile_map(toys.MC["par"], toys.DATA["par"])
    for knot, slope in ((found.x[0], found.low_slope), (found.x[-1], found.high_slope)):
        step = np.array([-1e-6, 0, 1e-6])
        assert np.ptp(found(knot + step)) < 1e-5
        far = np.array([100.0, 200.0]) * np.sign(knot - found.x.mean())
        assert np.diff(found(knot + far))[0] / np.diff(far)[0] == pytest.approx(slope)


def test_a_smoothed_map_carries_its_shift_on():
    rng = np.random.default_rng(0)
    mc, data = (smoothed(toys.counts(laws["par"], 2000, rng)).law for laws in (toys.MC, toys.DATA))
    found = smoothed_map(mc, data)
    shift = found(np.array([found.x[-1], found.x[-1] + 100])) - np.array([found.x[-1], found.x[-1] + 100])
    assert shift[0] == pytest.approx(shift[1])
    assert mc.cdf(found.x[0]) == pytest.approx(0.005)
    core = np.linspace(-20, 15, 50)
    np.testing.assert_allclose(found(core), bisection(mc, data, core), atol=0.1)
    assert np.all(np.diff(found(np.linspace(-100, 100, 1000))) >= 0)


def test_moved_knots_never_fall():
    found = quantile_map(toys.MC["par"], toys.DATA["par"])
    moved = found.moved(np.random.default_rng(0).normal(0, 5, len(found.x)))
    assert np.all(np.diff(moved.y) >= 0)
