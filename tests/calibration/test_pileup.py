import hist
import numpy as np
import pytest

from ptmiss.calibration.pileup import PileUp, match
from ptmiss.errors import OptionError
from ptmiss.histograms import book_calibration


def spectrum(npv, weight=1.0) -> hist.Hist:
    """``met_xy`` of events with these numbers of vertices."""
    out = book_calibration(["pf"])["met_xy"]
    weight = np.full(len(npv), weight)
    for moment, value in (("w", weight), ("w2", weight**2)):
        out.fill(estimator="pf", axis="x", npv=npv, moment=moment, weight=value)
    return out


def test_weighted_simulation_has_the_vertices_of_data():
    rng = np.random.default_rng(1)
    mc, data = rng.poisson(25, 40_000), rng.poisson(22, 30_000)
    weights = match(spectrum(mc), spectrum(data))
    found = weights(mc)
    assert found.mean() == pytest.approx(1, abs=1e-9)
    bins = weights.edges
    there = np.histogram(mc, bins, weights=found)[0] / len(mc)
    np.testing.assert_allclose(there, np.histogram(data, bins)[0] / len(data), rtol=1e-9)
    assert np.average(mc, weights=found) == pytest.approx(data.mean(), abs=0.1)


def test_numbers_without_enough_events_share_a_weight():
    rng = np.random.default_rng(2)
    weights = match(spectrum(rng.poisson(20, 500)), spectrum(rng.poisson(22, 500)))
    assert 2 < len(weights.weights) < 15


def test_weights_of_generated_events_do_not_change_the_shape():
    npv = np.random.default_rng(3).poisson(20, 5000)
    np.testing.assert_allclose(match(spectrum(npv, 7.0), spectrum(npv)).weights, 1)


def test_outer_weights_hold_beyond():
    weights = PileUp(np.array([0.0, 10.0, 20.0]), np.array([0.5, 2.0]))
    np.testing.assert_array_equal(weights([-1, 0, 9, 10, 19, 20, 500]), [0.5, 0.5, 0.5, 2, 2, 2, 2])


def test_weights_that_add_up_to_nothing_are_one_clear_line():
    negative, data = (spectrum(np.full(200, 20), weight) for weight in (-1.0, 1.0))
    with pytest.raises(OptionError, match="pile-up: the weights of simulation add up to -200, expected more than 0"):
        match(negative, data)
