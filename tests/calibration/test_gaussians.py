import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from ptmiss.calibration import gaussians
from ptmiss.calibration.gaussians import Counts, Mixture, fit, mixture, smoothed
from ptmiss.errors import OptionError

from . import toys

TRUTH = np.array([-2.0, -4.0, 10.0, 1.9, 0.7])
laws = st.builds(
    lambda *p: mixture(p),
    st.floats(-10, 10),
    st.floats(-10, 10),
    st.floats(2, 20),
    st.floats(1.2, 4),
    st.floats(0.1, 0.9),
)


@given(laws)
def test_a_mixture_is_a_density_with_its_mean_and_width(law):
    low, high = law.mean - 15 * law.rms, law.mean + 15 * law.rms
    for power, expected in ((0, 1.0), (1, law.mean), (2, law.rms**2 + law.mean**2)):
        found = quad(lambda x, n=power: x**n * law.pdf(x), low, high, limit=200, points=[law.mean])[0]
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert law.cdf(law.mean + 1) - law.cdf(law.mean - 1) == pytest.approx(quad(law.pdf, law.mean - 1, law.mean + 1)[0])


def test_logarithms_are_precise_far_in_the_tails():
    law = Mixture(np.ones(1), np.zeros(1), np.ones(1))
    x = np.array([-30.0, -10.0, 0.0, 3.0])
    np.testing.assert_allclose(law.log_cdf(x), norm.logcdf(x), rtol=1e-9)
    np.testing.assert_allclose(law.log_sf(-x), norm.logsf(-x), rtol=1e-9)


def test_parameters_describe_three_gaussians():
    law = mixture([1, 2, 3, 4, 1.5, 2, 0.5, 0.5])
    np.testing.assert_allclose(law.fractions, [0.5, 0.25, 0.25])
    np.testing.assert_allclose(law.widths, [4, 6, 12])
    assert gaussians.names(3)[3:] == ["width_0", "ratio_1", "ratio_2", "fraction_0", "fraction_1"]


def test_a_fit_finds_what_was_drawn_and_its_errors_are_the_spread():
    rng = np.random.default_rng(0)
    fits = [fit(toys.counts(toys.MC["par"], 5000, rng)) for _ in range(25)]
    assert all(f.status == "fitted" and f.accurate for f in fits)
    pulls = np.array([(f.parameters - TRUTH) / np.sqrt(np.diag(f.covariance)) for f in fits])
    assert np.all(np.abs(pulls.mean(axis=0)) < 0.8)
    assert np.all((pulls.std(axis=0) > 0.6) & (pulls.std(axis=0) < 1.5))
    assert 0.2 < np.mean([f.probability for f in fits]) < 0.8


def test_weights_change_the_errors_and_not_the_fit():
    counts = toys.counts(toys.MC["par"], 20_000, np.random.default_rng(1))
    weighted = Counts(2 * counts.values, 4 * counts.variances, counts.edges)
    one, two = fit(counts), fit(weighted)
    np.testing.assert_allclose(one.parameters, two.parameters, rtol=0.02, atol=0.05)
    np.testing.assert_allclose(np.diag(one.covariance), np.diag(two.covariance), rtol=0.1)
    assert two.n_effective == pytest.approx(one.n_effective)


def test_a_background_in_the_data_does_not_bias_the_fit():
    rng = np.random.default_rng(2)
    fits = [fit(toys.counts(toys.MC["par"], 3000, rng, background=150)) for _ in range(20)]
    rms = np.array([f.law.rms for f in fits])
    assert rms.mean() == pytest.approx(toys.MC["par"].rms, abs=4 * rms.std() / np.sqrt(len(rms)))
    assert np.mean([fit(toys.counts(toys.MC["par"], 3000, rng)).law.rms for _ in range(3)]) < rms.mean() + 1
    counts = toys.counts(toys.MC["par"], 3000, rng, background=150)
    without = fit(Counts(counts.values, counts.variances, counts.edges))
    assert without.law.rms > toys.MC["par"].rms + 1


