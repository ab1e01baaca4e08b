from itertools import pairwise

import numpy as np
import pytest

from ptmiss.binning import DEFAULT, PLATEAU
from ptmiss.calibration import response
from ptmiss.histograms import book_recoil, fill_recoil
from ptmiss.recoil import Recoil

EDGES = np.array(DEFAULT.qt_stored)


@pytest.fixture(scope="module")
def measured():
    """Response 1 - 3/qT up to 240 GeV."""
    rng = np.random.default_rng(4)
    qt = rng.uniform(0, 240, 30_000)
    recoil = Recoil(qt - 3 + rng.normal(0, 5, len(qt)), rng.normal(0, 5, len(qt)), qt)
    out = book_recoil(["pf"])
    fill_recoil(out, "pf", recoil, np.full(len(qt), 20), np.zeros(len(qt), int), np.ones(len(qt)))
    return response.measure(out["moments"], "pf"), recoil


def test_each_bin_has_the_ratio_of_the_sums(measured):
    found, recoil = measured
    for i, (low, high) in enumerate(pairwise(EDGES)):
        inside = (recoil.qt >= low) & (recoil.qt < high)
        if inside.any() and low >= 10:
            assert found.values[i] == pytest.approx(recoil.u_par[inside].sum() / recoil.qt[inside].sum())
            assert found.errors[i] == pytest.approx(5 / np.sqrt(inside.sum()) / recoil.qt[inside].mean(), rel=0.1)


def test_the_plateau_is_measured_where_it_is(measured):
    found, recoil = measured
    inside = recoil.qt > PLATEAU[0]
    assert found.plateau == pytest.approx(recoil.u_par[inside].sum() / recoil.qt[inside].sum())
    np.testing.assert_array_equal(found.correction("plateau"), found.plateau)


def test_bins_without_a_response_are_left_alone(measured):
    found, _ = measured
    correction = found.correction("bin")
    assert (correction[EDGES[:-1] >= 260] == 1).all()
    assert (correction[EDGES[1:] <= 10] == 1).all()


def test_rows_end_with_the_plateau(measured):
    rows = list(measured[0].rows())
    assert len(rows) == len(EDGES)
    assert rows[-1] == (*PLATEAU, measured[0].plateau, measured[0].plateau_error)
