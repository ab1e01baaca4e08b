import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from ptmiss.networks.lanes import LANES, load, padded, store, total

X, Y = np.linspace(-3, 4, LANES, dtype=np.float32), np.linspace(2, 1, LANES, dtype=np.float32)


@njit
def compute(x, y, half, out):
    a, b = load(x, (0,)), load(y, (0,))
    store(out, (0, 0), half + a * b)
    store(out, (1, 0), a / b)
    store(out, (2, 0), min(max(a, -half), half))
    return total(a)


def test_each_number_is_computed_by_itself():
    out, half = np.zeros((3, LANES), np.float32), np.float32(0.5)
    assert compute(X, Y, half, out) == pytest.approx(X.sum())
    np.testing.assert_allclose(out, [0.5 + X * Y, X / Y, X.clip(-0.5, 0.5)], rtol=1e-6, atol=1e-6)


def test_what_is_not_a_number_stays_so():
    out = np.zeros((3, LANES), np.float32)
    assert np.isnan(compute(np.where(X > 0, np.float32(np.nan), X), Y, np.float32(0.5), out))
    np.testing.assert_array_equal(np.isnan(out), [X > 0] * 3)


@pytest.mark.parametrize("array", [np.zeros((LANES, LANES), np.float32).T, np.zeros((LANES, LANES))])
def test_arrays_of_another_kind_are_refused(array):
    @njit
    def add(x):
        return total(load(x, (0, 0)))

    with pytest.raises(TypingError, match="lanes are in C-contiguous arrays of float32"):
        add(array)


def test_arrays_are_padded_with_zeros():
    array = np.ones((3, LANES + 1), np.float32)
    long = padded(array.T, 0)
    assert long.flags.c_contiguous
    assert (long.shape, long.sum()) == ((2 * LANES, 3), array.size)
    assert padded(array, 0, 1).shape == (LANES, 2 * LANES)
