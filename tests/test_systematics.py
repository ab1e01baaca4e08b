import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial.hermite_e import hermegauss

from ptmiss.systematics import shares, sizes, total

SHIFT = st.floats(-10, 10)


def test_by_hand():
    shifts = {"jes_up": 3.0, "jes_down": -3.0, "one_way_up": 1.0, "one_way_down": 7.0, "alone": -2.0, "half_up": 4.0}
    assert sizes(shifts) == pytest.approx({"jes": 3.0, "one_way": 5.0, "alone": 2.0, "half": 4.0})
    assert total(shifts) == pytest.approx(np.sqrt(9 + 25 + 4 + 16))
    assert total({}) == 0


def test_arrays_have_a_size_in_each_bin():
    found = sizes({"jes_up": np.array([1.0, 1.0, 0.0]), "jes_down": np.array([-1.0, 1.0, 2.0])})
    np.testing.assert_allclose(found["jes"], [1.0, 1.0, np.sqrt(2)])


@given(SHIFT, SHIFT)
def test_between_half_the_difference_and_the_larger_of_both(up, down):
    size = sizes({"a_up": up, "a_down": down})["a"]
    assert abs(up - down) / 2 - 1e-9 <= size <= max(abs(up), abs(down)) + 1e-9


@given(SHIFT, SHIFT)
def test_of_a_shift_with_curvature(slope, curve):
    """``a t + b t²`` at t of ±1, and its moments over a Gaussian t by quadrature: the size is between both."""
    t, weight = hermegauss(8)
    moved = slope * t + curve * t**2
    square = np.average(moved**2, weights=weight)
    variance = square - np.average(moved, weights=weight) ** 2
    size = sizes({"a_up": slope + curve, "a_down": curve - slope})["a"]
    assert size**2 == pytest.approx(variance - curve**2, abs=1e-9)
    assert size**2 == pytest.approx(square - 2 * curve**2, abs=1e-9)


def test_the_shares_of_a_systematic_add_up_to_one():
    assert shares(["a_up", "b", "a_down", "c_down"]) == {"a_up": 0.5, "b": 1, "a_down": 0.5, "c_down": 1}
