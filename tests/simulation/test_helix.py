from __future__ import annotations

import math

import numpy as np
import pytest

from ptmiss.simulation import helix

FIELD = 3.8


def _reach(pt, eta, phi, charge, vertex=(0.0, 0.0, 0.0)):
    momentum = [np.array([value]) for value in (pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta))]
    region, point = helix.reach(*momentum, np.array([charge]), *(np.array([v]) for v in vertex), FIELD)
    return region[0], point[0]


def _step(pt, eta, phi, charge, vertex, step=0.02):
    """The same by small steps: independent of the algebra."""
    x, y, z = vertex
    turn = -charge * FIELD * 0.299792458 / 100 / pt
    while not (math.hypot(x, y) >= 129 and abs(z) < 129 * math.sinh(1.479)) and abs(z) < 317:
        x, y, z = (
            x + math.cos(phi + turn * step / 2) * step,
            y + math.sin(phi + turn * step / 2) * step,
            z + math.sinh(eta) * step,
        )
        phi += turn * step
    return np.array([x, y, z])


@pytest.mark.parametrize("charge", [-1, 0, 1])
@pytest.mark.parametrize(("pt", "eta"), [(1.0, 0.3), (2.0, -1.2), (0.5, 2.2), (30.0, 0.0)])
def test_the_point_agrees_with_small_steps(charge, pt, eta):
    vertex = (1.5, -0.7, 3.0)
    region, point = _reach(pt, eta, 0.8, charge, vertex)
    assert region == (helix.BARREL if abs(eta) < 1.479 and not (pt < 0.7 and charge) else helix.ENDCAP)
    assert point == pytest.approx(_step(pt, eta, 0.8, charge, vertex), abs=0.3)


def test_curled_up_particles_never_arrive():
    assert _reach(0.4, 0.2, 0.0, 1)[0] == helix.NOWHERE
    assert _reach(0.4, 0.2, 0.0, 0)[0] == helix.BARREL


def test_regions_by_eta():
    assert [_reach(50.0, eta, 0.0, 1)[0] for eta in (1.4, 1.6, 2.9, 3.2, 5.0, 5.4)] == [1, 2, 2, 3, 3, 0]


@pytest.mark.parametrize("charge", [-1, 1])
def test_closest_point_is_the_smallest_distance_along_the_helix(charge):
    px, py, pz, vertex = 0.8, 0.5, 0.9, (3.0, -2.0, 1.0)
    x, y, _, phi = helix.closest_to_beam(px, py, pz, charge, *vertex, 0.0, 0.0, FIELD)
    radius = math.hypot(px, py) * 100 / 0.299792458 / FIELD
    cx, cy = (
        vertex[0] + charge * radius * py / math.hypot(px, py),
        vertex[1] - charge * radius * px / math.hypot(px, py),
    )
    assert math.hypot(x, y) == pytest.approx(abs(math.hypot(cx, cy) - radius))
    assert x * math.cos(phi) + y * math.sin(phi) == pytest.approx(0, abs=1e-6)
    assert math.cos(phi - math.atan2(py, px)) > 0.9


def test_a_prompt_track_starts_where_it_is_produced():
    assert helix.closest_to_beam(1.0, 2.0, 0.5, 1, 0.01, 0.02, 4.0, 0.01, 0.02, FIELD) == pytest.approx(
        (0.01, 0.02, 4.0, math.atan2(2, 1))
    )
