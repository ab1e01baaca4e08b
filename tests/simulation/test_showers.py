from __future__ import annotations

import numpy as np
import pytest

from ptmiss.simulation import helix, showers
from ptmiss.simulation.calorimeter import FIRST_TOWER_CELL
from ptmiss.simulation.parameters import Detector
from ptmiss.simulation.particles import make

N = 4000


def _deposit(code, energy, eta, charge=0, detector=None):
    """Energy of many equal particles in the cells: (particles,) sums in all calorimeters and in the ECAL."""
    detector = detector or Detector()
    rng = np.random.default_rng(1)
    phi = rng.uniform(-np.pi, np.pi, N)
    pt = energy / np.cosh(eta)
    momentum = [pt * np.cos(phi), pt * np.sin(phi), np.full(N, pt * np.sinh(eta))]
    particles = make([*momentum, *np.zeros((4, N))], np.full(N, code), np.full(N, charge))
    region, point = helix.reach(*particles[:3], particles.charge, *particles[4:7], detector.solenoid)
    hits = showers.deposit(particles, region, point, detector, rng)
    owner = np.repeat(np.arange(N), np.diff(hits.offsets))
    return np.bincount(owner, hits.energy, N), owner, hits


def _error(values):
    return values.std() / np.sqrt(len(values))


@pytest.mark.parametrize("energy", [5.0, 50.0])
@pytest.mark.parametrize("eta", [0.3, 2.0])
def test_photons_close(energy, eta):
    total, _, _ = _deposit(22, energy, eta)
    assert total.mean() / energy == pytest.approx(1, abs=0.01)
    assert total.std() / energy == pytest.approx(np.hypot(0.028 / np.sqrt(energy), 0.005), rel=0.06)


@pytest.mark.parametrize("energy", [3.0, 50.0, 200.0])
def test_hadrons_follow_the_power_law_and_the_resolution(energy):
    total, _, hits = _deposit(130, energy, 0.3)
    pure = Detector()._replace(hcal_stochastic=0.0, hcal_constant=1e-6)
    exact, _, _ = _deposit(130, energy, 0.3, detector=pure)
    assert total.mean() == pytest.approx(exact.mean(), abs=4 * _error(total))
    response = showers.hadron_response(energy, 0.6)
    reference = showers.hadron_response(showers.CALIBRATION_ENERGY, 0.6)
    assert response * 0.98 < exact.mean() / energy < response / reference * 1.02
    sharing = exact.std() / exact.mean()  # the two calorimeters respond differently
    assert total.std() / total.mean() == pytest.approx(np.sqrt(1 / energy + 0.05**2 + sharing**2), rel=0.1)
    assert hits.energy.min() >= 0


def test_hadrons_in_cracks_lose_half_of_their_energy_and_make_a_tail():
    whole, _, _ = _deposit(130, 50.0, 0.3)
    cracked, _, _ = _deposit(130, 50.0, 0.3, detector=Detector(crack_share=0.2))
    error = np.hypot(_error(whole), _error(cracked)) / whole.mean()
    assert cracked.mean() / whole.mean() == pytest.approx(1 - 0.2 / 2, abs=4 * error)
    assert np.mean(cracked < 0.4 * whole.mean()) == pytest.approx(0.2 * 0.4, abs=0.025)
    photons = [_deposit(22, 50.0, 0.3, detector=d)[0] for d in (Detector(), Detector(crack_share=0.2))]
    assert np.array_equal(*photons)


def test_the_response_grows_with_energy():
    energies = np.array([1.0, 10.0, 100.0])
    assert np.all(np.diff([showers.hadron_response(e, 0.6) for e in energies]) > 0)
    assert showers.hadron_response(0.1, 0.6) == showers.hadron_response(1.0, 0.6) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("code", "share", "response"), [(22, 0.2, 1.0), (130, 0.5, showers.hadron_response(200.0, 0.6))]
)
def test_short_fibres_see_the_hadrons(code, share, response):
    energy = 200.0
    total, _, hits = _deposit(code, energy, 4.0)
    assert total.mean() / energy == pytest.approx(response, abs=0.02)
    short = hits.cell >= FIRST_TOWER_CELL + (hits.cell.max() + 1 - FIRST_TOWER_CELL) // 2
    assert hits.energy[short].sum() / hits.energy.sum() == pytest.approx(share, abs=0.03)


def test_muons_leave_little():
    total, _, _ = _deposit(13, 40.0, 0.5, charge=-1)
    assert total.mean() == pytest.approx(2.3, abs=0.1)


def test_antiprotons_annihilate_and_protons_keep_their_mass():
    detector = Detector(hcal_stochastic=0.0, hcal_constant=1e-6)
    means = {}
    for code in (2112, -2112):
        rng = np.random.default_rng(1)
        particles = make(
            [*(np.full(200, v) for v in (1.0, 0.0, 0.2, 0.93957)), *np.zeros((3, 200))],
            np.full(200, code),
            np.zeros(200),
        )
        region, point = helix.reach(*particles[:3], particles.charge, *particles[4:7], 3.8)
        means[code] = showers.deposit(particles, region, point, detector, rng).energy.sum()
    assert means[-2112] > 2 * means[2112]
