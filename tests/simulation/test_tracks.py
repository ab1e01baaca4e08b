from __future__ import annotations

import numpy as np
import pytest

from ptmiss.simulation import detector, helix, parameters, tracks
from ptmiss.simulation.particles import make

from .trees import separation

MC = parameters.profile("mc")


def _shoot(n, code=211, pt=(0.5, 20.0), max_eta=2.4, seed=1):
    """Particles from the beam line, flat in log pT and eta."""
    rng = np.random.default_rng(seed)
    momentum, eta, phi = (
        np.exp(rng.uniform(*np.log(pt), n)),
        rng.uniform(-max_eta, max_eta, n),
        rng.uniform(-np.pi, np.pi, n),
    )
    charge = rng.choice([-1, 1], n)
    columns = [momentum * np.cos(phi), momentum * np.sin(phi), momentum * np.sinh(eta), np.full(n, 0.14)]
    vertex = [np.full(n, MC.beam.x), np.full(n, MC.beam.y), rng.normal(size=n)]
    return make([*columns, *vertex], charge * code, charge)


def _reconstruct(particles, **changes):
    profile = parameters.profile("mc", **changes)
    return tracks.reconstruct(particles, profile.detector, profile.beam, np.random.default_rng(2))


def test_pulls_are_standard_normal():
    particles = _shoot(20_000)
    found = _reconstruct(particles, fake_rate=0)
    true = particles.take(found.particle)
    dxy, dz = found.impact_parameters(np.array([MC.beam.x, MC.beam.y, 0.0]))
    pulls = {
        "pt": (true.pt / found.pt - 1) / found.pt_error,
        "dxy": dxy / found.dxy_error,
        "dz": (dz - true.z) / found.dz_error,
    }
    for name, pull in pulls.items():
        assert pull.mean() == pytest.approx(0, abs=0.03), name
        assert pull.std() == pytest.approx(1, abs=0.03), name


def test_resolution_at_ten_gev_is_that_of_a_silicon_tracker():
    particles = _shoot(20_000, pt=(9.9, 10.1), max_eta=0.5)
    found = _reconstruct(particles, fake_rate=0)
    assert np.std(particles.pt[found.particle] / found.pt - 1) == pytest.approx(np.hypot(0.007, 0.0015), rel=0.1)
    dxy, _ = found.impact_parameters(np.array([MC.beam.x, MC.beam.y, 0.0]))
    assert np.std(dxy) == pytest.approx(np.hypot(0.0015, 0.0008), rel=0.1)


def test_efficiency_closes_and_falls_at_low_pt_and_far_from_the_beam():
    particles = _shoot(20_000, pt=(1.0, 2.0), max_eta=1.4)
    assert len(_reconstruct(particles, fake_rate=0).pt) / 20_000 == pytest.approx(0.95, abs=0.005)
    assert len(_reconstruct(_shoot(5000, pt=(0.1, 0.2)), fake_rate=0).pt) / 5000 < 0.25
    far = particles._replace(x=particles.x + 20)
    assert len(_reconstruct(far, fake_rate=0).pt) / 20_000 == pytest.approx(0.95 * 15 / 35, abs=0.01)
    assert not len(_reconstruct(particles._replace(x=particles.x + 50), fake_rate=0).pt)


def test_fakes_have_their_rate_and_no_particle():
    found = _reconstruct(_shoot(20_000))
    fake = found.particle == tracks.FAKE
    assert fake.sum() / (~fake).sum() == pytest.approx(0.03, rel=0.15)
    assert found.pt[fake].max() < tracks.FAKE_MAX_PT


def _features(found):
    momentum = found.pt * np.cos(found.phi), found.pt * np.sin(found.phi), found.pt * np.sinh(found.eta)
    region, point = helix.reach(*momentum, found.charge, found.x, found.y, found.z, MC.detector.solenoid)
    eta, phi = (
        np.arcsinh(point[:, 2] / np.maximum(np.hypot(point[:, 0], point[:, 1]), 1e-6)),
        np.arctan2(point[:, 1], point[:, 0]),
    )
    return np.stack([found.pt_error, found.dxy_error, found.dz_error, region, eta, phi], axis=1)


def test_no_shallow_tree_tells_fakes_from_tracks_by_errors_or_impact():
    found = _reconstruct(_shoot(40_000, pt=(0.3, 10.0), max_eta=2.9))
    area = separation(_features(found), found.particle == tracks.FAKE)
    assert area < 0.56


def test_no_shallow_tree_tells_electrons_from_hadrons_by_errors_or_impact():
    pions, electrons = (_reconstruct(_shoot(20_000, code, max_eta=2.9, seed=code), fake_rate=0) for code in (211, 11))
    features = np.concatenate([_features(pions), _features(electrons)])
    label = np.repeat([0, 1], [len(pions.pt), len(electrons.pt)])
    assert separation(features, label) < 0.56


def test_the_tree_finds_a_leak_where_there_is_one():
    found = _reconstruct(_shoot(20_000))
    leaking = np.where(found.particle == tracks.FAKE, 0.02, found.pt_error)
    assert separation(leaking[:, None], found.particle == tracks.FAKE) > 0.9


def test_lepton_flags_have_misses_and_false_ones():
    pions, muons, electrons = (_reconstruct(_shoot(20_000, code, pt=(5, 20)), fake_rate=0) for code in (211, 13, 11))
    assert muons.muon.mean() == pytest.approx(MC.detector.muon_efficiency, abs=0.02)
    assert pions.muon.mean() == pytest.approx(MC.detector.muon_fakes, rel=0.6)
    assert 0.7 < electrons.electron.mean() < 0.95
    assert pions.electron.mean() == pytest.approx(MC.detector.electron_fakes, rel=0.4)
    assert not electrons.muon.any()


def test_tracks_reach_the_calorimeter_where_their_particles_do(crossings, reconstructed, mc):
    crossing, seen = crossings[0], reconstructed[0]
    hard = (seen.tracks.particle != tracks.FAKE) & (seen.tracks.pt > 5)
    true_region, true_point = detector._reach(crossing.particles, mc.detector)
    region, point = detector._extrapolate(seen.tracks, mc.detector)
    particle = seen.tracks.particle[hard]
    assert np.mean(region[hard] == true_region[particle]) > 0.95
    assert np.median(np.linalg.norm(point[hard] - true_point[particle], axis=1)) < 1.0


def test_muons_do_not_interact():
    muons = _reconstruct(_shoot(5000, 13, pt=(10, 50), max_eta=1.4), fake_rate=0)
    assert len(muons.pt) / 5000 == pytest.approx(MC.detector.muon_track_efficiency, abs=0.004)
