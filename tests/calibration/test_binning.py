import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.binning import CALIBRATION_QT
from ptmiss.calibration.binning import Cell, Yields, cells, merge

QT = len(CALIBRATION_QT)  # 81 bins and the overflow


def yields(rng, mean):
    values = rng.poisson(mean, (QT, 3)).astype(float)
    return Yields(values, values)


@given(st.floats(0.2, 300), st.integers(0, 5))
def test_cells_cover_every_bin_once_and_are_rich_enough(mean, seed):
    rng = np.random.default_rng(seed)
    samples = [yields(rng, mean), yields(rng, mean)]
    seen = np.zeros((QT, 3), int)
    found = cells(samples, 200)
    for cell in found:
        seen[cell.where] += 1
        if len(found) > 1:
            assert all(s.weights[cell.where].sum() >= 200 for s in samples)
    assert np.all(seen == 1)


def test_rich_samples_keep_the_reference_bins():
    found = cells([yields(np.random.default_rng(0), 1000)], 200)
    assert len(found) == 81 * 3 + 3  # the overflow is a bin too
    assert found[0].qt == (0.0, 0.5)


def test_poor_jet_bins_are_merged_from_above():
    values = np.full((QT, 3), [100.0, 3.0, 0.5])
    found = cells([Yields(values, values)], 1000)
    assert {cell.njets_bins for cell in found} == {(0, 3)} or {c.njets_bins for c in found} == {(0, 1), (1, 3)}
    assert found[-1].qt[1] == 1000
    assert found[-1].jets in ("≥ 1 jets", "any nJets")


def test_negative_yields_count_as_nothing():
    values = np.array([5.0, -3.0, 10.0, 1.0])
    assert merge([Yields(values, np.abs(values))], 4) == [0, 1, 4]


def test_titles_are_for_people():
    assert Cell((0, 4), (0, 1)).title == "0 < $q_T$ < 2 GeV, 0 jets"
    assert Cell((80, 82), (2, 3)).title == "300 < $q_T$ < 1000 GeV, ≥ 2 jets"
    assert Cell((0, 1), (0, 2)).jets == "0 or 1 jets"
    assert Cell((0, 82)).qt == pytest.approx((0, 1000))