def test_near_single_gaussians_are_told_so():
    rng = np.random.default_rng(3)
    single = Mixture(np.ones(1), np.array([1.0]), np.array([12.0]))
    fits = [fit(toys.counts(single, 3000, rng)) for _ in range(10)]
    assert sum(f.status == "fewer" for f in fits) >= 7
    assert np.mean([f.law.rms for f in fits]) == pytest.approx(12, rel=0.02)


def test_empty_histograms_are_one_clear_line():
    with pytest.raises(OptionError, match="holds no events"):
        fit(Counts(np.zeros(len(toys.EDGES) - 1), np.zeros(len(toys.EDGES) - 1), toys.EDGES))


def test_one_bin_is_smoothed():
    values = np.zeros(len(toys.EDGES) - 1)
    values[200] = 500
    found = fit(Counts(values, values, toys.EDGES))
    assert found.status == "smoothed"
    assert found.law.mean == pytest.approx((toys.EDGES[200] + toys.EDGES[201]) / 2)
    assert found.shifted(1.0) == []


def test_negative_bins_join_their_neighbours_and_nothing_is_lost():
    values = np.array([1.0, -2, 1, 0, 5, 9, 4, -1, 0.5, 2, -1])
    counts = Counts(values, np.abs(values), np.arange(12.0)).positive()
    assert counts.values.sum() == pytest.approx(values.sum())
    assert np.all(counts.values >= 0)
    assert counts.edges[0] == 0
    assert counts.edges[-1] == 11
    assert 9 in counts.values
    untouched = Counts(np.abs(values), np.abs(values), np.arange(12.0)).positive()
    np.testing.assert_array_equal(untouched.values, np.abs(values))


def test_negative_weights_do_not_bias_the_fit():
    rng = np.random.default_rng(4)
    rms = []
    for _ in range(10):
        x, sign = toys.draw(toys.MC["par"], 8000, rng), rng.choice([-1, 1], 8000, p=[0.1, 0.9])
        values, variances = np.histogram(x, toys.EDGES, weights=sign)[0], np.histogram(x, toys.EDGES)[0]
        rms.append(fit(Counts(values, variances.astype(float), toys.EDGES)).law.rms)
    assert np.mean(rms) == pytest.approx(toys.MC["par"].rms, rel=0.02)


def test_a_smoothed_histogram_keeps_mean_and_width():
    counts = toys.counts(toys.MC["par"], 3000, np.random.default_rng(5))
    mean, rms = counts.moments()
    law = smoothed(counts).law
    assert law.mean == pytest.approx(mean)
    assert law.rms == pytest.approx(np.hypot(rms, gaussians.KERNEL), rel=1e-6)


def test_steps_along_eigenvectors_add_up_to_the_covariance():
    found = fit(toys.counts(toys.MC["par"], 20_000, np.random.default_rng(6)))
    size = 0.01
    means = np.array([law.mean for law in found.shifted(size)]) - found.law.mean
    gradient = [(mixture(found.parameters + 1e-5 * e).mean - found.law.mean) / 1e-5 for e in np.eye(5)]
    assert (means**2).sum() / size**2 == pytest.approx(gradient @ found.covariance @ gradient, rel=0.02)
    assert found.law.rms / np.sqrt(20_000) == pytest.approx(np.sqrt((means**2).sum()) / size, rel=0.15)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_gradient_is_that_of_the_cumulative_distribution(n):
    parameters = np.array([*[1.0, -2.0, 0.5][:n], 3.0, *[1.7, 2.2][: n - 1], *[0.6, 0.3][: n - 1]])
    x, step = np.linspace(-30, 30, 41), 1e-6
    found = gaussians.gradient(parameters, x)
    assert found.shape == (len(parameters), len(x))
    for i, row in enumerate(found):
        up, down = (mixture(parameters + sign * step * np.eye(len(parameters))[i]).cdf(x) for sign in (1, -1))
        np.testing.assert_allclose(row, (up - down) / (2 * step), atol=1e-8)
