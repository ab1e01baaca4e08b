from __future__ import annotations

import numpy as np
import pytest

from ptmiss.simulation import detector, elements, generator, parameters, pileup, tracks, truth


def _four_momenta(targets):
    transverse = targets.pt * np.cos(targets.phi), targets.pt * np.sin(targets.phi)
    return np.array(
        [*(axis.sum() for axis in transverse), (targets.pt * np.sinh(targets.eta)).sum(), targets.energy.sum()]
    )


def test_targets_and_what_is_lost_are_all_particles(crossings, reconstructed):
    for crossing, seen in zip(crossings, reconstructed, strict=True):
        particles = crossing.particles
        columns = (particles.px, particles.py, particles.pz, particles.energy)
        everything = np.array([np.sum(column, dtype=np.float64) for column in columns])
        assert _four_momenta(seen.targets) + seen.targets.lost == pytest.approx(everything, rel=1e-5, abs=1e-2)
        assert seen.targets.particles.sum() + np.sum(seen.targets.owner == truth.LOST) == len(particles.px)
        assert seen.targets.em_energy + seen.targets.had_energy == pytest.approx(seen.targets.energy)


def test_a_particle_with_a_track_belongs_to_it(crossings, reconstructed):
    for seen in reconstructed:
        real = seen.tracks.particle != tracks.FAKE
        assert np.array_equal(seen.targets.owner[seen.tracks.particle[real]], np.flatnonzero(real))


def test_a_muon_without_a_track_is_lost():
    """Its deposit would be the target of an element that cannot know the momentum."""
    profile = parameters.profile("mc", pileup_mean=0, pileup_spread=0, muon_track_efficiency=0)
    rng = np.random.default_rng(1)
    library = generator.shoot(13, 40, rng).library
    deposits = 0
    for i in range(40):
        crossing = pileup.cross(library.collision(i), library, profile.beam, rng)
        seen = detector.reconstruct(crossing, profile, rng)
        deposits += np.sum(seen.elements.type == elements.HCAL)
        assert not np.any(seen.targets.kind == truth.MUON)
        assert np.all(seen.targets.owner[np.abs(crossing.particles.pdg_id) == 13] == truth.LOST)
    assert deposits > 0


def test_fakes_have_no_target(reconstructed):
    for seen in reconstructed:
        fake = np.flatnonzero(seen.tracks.particle == tracks.FAKE)
        assert np.all(seen.targets.kind[fake] == truth.NONE)
        assert np.all(seen.targets.pt[fake] == 0)


def test_classes_fit_their_elements(reconstructed):
    kinds = {kind: set() for kind in (1, 4, 5, 8, 9)}
    for seen in reconstructed:
        for kind, found in kinds.items():
            found |= set(seen.targets.kind[seen.elements.type == kind].tolist())
    assert kinds[elements.TRACK] <= {0, truth.CHARGED_HADRON, truth.ELECTRON, truth.MUON}
    assert {truth.PHOTON, truth.NEUTRAL_HADRON} <= kinds[elements.ECAL] | kinds[elements.HCAL]
    assert kinds[elements.HF_EM] <= {0, truth.HF_PHOTON}
    assert kinds[elements.HF_HAD] <= {0, truth.HF_HADRON}


def test_pileup_fraction_is_a_fraction(reconstructed):
    for seen in reconstructed:
        assert np.all((seen.targets.pileup >= 0) & (seen.targets.pileup <= 1 + 1e-9))
    muons = [seen.targets.pileup[seen.targets.kind == truth.MUON] for seen in reconstructed]
    assert np.median(np.concatenate(muons)) == 0


def test_most_elements_have_a_target_and_little_is_lost(crossings, reconstructed):
    none = np.concatenate([seen.targets.kind == truth.NONE for seen in reconstructed])
    lost = [c.particles.pt[s.targets.owner == truth.LOST].sum() for c, s in zip(crossings, reconstructed, strict=True)]
    total = [crossing.particles.pt.sum() for crossing in crossings]
    assert none.mean() < 0.25
    assert np.sum(lost) / np.sum(total) < 0.25


def test_the_trackless_share_of_a_deposit(reconstructed):
    """A track has none, HF is beyond the tracker, and in between there are both."""
    for seen in reconstructed:
        share, kind = seen.targets.trackless, seen.elements.type
        assert np.all((share >= 0) & (share <= 1 + 1e-6))
        assert np.all(share[kind == elements.TRACK] == 0)
        assert np.mean(share[np.isin(kind, (elements.HF_EM, elements.HF_HAD))]) > 0.98
        assert 0.2 < np.average(share[kind == elements.HCAL], weights=seen.elements.energy[kind == elements.HCAL]) < 0.9


@pytest.mark.parametrize(("code", "share"), [(22, 1), (211, 0)])
def test_the_trackless_share_of_one_particle(code, share):
    """A photon's deposit is all its own; a pion's with a track belongs to the track; noise is nobody's."""
    profile = parameters.profile("mc", pileup_mean=0, pileup_spread=0, track_efficiency=1)
    rng = np.random.default_rng(2)
    library = generator.shoot(code, 30, rng).library
    found = set()
    for i in range(30):
        crossing = pileup.cross(library.collision(i), library, profile.beam, rng)
        seen = detector.reconstruct(crossing, profile, rng)
        deposit = seen.elements.type != elements.TRACK
        if code == 22 or 0 in seen.tracks.particle:
            found |= set(np.round(seen.targets.trackless[deposit], 6).tolist())
    assert found == {0, share}
