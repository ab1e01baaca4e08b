import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from ptmiss.calibration import gaussians
from ptmiss.calibration.gaussians import mixture

from . import toys

laws = st.builds(
    lambda *p: mixture(p),
    st.floats(-10, 10),
    st.floats(-8, 8),
    st.floats(1, 3),
    st.floats(0.2, 1.4),
    st.floats(-2, 2),
)


@given(laws)
def test_a_mixture_is_a_density_with_its_mean_and_width(law):
    mean, rms = law.mean[0], law.rms[0]
    for power, expected in ((0, 1.0), (1, mean), (2, rms**2 + mean**2)):
        found = quad(
            lambda x, n=power: x**n * law.pdf([x])[0, 0], mean - 15 * rms, mean + 15 * rms, limit=200, points=[mean]
        )[0]
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    inside = quad(lambda x: law.pdf([x])[0, 0], mean - 1, mean + 1)[0]
    assert np.diff(law.cdf([mean - 1, mean + 1])[0])[0] == pytest.approx(inside)


def test_logarithms_are_precise_far_in_the_tails():
    law, x = toys.law([1], [0], [1]), np.array([-30.0, -10.0, 0.0, 3.0])
    np.testing.assert_allclose(law.log_cdf(x)[0], norm.logcdf(x), rtol=1e-9)
    np.testing.assert_allclose(law.log_sf(-x)[0], norm.logsf(-x), rtol=1e-9)


@given(laws)
def test_quantiles_are_the_inverse_of_the_distribution(law):
    x = law.mean[0] + law.rms[0] * np.linspace(-8, 8, 33)
    np.testing.assert_allclose(law.quantile(law.log_cdf(x), law.log_sf(x))[0], x, atol=1e-6)


def test_rows_are_laws_of_their_own():
    both = mixture([[0, 0, 2, 0.5, 1], [5, 1, 1, 0.7, -1]])
    x = np.linspace(-10, 20, 7)
    for row in (0, 1):
        np.testing.assert_allclose(both.cdf(x)[row], both.rows(row).cdf(x)[0])
    np.testing.assert_allclose(both.quantile(both.log_cdf(x), both.log_sf(x)), np.tile(x, (2, 1)), atol=1e-6)


def test_parameters_describe_three_gaussians():
    law = mixture([1, 1, 2, np.log(4), np.log(1.5), np.log(2), 0, 0])
    np.testing.assert_allclose(law.fractions, [[0.5, 0.25, 0.25]])
    np.testing.assert_allclose(law.means, [[1, 2, 3]])
    np.testing.assert_allclose(law.widths, [[4, 6, 12]])
    assert gaussians.names(3)[3:] == ["log_width", "log_ratio_1", "log_ratio_2", "logit_0", "logit_1"]


@given(laws, st.floats(1, 1e6))
def test_residuals_are_kept_where_there_is_density(law, far):
    x = np.array([-far, 0.0, far])
    kept = law.within(x)
    assert (law.pdf(kept) > 0).all()
    near = np.abs(x - law.means[0, 0]) < gaussians.REACH * law.widths[0].max() / 2
    np.testing.assert_array_equal(kept[0, near], x[near])
