from __future__ import annotations

import numpy as np
import pytest

from ptmiss.simulation import detector, elements, generator, parameters, particleflow, pileup
from ptmiss.simulation.particles import Library, make

QUIET = parameters.profile("mc", pileup_mean=0, pileup_spread=0, fake_rate=0)


def _gun(code, pt, eta, n=300, profile=QUIET, charge=0, seed=1):
    """Candidates of single particles: sum of pT over the true one within 0.4, and the codes, one an event."""
    rng = np.random.default_rng(seed)
    phi, sign = rng.uniform(-np.pi, np.pi, n), rng.choice([-1, 1], n)
    mass = {211: 0.13957, 13: 0.10566}.get(code, 0.0)
    columns = [pt * np.cos(phi), pt * np.sin(phi), np.full(n, pt * np.sinh(eta)), np.full(n, mass)]
    signs = sign if charge else np.ones(n)
    library = Library(make([*columns, *np.zeros((3, n))], signs * code, signs * charge), np.arange(n + 1))
    ratio, codes = np.zeros(n), []
    for i in range(n):
        crossing = pileup.cross(library.collision(i), library, profile.beam, rng)
        found = detector.reconstruct(crossing, profile, rng, with_truth=False).candidates
        near = np.hypot(found.eta - eta, np.angle(np.exp(1j * (found.phi - phi[i])))) < 0.4
        ratio[i] = found.pt[near].sum() / pt
        codes += np.abs(found.pdg_id[near & (found.pt > 0.5 * pt)]).tolist()
    return ratio, codes


@pytest.mark.parametrize(("eta", "expected"), [(0.5, 0.995), (2.0, 0.985)])
def test_photons_are_photons(eta, expected):
    ratio, codes = _gun(22, 20.0, eta)
    assert ratio.mean() == pytest.approx(expected, abs=0.015)
    assert codes.count(22) > 0.97 * 300


def test_charged_hadrons_are_counted_once():
    ratio, codes = _gun(211, 10.0, 0.5, charge=1)
    assert np.median(ratio) == pytest.approx(1, abs=0.01)
    # upward fluctuations of a shower beyond two sigma are taken for neutrals, in CMS too
    assert 1.0 < ratio.mean() < 1.06
    assert codes.count(211) > 0.9 * 300


def test_neutral_hadrons_turn_on():
    soft, hard = (_gun(130, pt, 0.5)[0].mean() for pt in (2.0, 50.0))
    assert soft < 0.75
    assert 0.88 < hard < 1.02


def test_muons_keep_their_momentum_and_eat_their_deposit():
    ratio, codes = _gun(13, 40.0, 0.5, charge=-1)
    assert np.median(ratio) == pytest.approx(1, abs=0.005)
    assert ratio.mean() < 1.01
    assert codes.count(13) > 0.9 * 300


@pytest.mark.parametrize(("code", "expected"), [(22, 1.0), (130, 0.88)])
def test_forward_particles_are_hf_candidates_with_a_low_response_to_hadrons(code, expected):
    ratio, codes = _gun(code, 20.0, 4.0)
    assert ratio.mean() == pytest.approx(expected, abs=0.04)
    assert set(codes) <= {1, 2}


def test_calibration_inverts_the_response():
    from ptmiss.simulation.showers import CALIBRATION_ENERGY, hadron_response

    for energy in (2.0, 20.0, 200.0):
        response = hadron_response(energy, 0.6)
        reference = hadron_response(CALIBRATION_ENERGY, 0.6)
        assert particleflow.hadron_energy(
            0.5 * energy * response, 0.5 * energy * response / reference
        ) == pytest.approx(energy, rel=0.02)


def _elements(rows):
    """Elements from (type, pt, eta, phi, energy)."""
    n = len(rows)
    kind, pt, eta, phi, energy = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    fields = {name: np.zeros(n) for name in elements.Elements._fields}
    fields |= {
        "type": kind.astype(np.int32),
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "energy": energy,
        "calo_eta": eta,
        "calo_phi": phi,
    }
    fields |= {"charge": np.where(kind == 1, 1, 0), "muon": np.zeros(n, bool), "electron": np.zeros(n, bool)}
    return elements.Elements(**fields)


def test_a_track_without_calorimeter_energy_is_dropped_if_it_may_be_a_fake():
    found = particleflow.reconstruct(
        _elements([(1, 15.0, 0.1, 0.1, 15.1), (1, 5.0, 0.1, 1.1, 5.0), (1, 60.0, 0.1, 2.1, 60.3)])
    )
    assert found.pt.tolist() == [pytest.approx(5.0, rel=0.01), pytest.approx(60.0, rel=0.01)]


@pytest.mark.parametrize("pt", [30.0, 1000.0])
def test_a_muon_that_was_not_identified_is_kept(pt):
    profile = parameters.profile(
        "mc", pileup_mean=0, pileup_spread=0, fake_rate=0, muon_efficiency=0, muon_track_efficiency=1
    )
    ratio, codes = _gun(13, pt, 0.5, n=40, profile=profile, charge=-1)
    assert np.median(ratio) == pytest.approx(1, abs=0.05)
    assert codes.count(211) == np.count_nonzero(ratio > 0.5) >= 38


def test_excess_energy_becomes_a_photon_and_a_neutral_hadron():
    found = particleflow.reconstruct(
        _elements([(1, 10.0, 0.1, 0.1, 10.05), (4, 8.0, 0.1, 0.1, 8.0), (5, 60.0, 0.1, 0.1, 60.0)])
    )
    assert sorted(found.pdg_id.tolist()) == [22, 130, 211]
    photon = found.pt[found.pdg_id == 22][0] * np.cosh(0.1)
    assert photon == pytest.approx(8.0)
    expected = particleflow.hadron_energy(8.0, 60.0)
    assert (found.pt * np.cosh(found.eta)).sum() == pytest.approx(expected, rel=1e-3)


def test_an_event_without_anything_has_no_candidates():
    empty = elements.Elements(
        *(np.zeros(0, dtype=np.int32 if i == 0 else float) for i in range(len(elements.Elements._fields)))
    )
    assert len(particleflow.reconstruct(empty).pt) == 0


def test_candidates_have_the_vocabulary(reconstructed):
    for seen in reconstructed:
        found = seen.candidates
        assert set(found.pdg_id) <= {-211, -13, -11, 1, 2, 11, 13, 22, 130, 211}
        assert np.all(found.pt > 0)
        lepton = np.isin(np.abs(found.pdg_id), (11, 13))
        assert np.all(found.charge[lepton] == -np.sign(found.pdg_id[lepton]))
        assert np.all((found.charge == 0) == np.isin(found.pdg_id, (1, 2, 22, 130)))


def test_nearest_wraps_around_and_ignores_what_never_arrived():
    index, distance = particleflow.nearest(
        np.array([0.5, 0.0]), np.array([3.14, 0.0]), np.array([0.5, 0.0]), np.array([-3.14, 0.0]), 0.1
    )
    assert index.tolist() == [0, -1]
    assert distance[0] == pytest.approx(2 * np.pi - 6.28)


def test_guns_are_processes():
    assert {generator.PROCESSES[name].gun for name in generator.PROCESSES if name.startswith("gun")} == {
        211,
        22,
        2112,
        130,
        11,
        13,
    }
