import numpy as np
import pytest

from ptmiss.histograms import book_recoil, fill_recoil
from ptmiss.recoil import Recoil
from ptmiss.resolutions import moments
from ptmiss.resolutions.moments import EVERYWHERE
from ptmiss.resolutions.responses import ResponseCorrection, correction
from ptmiss.resolutions.spectra import GRID, bandwidth, corrected_spectra, quantile, rebin, share_below

SIGMA = 12.0


@pytest.fixture(scope="module")
def histograms():
    rng = np.random.default_rng(0)
    qt, noise = rng.exponential(60, 20_000), rng.normal(0, SIGMA, (2, 20_000))
    out = book_recoil(["pf"])
    fill_recoil(
        out, "pf", Recoil(qt + noise[0], noise[1], qt), np.full(len(qt), 20), np.zeros(len(qt), int), np.ones(len(qt))
    )
    return out


def divided_by(value, s):
    """A correction that is known without error."""
    none = correction(s, "none")
    return ResponseCorrection(np.full_like(none.value, value), none.divides, none.measures, none.sum_qt, none.variance)


@pytest.mark.parametrize("r", [0.5, 1.0, 1.3])
def test_a_response_keeps_the_sum_and_moves_the_quantiles(histograms, r):
    s = moments.sums(histograms["moments"], "pf")
    known = divided_by(r, s)
    spectra = corrected_spectra(histograms["spectra"], "pf", s, known)["perp"].part(EVERYWHERE)
    assert spectra.values.sum() == pytest.approx(20_000)
    width = spectra.half_width(known)
    assert width.value == pytest.approx(0.99446 * SIGMA / r, rel=0.02)
    assert width.error == pytest.approx(0.9545 * SIGMA / r / np.sqrt(20_000), rel=0.1)
    assert width.common == 0


def test_quantile_in_the_flow_is_unknown_and_negative_bins_do_no_harm():
    contents = np.zeros((3, len(GRID) + 1))
    contents[0, 0] = 1  # all in the underflow
    contents[1, 400:404] = [2, -0.5, 2, 2]
    values = quantile(contents, 0.16)
    assert np.isnan(values[0])
    assert GRID[398] < values[1] < GRID[402]
    assert np.isnan(values[2])


def test_shares_below_count_the_flow_and_part_of_a_bin():
    shares = share_below(-399.25)
    assert shares[:3].tolist() == [1, 0.75, 0]
    assert shares[-1] == 0


def test_the_density_is_taken_closer_with_more_events():
    assert bandwidth(0.16, 1e5) < bandwidth(0.16, 1e3) < bandwidth(0.16, 5) == 0.1
    assert bandwidth(0.84, 1e3) == pytest.approx(bandwidth(0.16, 1e3))


def test_bins_are_shared_out_evenly_and_the_flow_stays():
    edges = np.asarray([-2.0, 0, 2])
    contents = np.asarray([[1.0, 4, 6, 3]])  # underflow, two bins, overflow
    found = rebin(contents, edges, 1.0, 0.0)[0]
    assert found.sum() == 14
    middle = len(GRID) // 2  # the bin from -1 to 0
    assert found[middle - 2 : middle + 3].tolist() == [1, 2, 2, 3, 3]  # the underflow ends at the first edge
    assert found[-1] == 3
    stretched = rebin(contents, edges, 2.0, 1.0)[0]
    assert stretched[middle : middle + 2].tolist() == [1, 1]
