import numpy as np
import pytest

from ptmiss.simulation import cascade, helix
from ptmiss.simulation.particles import make

FIELD = 3.8


def shoot(code, n, pt=45.0, eta=0.2, seed=1):
    """Particles of a kind from the centre, at random phi."""
    phi, flat = np.random.default_rng(seed).uniform(-np.pi, np.pi, n), np.zeros(n)
    charge = 0 if code == 22 else -1 if code == 11 else 1
    columns = [pt * np.cos(phi), pt * np.sin(phi), np.full(n, pt * np.sinh(eta)), flat, flat, flat, flat]
    return make(columns, np.full(n, code), np.full(n, charge))


def followed(particles, amount=1.0, seed=2):
    return cascade.propagate(particles, amount, FIELD, np.random.default_rng(seed))


def energies(particles, rows):
    return np.bincount(rows.parent, rows.last.energy * ~rows.converted, minlength=len(particles.px))


@pytest.mark.parametrize("code", [11, -11, 22])
def test_energy_is_kept(code):
    """All but the photons below the threshold, of which a row can lose one in each layer."""
    particles = shoot(code, 300, eta=1.4)
    rows = followed(particles)
    lost = particles.energy - energies(particles, rows)
    most = np.bincount(rows.parent, rows.first.charge != 0) * 14 * cascade.MIN_PHOTON
    assert np.all(lost > -1e-3 * particles.energy)
    assert np.all(lost <= most + 1e-3)
    assert len(rows.parent) > len(particles.px)


def test_without_material_nothing_happens():
    particles = shoot(11, 50)
    rows = followed(particles, amount=0.0)
    assert len(rows.parent) == 50
    assert np.all(rows.crossed)
    np.testing.assert_allclose(rows.last.pt, particles.pt, rtol=1e-6)
    columns = (rows.last.px, rows.last.py, rows.last.pz, rows.last.charge, rows.last.x, rows.last.y, rows.last.z)
    _, through = helix.reach(*columns, FIELD)
    _, at_once = helix.reach(*particles[:3], particles.charge, *particles[4:7], FIELD)
    np.testing.assert_allclose(through, at_once, atol=1e-3)


def test_electrons_lose_what_the_budget_says():
    particles = shoot(11, 4000, eta=0.0)
    rows = followed(particles)
    kept = rows.last.pt[:4000] / particles.pt
    assert 1 - kept.mean() == pytest.approx(1 - np.exp(-0.4), abs=0.02)


def test_photons_leave_along_the_tangent():
    rows = followed(shoot(11, 200))
    photon = np.flatnonzero((rows.mother >= 0) & (rows.mother < 200) & (rows.last.charge == 0))
    path = rows.path[rows.mother[photon], rows.born[photon]]
    first = rows.first.take(photon)
    np.testing.assert_allclose(np.arctan2(first.py, first.px), np.arctan2(path[:, 1], path[:, 0]), atol=1e-9)
    np.testing.assert_allclose(np.stack([first.x, first.y, first.z], axis=1), path[:, 2:], atol=1e-9)
    np.testing.assert_allclose(np.hypot(first.x, first.y), [(3, 7, 11, 16, 26, 34, 42, 50, 61, 69, 78, 87, 97, 108)[k]
                                                           for k in rows.born[photon]], rtol=1e-6)  # fmt: skip


def test_positive_and_negative_turn_apart():
    """Photons land on the side from which the track turns away."""
    for code, sign in ((11, 1), (-11, -1)):
        particles = shoot(code, 400, pt=10.0)
        rows = followed(particles)
        there = (rows.last.charge != 0) & (rows.mother < 0) & (rows.last.energy > 1)
        columns = (rows.last.px, rows.last.py, rows.last.pz, rows.last.charge, rows.last.x, rows.last.y, rows.last.z)
        _, point = helix.reach(*columns, FIELD)
        begin = np.arctan2(rows.first.py, rows.first.px)
        turn = np.angle(np.exp(1j * (np.arctan2(point[:, 1], point[:, 0]) - begin)))[there]
        assert np.all(sign * turn > 0.05)


def test_hits_belong_to_the_generated_particles():
    particles = shoot(22, 30, eta=1.0)
    rows = followed(particles)
    arriving, parent = cascade.arrivals(particles, rows)
    assert np.all(np.diff(parent) >= 0)
    total = np.bincount(parent, arriving.energy, minlength=30)
    np.testing.assert_allclose(total, particles.energy, rtol=0.05)
