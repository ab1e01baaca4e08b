import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.angles import delta_r, separation, wrap

angles = st.floats(-np.pi, np.pi)


@given(angles, angles)
def test_a_difference_is_the_angle_between_the_directions(a, b):
    between = np.arccos(np.clip(np.cos(a) * np.cos(b) + np.sin(a) * np.sin(b), -1, 1))
    assert abs(wrap(a - b)) == pytest.approx(between, abs=1e-7)
    assert separation(a, b) == pytest.approx(between, abs=1e-7)


@pytest.mark.parametrize("turns", [-2, -1, 0, 1, 2])
def test_whole_turns_leave_a_direction_and_its_type(turns):
    directions = np.asarray([-3, -1, 0, 2, 3.1], np.float32)
    found = wrap(directions + np.float32(2 * np.pi * turns))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, directions, atol=5e-6)


def test_a_distance_of_records_and_of_columns():
    a, b = {"eta": 0.0, "phi": 3.1}, {"eta": 0.3, "phi": -3.1}
    expected = np.hypot(0.3, 2 * np.pi - 6.2)
    assert delta_r(a, b) == pytest.approx(expected)
    assert ak.to_numpy(delta_r(*(ak.Array([[side]]) for side in (a, b)))) == pytest.approx(expected)
