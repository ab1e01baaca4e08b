"""Helices in the solenoid's field: where particles reach the calorimeters, and where they pass the beam.

The barrel is at r = 129 cm up to abs eta 1.479, the endcaps are at abs z = 317 cm up to abs eta 3, and the forward
calorimeters at abs z = 1115 cm up to 5.2. The field ends at the endcaps. A particle that turns by more than a full
circle never leaves the tracker.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

NOWHERE, BARREL, ENDCAP, FORWARD = 0, 1, 2, 3
BARREL_RADIUS, ENDCAP_Z, FORWARD_Z = 129.0, 317.0, 1115.0
BARREL_ETA, ENDCAP_ETA, FORWARD_ETA = 1.479, 3.0, 5.191
_BARREL_Z = BARREL_RADIUS * math.sinh(BARREL_ETA)
_ENDCAP_MIN_RADIUS = ENDCAP_Z / math.sinh(ENDCAP_ETA)
_CM_PER_GEV = 100 / 0.299792458
_MAX_TURN = 2 * math.pi


@njit(cache=True)
def reach(px, py, pz, charge, x, y, z, field):  # type: ignore[no-untyped-def]
    """Calorimeter that each particle reaches, shape (particles,), and the point there in cm, shape (particles, 3)."""
    region = np.zeros(len(px), dtype=np.int8)
    point = np.zeros((len(px), 3))
    for i in range(len(px)):
        region[i], point[i, 0], point[i, 1], point[i, 2] = _reach(
            float(px[i]), float(py[i]), float(pz[i]), int(charge[i]), float(x[i]), float(y[i]), float(z[i]), field
        )
    return region, point


@njit(cache=True)
def _reach(px, py, pz, charge, x, y, z, field):  # type: ignore[no-untyped-def]
    pt = math.hypot(px, py)
    length = _to_cylinder(px, py, pt, charge, x, y, BARREL_RADIUS, field)
    z_barrel = z + pz / pt * length
    if length >= 0 and abs(z_barrel) < _BARREL_Z:
        x, y, px, py = _advance(px, py, pt, charge, x, y, length, field)
        return BARREL, x, y, z_barrel
    if pz == 0:
        return NOWHERE, 0.0, 0.0, 0.0
    side = math.copysign(1.0, pz)
    length = (side * ENDCAP_Z - z) * pt / pz
    if length < 0 or (charge != 0 and length * field / (_CM_PER_GEV * pt) > _MAX_TURN):
        return NOWHERE, 0.0, 0.0, 0.0
    x, y, px, py = _advance(px, py, pt, charge, x, y, length, field)
    if math.hypot(x, y) > _ENDCAP_MIN_RADIUS:
        return ENDCAP, x, y, side * ENDCAP_Z
    straight = (FORWARD_Z - ENDCAP_Z) / abs(pz)
    x, y = x + px * straight, y + py * straight
    eta = math.asinh(FORWARD_Z / max(math.hypot(x, y), 1e-6))
    if ENDCAP_ETA < eta < FORWARD_ETA:
        return FORWARD, x, y, side * FORWARD_Z
    return NOWHERE, 0.0, 0.0, 0.0


@njit(cache=True)
def _to_cylinder(px, py, pt, charge, x, y, cylinder, field):  # type: ignore[no-untyped-def]
    """Transverse path to a cylinder around the beam from inside, negative if the circle does not reach it."""
    if charge == 0:
        along = (x * px + y * py) / pt
        inside = cylinder**2 - x * x - y * y + along * along
        return math.sqrt(inside) - along if inside > 0 else -1.0
    radius = _CM_PER_GEV * pt / field
    # positive charges turn clockwise in a field along +z: the centre lies to the right of the momentum
    cx, cy = x + charge * radius * py / pt, y - charge * radius * px / pt
    distance = math.hypot(cx, cy)
    if distance + radius < cylinder or math.hypot(x, y) > cylinder:
        return -1.0
    # angle at the circle's centre between the beam line and the crossing, by the law of cosines
    cosine = (distance**2 + radius**2 - cylinder**2) / (2 * distance * radius)
    half = math.acos(min(max(cosine, -1.0), 1.0))
    to_beam = math.atan2(-cy, -cx)
    begin = math.atan2(y - cy, x - cx)
    turn = _MAX_TURN
    for crossing in (to_beam + half, to_beam - half):
        angle = (-charge * (crossing - begin)) % (2 * math.pi)
        turn = min(turn, angle)
    return turn * radius


@njit(cache=True)
def _advance(px, py, pt, charge, x, y, length, field):  # type: ignore[no-untyped-def]
    """Transverse position and momentum after a transverse path."""
    if charge == 0:
        return x + px / pt * length, y + py / pt * length, px, py
    radius = _CM_PER_GEV * pt / field
    angle = -charge * length / radius
    cosine, sine = math.cos(angle), math.sin(angle)
    new_px, new_py = px * cosine - py * sine, px * sine + py * cosine
    cx, cy = x + charge * radius * py / pt, y - charge * radius * px / pt
    return cx - charge * radius * new_py / pt, cy + charge * radius * new_px / pt, new_px, new_py


@njit(cache=True)
def cross(px, py, pz, charge, x, y, z, cylinder, half_length, field):  # type: ignore[no-untyped-def]
    """Whether particles inside a closed cylinder (cm) reach it, (particles,), with their px, py and point there.

    The five columns, shape (particles, 5), are px and py (GeV), x, y and z (cm); those of others are as they were.
    """
    there, out = np.zeros(len(px), dtype=np.bool_), np.empty((len(px), 5))
    for i in range(len(px)):
        out[i] = px[i], py[i], x[i], y[i], z[i]
        if math.hypot(x[i], y[i]) >= cylinder or abs(z[i]) >= half_length:
            continue
        pt = math.hypot(px[i], py[i])
        length = _to_cylinder(px[i], py[i], pt, charge[i], x[i], y[i], cylinder, field)
        if length < 0 or abs(z[i] + pz[i] / pt * length) > half_length:
            if pz[i] == 0:
                continue
            length = (math.copysign(half_length, pz[i]) - z[i]) * pt / pz[i]
            if charge[i] != 0 and length * field / (_CM_PER_GEV * pt) > _MAX_TURN:
                continue
        there[i] = True
        new_x, new_y, new_px, new_py = _advance(px[i], py[i], pt, charge[i], x[i], y[i], length, field)
        out[i] = new_px, new_py, new_x, new_y, z[i] + pz[i] / pt * length
    return there, out


@njit(cache=True)
def closest_to_beam(px, py, pz, charge, x, y, z, beam_x, beam_y, field):  # type: ignore[no-untyped-def]
    """x, y, z (cm) of the point closest to the beam in the transverse plane, and the momentum's phi there (rad)."""
    pt = math.hypot(px, py)
    radius = _CM_PER_GEV * pt / field
    cx, cy = x + charge * radius * py / pt, y - charge * radius * px / pt
    dx, dy = beam_x - cx, beam_y - cy
    distance = math.hypot(dx, dy)
    nx, ny = dx / distance, dy / distance
    # the momentum is across the radius, turning as the charge does
    new_px, new_py = charge * ny * pt, -charge * nx * pt
    turn = math.atan2(px * new_py - py * new_px, px * new_px + py * new_py)
    return cx + radius * nx, cy + radius * ny, z - charge * turn * radius * pz / pt, math.atan2(new_py, new_px)
