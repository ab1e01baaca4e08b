from __future__ import annotations

import numpy as np
import pytest

from ptmiss.simulation import calorimeter, geometry
from ptmiss.simulation.parameters import Detector
from ptmiss.simulation.showers import Hits

CELLS = geometry.cells(Detector())
BARREL = geometry.GRIDS[geometry.ECAL_BARREL]


def _cell(column, row, grid=BARREL):
    return grid.first + column * grid.ny + row % grid.ny


def _cluster(deposits):
    energy = np.zeros(geometry.N_CELLS)
    for cell, value in deposits.items():
        energy[cell] = value
    return calorimeter.cluster(energy, CELLS)


def test_two_maxima_make_two_clusters_and_share_nothing():
    deposits = {_cell(80, 10): 5.0, _cell(81, 10): 1.0, _cell(82, 10): 0.8, _cell(83, 10): 3.0}
    found = _cluster(deposits)
    assert sorted(found.energy) == pytest.approx([3.8, 6.0])
    assert found.label[list(deposits)].tolist() == [0, 0, 1, 1]
    assert found.cells.tolist() == [2, 2]


def test_clusters_wrap_around_in_phi():
    assert _cluster({_cell(80, 0): 2.0, _cell(80, 359): 1.0}).energy == pytest.approx([3.0])


def test_a_maximum_below_the_seed_threshold_is_no_cluster():
    found = _cluster({_cell(80, 10): 0.9 * CELLS.seed[_cell(80, 10)]})
    assert len(found.energy) == 0
    assert (found.label == -1).all()


def test_equal_cells_make_one_cluster():
    assert len(_cluster({_cell(80, 10): 1.0, _cell(80, 11): 1.0, _cell(81, 10): 1.0}).energy) == 1


def test_clusters_hold_exactly_the_energy_of_their_cells(reconstructed, crossings, mc):
    rng = np.random.default_rng(5)
    energy = np.where(rng.random(geometry.N_CELLS) < 0.02, rng.exponential(1.0, geometry.N_CELLS), 0.0)
    found = calorimeter.cluster(energy, CELLS)
    assert found.energy.sum() == pytest.approx(energy[found.label >= 0].sum())
    assert (energy[found.label >= 0] > 0).all()
    assert found.cells.sum() == (found.label >= 0).sum()


def test_noise_only_cells_have_the_gaussian_rate_and_never_seed_the_barrel():
    nothing = Hits(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32), np.zeros(1, dtype=np.int64))
    rng = np.random.default_rng(1)
    energy = [calorimeter.read_out(nothing, CELLS, Detector(), rng) for _ in range(20)]
    lit = np.mean([np.sum(e[: BARREL.nx * BARREL.ny] > 0) for e in energy])
    assert lit == pytest.approx(BARREL.nx * BARREL.ny * 0.00621, rel=0.05)
    assert np.mean([len(calorimeter.cluster(e, CELLS).energy) for e in energy]) < 15


def test_cells_below_threshold_are_suppressed():
    cell = np.array([_cell(80, 10), _cell(90, 10)], dtype=np.int32)
    hits = Hits(cell, np.array([0.01, 50.0], dtype=np.float32), np.array([0, 2]))
    energy = calorimeter.read_out(hits, CELLS, Detector(), np.random.default_rng(2))
    assert energy[cell[0]] == 0
    assert energy[cell[1]] == pytest.approx(50, abs=0.3)


def test_dead_cells_are_silent_and_others_read_what_they_did():
    detector = Detector(hcal_dead_phi=0.7)
    cells = geometry.cells(detector)
    every = np.arange(geometry.N_CELLS, dtype=np.int32)
    hits = Hits(every, np.full(len(every), 100.0, dtype=np.float32), np.array([0, len(every)]))
    with_hole = calorimeter.read_out(hits, cells, detector, np.random.default_rng(3))
    whole = calorimeter.read_out(hits, CELLS, Detector(), np.random.default_rng(3))
    assert cells.dead.any()
    assert np.array_equal(with_hole, np.where(cells.dead, 0.0, whole))


def test_anomalous_pulses_have_their_number_and_energy():
    nothing = Hits(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32), np.zeros(1, dtype=np.int64))
    detector = Detector(hcal_pulses=20.0, hcal_pulse_energy=50.0)
    rng, hcal = np.random.default_rng(4), geometry.GRIDS[geometry.HCAL]
    energy = np.array([calorimeter.read_out(nothing, CELLS, detector, rng) for _ in range(50)])
    high = energy[energy > 10.0]
    assert len(high) / 50 == pytest.approx(20 * np.exp(-10 / 50), abs=4 * np.sqrt(20 / 50))
    assert high.mean() == pytest.approx(60, abs=4 * 50 / np.sqrt(len(high)))
    assert not (energy[:, : hcal.first] > 10).any()


def test_towers_split_into_long_minus_short_and_twice_short():
    long, short = geometry.GRIDS[geometry.HF_PLUS_OUTER_LONG], geometry.GRIDS[geometry.HF_PLUS_OUTER_SHORT]
    energy = np.zeros(geometry.N_CELLS)
    energy[_cell(3, 4, long)], energy[_cell(3, 4, short)] = 30.0, 10.0
    energy[_cell(5, 4, long)], energy[_cell(5, 4, short)] = 10.0, 14.0
    found = calorimeter.towers(energy, CELLS)
    assert found.em.tolist() == [20.0, 0.0]
    assert found.had.tolist() == [20.0, 24.0]
    assert found.position.shape == (2, 3)
