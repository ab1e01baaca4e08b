from __future__ import annotations

import numpy as np
import pytest

from ptmiss.simulation import geometry, helix
from ptmiss.simulation.parameters import Detector


def test_grids_fill_the_numbering_without_gaps():
    ends = [grid.first + grid.nx * grid.ny for grid in geometry.GRIDS]
    assert [grid.first for grid in geometry.GRIDS] == [0, *ends[:-1]]
    assert ends[-1] == geometry.N_CELLS == len(geometry.cells(Detector()).noise)


@pytest.mark.parametrize(
    "number", [geometry.ECAL_BARREL, geometry.HCAL, geometry.HF_PLUS_OUTER_LONG, geometry.HF_PLUS_INNER_SHORT]
)
def test_a_cell_lies_where_its_number_says(number):
    grid = geometry.GRIDS[number]
    x, y, z = geometry.cells(Detector()).position[grid.first : grid.first + grid.nx * grid.ny].T
    eta, phi = np.arcsinh(z / np.hypot(x, y)), np.arctan2(y, x)
    column, row = (eta - grid.x0) / grid.dx, (phi - grid.y0) / grid.dy
    assert np.array_equal(
        np.floor(column).astype(int) * grid.ny + np.floor(row).astype(int), np.arange(grid.nx * grid.ny)
    )


def test_faces_are_at_the_helix_distances():
    position = geometry.cells(Detector()).position
    barrel, endcap, forward = (
        geometry.GRIDS[i].first for i in (geometry.ECAL_BARREL, geometry.ECAL_ENDCAP_MINUS, geometry.HF_PLUS_OUTER_LONG)
    )
    assert np.hypot(*position[barrel, :2]) == pytest.approx(helix.BARREL_RADIUS)
    assert position[endcap, 2] == -helix.ENDCAP_Z
    assert position[forward, 2] == helix.FORWARD_Z


def test_thresholds_stay_when_the_noise_grows():
    quiet, loud = geometry.cells(Detector()), geometry.cells(Detector(ecal_noise_barrel=0.08))
    assert np.array_equal(quiet.threshold, loud.threshold)
    assert loud.noise[0] == 2 * quiet.noise[0]


def test_a_dead_sector_is_in_one_endcap_of_the_hcal():
    assert not geometry.cells(Detector()).dead.any()
    cells, grid = geometry.cells(Detector(hcal_dead_phi=0.7)), geometry.GRIDS[geometry.HCAL]
    dead = np.flatnonzero(cells.dead)
    assert ((dead >= grid.first) & (dead < grid.first + grid.nx * grid.ny)).all()
    x, y, z = cells.position[dead].T
    assert z == pytest.approx(-helix.ENDCAP_Z)
    assert np.abs(np.arctan2(y, x) - geometry.DEAD_PHI).max() < 0.35
    assert len(dead) == 8 * np.sum(
        geometry.cells(Detector()).position[grid.first :: grid.ny, 2][: grid.nx] < -helix.ENDCAP_Z + 1e-6
    )
