import numpy as np
import pytest
from scipy.stats import kendalltau, ks_2samp

from ptmiss.calibration.flow import toys


@pytest.fixture(scope="module")
def samples():
    mc = toys.draw("mc", 20_000, seed=1)
    return mc, toys.draw("data", 20_000, seed=2), toys.exact(mc)


@pytest.mark.parametrize("k", range(len(toys.COMPONENTS)))
def test_the_true_map_brings_every_spectrum_to_that_of_data(samples, k):
    mc, data, mapped = samples
    assert ks_2samp(mc.u[:, k], data.u[:, k]).pvalue < 1e-4
    assert ks_2samp(mapped[:, k], data.u[:, k]).pvalue > 0.001


def test_the_true_map_brings_correlations_to_those_of_data(samples):
    """Kendall's tau of a Gaussian copula is 2/pi asin(rho), whatever the spectra; here they are close to it."""
    mc, data, mapped = samples
    before, wanted, after = (kendalltau(u[:, 0], u[:, 2]).statistic for u in (mc.u, data.u, mapped))
    assert before == pytest.approx(2 / np.pi * np.arcsin(toys.CORRELATION["mc"][0]), abs=0.03)
    assert wanted == pytest.approx(2 / np.pi * np.arcsin(toys.CORRELATION["data"][0]), abs=0.03)
    assert after == pytest.approx(wanted, abs=0.012)


def test_the_true_map_is_triangular_and_grows(samples):
    mc, _, mapped = samples
    moved = toys.exact(toys.Toy(mc.u + np.array([0, 0, 1.0, 0]), mc.context))
    np.testing.assert_allclose(moved[:, [0, 1, 3]], mapped[:, [0, 1, 3]], atol=1e-6)
    assert (moved[:, 2] > mapped[:, 2]).all()


@pytest.mark.parametrize("k", range(len(toys.COMPONENTS)))
def test_correlated_events_differ_from_simulation_in_correlations_alone(samples, k):
    correlated = toys.draw("correlated", 20_000, seed=3)
    assert ks_2samp(samples[0].u[:, k], correlated.u[:, k]).pvalue > 0.001
    tau = kendalltau(correlated.u[:, 0], correlated.u[:, 2]).statistic
    assert tau == pytest.approx(2 / np.pi * np.arcsin(toys.CORRELATION["correlated"][0]), abs=0.03)
    mapped = toys.exact(samples[0], "correlated")
    assert kendalltau(mapped[:, 0], mapped[:, 2]).statistic == pytest.approx(tau, abs=0.012)
