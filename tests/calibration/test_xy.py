import numpy as np
import pytest

from ptmiss.calibration import pileup, xy
from ptmiss.errors import OptionError
from ptmiss.histograms import book_calibration, book_met, fill_calibration, fill_met
from ptmiss.recoil import cartesian

LINES = ((1.0, 0.2), (-2.0, -0.1))


def filled(n=40_000, mean=25, lines=LINES, seed=0):
    rng = np.random.default_rng(seed)
    npv = 1 + rng.poisson(mean, n)
    met = rng.normal(0, 15, (n, 2)) + np.stack([a + b * npv for a, b in lines], axis=1)
    boson = cartesian(rng.exponential(20, n), rng.uniform(-np.pi, np.pi, n))
    out = book_calibration(["pf"]) | book_met(["pf"])
    fill_calibration(out, "pf", boson, met, npv, np.zeros(n, int), np.ones(n))
    return out, met, npv


def test_lines_are_found_within_their_errors():
    shift = xy.shift(filled()[0]["met_xy"], "pf")
    for line, (intercept, slope) in zip((shift.x, shift.y), LINES, strict=True):
        errors = np.sqrt(np.diag(line.covariance))
        assert abs(line.intercept - intercept) < 3.5 * errors[0]
        assert abs(line.slope - slope) < 3.5 * errors[1]
        assert line.chi2 < line.ndof + 4 * np.sqrt(2 * line.ndof)
    np.testing.assert_allclose(shift([10, 20])[:, 0], shift.x.intercept + shift.x.slope * np.array([10, 20]))


def test_the_azimuth_is_flat_after_the_correction():
    histograms, met, npv = filled()
    fill_met(histograms, "pf", met, np.ones(len(met)), "before")
    fill_met(histograms, "pf", met - xy.shift(histograms["met_xy"], "pf")(npv), np.ones(len(met)))
    before, after = (
        xy.flatness(histograms["met_phi"][{"estimator": 0, "systematic": s}]) for s in ("before", "nominal")
    )
    assert before[2] < 1e-20
    assert after[2] > 0.001
    assert after[1] == 31


def test_few_values_of_npv_make_no_line():
    with pytest.raises(
        OptionError, match="XY of pf x: 0 values of nPV have 10 events, a straight line needs at least 3"
    ):
        xy.shift(filled(20)[0]["met_xy"], "pf")


def test_weights_give_the_distribution_of_the_data():
    data, mc = (filled(seed=seed, mean=mean) for seed, mean in ((1, 22), (2, 26)))
    weigh = pileup.matched(mc[0]["met_xy"], data[0]["met_xy"])
    weight = weigh(mc[2])
    assert weight.mean() == pytest.approx(1, abs=0.01)
    assert np.average(mc[2], weights=weight) == pytest.approx(data[2].mean(), abs=0.1)
    assert np.sqrt(np.cov(mc[2], aweights=weight)) == pytest.approx(data[2].std(), rel=0.03)
    assert weigh([0, 119, 500]).shape == (3,)
