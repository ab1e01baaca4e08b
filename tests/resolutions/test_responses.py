import numpy as np
import pytest

from ptmiss.resolutions.responses import ResponseCorrection, Width


def correction(**changed):
    """Two bins with a response each."""
    number = np.arange(2)
    return ResponseCorrection(np.ones(2), number, number, np.array([100.0, 200.0]), changed.pop("variance"), **changed)


def test_a_width_has_the_error_of_the_responses_and_their_covariance():
    found = correction(variance=np.array([0.01, 0.04])).width(5.0, 0.09, np.array([2.0, 1.0]), np.array([10.0, -20.0]))
    assert found.value == 5
    assert found.error**2 == pytest.approx(0.09 + 4 * 0.01 + 0.04 + 2 * (2 * 10 / 100 - 20 / 200))
    assert found.common == 0


def test_a_width_of_zero_has_no_error():
    """Its derivative is infinite, and the variance of the response of one event zero."""
    found = correction(variance=np.zeros(2)).width(0.0, 0.0, np.array([-np.inf, 0.0]), np.zeros(2))
    assert found == Width(0.0, pytest.approx(np.nan, nan_ok=True), 0.0)
