"""Electrons and photons with matter in the tracker, from tracks to truth."""

import numpy as np
import pytest

from ptmiss.simulation import cascade, detector, electrontracks, elements, parameters, pileup, tracks, truth
from ptmiss.simulation.events import Block, columns

from .test_cascade import followed, shoot
from .test_truth import _four_momenta

MATTER = parameters.profile("mc", material=1, pileup_mean=0)


def seen(particles, i, profile=MATTER):
    crossing = pileup.Crossing(particles.take(np.array([i])), np.zeros(1, np.int32), np.zeros((1, 3)), 0.0)
    return detector.reconstruct(crossing, profile, np.random.default_rng([3, i]))


@pytest.fixture(scope="module")
def guns():
    """Reconstructed single electrons of 45 GeV where there is little material, and where there is most."""
    return {eta: [seen(shoot(11, 40, eta=eta), i) for i in range(40)] for eta in (0.1, 1.35)}


@pytest.fixture(scope="module")
def events(zmumu, ttbar, minbias):
    profile, rng = parameters.profile("mc", material=1, pileup_mean=10), np.random.default_rng(1)
    hard = [*(zmumu.library.collision(i) for i in range(2)), ttbar.library.collision(0)]
    crossings = [pileup.cross(collision, minbias, profile.beam, rng) for collision in hard]
    return [(crossing, detector.reconstruct(crossing, profile, rng)) for crossing in crossings]


def test_targets_and_what_is_lost_are_all_particles(events):
    for crossing, event in events:
        particles = crossing.particles
        everything = np.array([np.sum(c, dtype=np.float64) for c in (*particles[:3], particles.energy)])
        assert _four_momenta(event.targets) + event.targets.lost == pytest.approx(everything, rel=1e-5, abs=1e-2)
        owner = event.targets.owner
        assert event.targets.particles.sum() + np.sum(owner == truth.LOST) == len(particles.px)


def test_what_repeats_others_stands_for_nothing(events):
    kinds = set()
    for _, event in events:
        repeated = np.isin(event.elements.type, (elements.GSF, elements.BREM, elements.SUPERCLUSTER))
        alone = (event.elements.type == elements.GSF) & (event.details.parent < 0)
        assert not event.targets.particles[repeated & ~alone].any()
        kinds |= set(event.elements.type.tolist())
        assert np.all(np.diff(event.elements.type) >= 0)
        real = event.tracks.particle != tracks.FAKE
        assert np.array_equal(event.targets.owner[event.tracks.particle[real]], np.flatnonzero(real))
        half = np.isin(event.elements.type, (elements.HF_EM, elements.HF_HAD))
        assert set(event.targets.kind[half]) <= {truth.NONE, truth.HF_HADRON, truth.HF_PHOTON}
        assert event.targets.particles[half].any()
    assert kinds == {1, 4, 5, 6, 7, 8, 9, 10}


def test_an_electron_with_a_gsf_track_alone_belongs_to_it(guns):
    """Each electron once: to its general track, else to its GSF track, else to a cluster."""
    alone = 0
    for event in guns[1.35]:
        owner, kind = event.targets.owner[0], event.elements.type
        general = np.flatnonzero(event.tracks.particle == 0)
        mine = np.flatnonzero(event.gsf.tracks.particle == 0)
        expected = general if len(general) else np.searchsorted(kind, elements.GSF) + mine
        if not len(expected):
            assert kind[owner] not in (elements.TRACK, elements.GSF)
            continue
        assert owner == expected[0]
        alone += kind[owner] == elements.GSF
        assert event.targets.kind[owner] == truth.ELECTRON
        assert abs(event.targets.charge[owner]) == 1
        assert event.targets.particles.sum() == 1
        assert event.targets.trackless.max() == 0
    assert alone > 2


def test_a_cluster_knows_the_electron_or_photon_that_left_most_in_it(events):
    for crossing, event in events:
        shower, ecal = event.showers, event.elements.type == elements.ECAL
        lit = shower.particle >= 0
        assert lit.any()
        assert not lit[~ecal].any()
        of = shower.particle[lit]
        assert np.array_equal(shower.pdg_id[lit], crossing.particles.pdg_id[of])
        assert np.isin(np.abs(shower.pdg_id[lit]), (11, 22)).all()
        assert shower.energy[lit] == pytest.approx(crossing.particles.energy[of])
        assert 0 < shower.share[lit].min() <= shower.share[lit].max() <= 1 + 1e-9
        assert not shower.share[~lit].any()
        alone = ecal & (event.targets.particles == 1) & (event.targets.kind == truth.PHOTON) & lit
        owners = [np.flatnonzero(event.targets.owner == row)[0] for row in np.flatnonzero(alone)]
        assert np.mean(shower.particle[alone] == owners) > 0.9  # a harder one may have left most of it elsewhere


def test_an_electron_that_radiates_has_all_its_clusters(guns):
    """A single electron: everything that it radiates counts as its own."""
    for eta, events in guns.items():
        for event in events:
            lit = event.showers.particle >= 0
            assert set(event.showers.particle[lit]) == {0}
            assert event.showers.share[lit] == pytest.approx(1)
            assert event.showers.energy[lit] == pytest.approx(45 * np.cosh(eta), rel=1e-3)


def test_parents_are_of_the_right_kind(events):
    allowed = {elements.GSF: elements.TRACK, elements.BREM: elements.GSF, elements.ECAL: elements.SUPERCLUSTER}
    for _, event in events:
        parent, kind = event.details.parent.astype(int), event.elements.type
        for child in np.flatnonzero(parent >= 0):
            assert kind[parent[child]] == allowed[kind[child]]
        muon = event.elements.muon & (np.abs(event.elements.eta) < 2.4)
        assert np.all((event.details.dt_hits + event.details.csc_hits)[muon] > 0)


def test_material_costs_resolution_and_energy(guns):
    """Where there are two radiation lengths more is radiated, and the supercluster finds most of it again."""
    widths = {}
    for eta, events in guns.items():
        found = [event.elements.of(elements.SUPERCLUSTER).pt.max(initial=0) / 45 for event in events]
        seeds = [event.elements.of(elements.ECAL).pt.max(initial=0) / 45 for event in events]
        assert np.median(found) > 0.92
        widths[eta] = np.std(found), np.median(seeds)
    assert widths[1.35][0] > 1.5 * widths[0.1][0]
    assert widths[1.35][1] < widths[0.1][1] - 0.1


def test_an_electron_is_one_candidate_with_its_energy(guns):
    for eta, least in ((0.1, 0.9), (1.35, 0.7)):
        electrons = [np.abs(event.candidates.pdg_id) == 11 for event in guns[eta]]
        assert np.mean([np.sum(found & (event.candidates.pt > 20)) == 1 for found, event in
                        zip(electrons, guns[eta], strict=True)]) > least  # fmt: skip
        for found, event in zip(electrons, guns[eta], strict=True):
            assert event.candidates.pt.sum() < 2 * 45
            assert np.all(event.track_particle(event.candidates.element[found & (event.candidates.pt > 20)]) == 0)


def test_inner_and_outer_momentum_differ_by_what_is_lost(guns):
    """In the mean; their difference is that of the two halves of the path."""
    loss = {}
    for eta, events in guns.items():
        gsf = [(event.gsf.tracks.pt[0], event.gsf.pt_out[0]) for event in events if len(event.gsf.pt_out)]
        loss[eta] = np.median([1 - after / before for before, after in gsf])
    assert 0 < loss[0.1] < loss[1.35]


def test_mean_pt_is_that_of_the_curvatures():
    pt = np.array([[10.0, 5.0, np.nan], [4.0, 4.0, 4.0]])
    found = electrontracks.mean_pt(pt, np.isfinite(pt))
    assert found == pytest.approx([2 / (1 / 10 + 1 / 5), 4.0])
    assert electrontracks.mean_pt(pt, np.zeros((2, 3), bool)).tolist() == [0, 0]


def test_short_tracks_have_larger_errors():
    every = np.ones((1, 14), bool)
    first = np.arange(14)[None, :] < 7
    assert electrontracks.growth(every) == pytest.approx([1])
    assert electrontracks.growth(first) == pytest.approx([(105 / 39) ** 2])


def test_a_general_track_ends_at_a_hard_loss():
    rows = followed(shoot(11, 300, eta=1.35))
    found, of = electrontracks.general(rows, MATTER.detector, MATTER.beam, np.random.default_rng(1))
    early = (rows.lost[:, :4] > electrontracks.MAX_LOSS).any(axis=1)
    assert not early[of].any()
    assert np.all(found.particle[of < 300] == of[of < 300])
    assert np.all(found.particle[of >= 300] == tracks.FAKE)
    assert np.mean(of < 300) < 1  # legs of conversions are among them


def test_a_track_follows_the_hardest_leg():
    rows = followed(shoot(11, 500, eta=1.35))
    ends = electrontracks.followed_leg(rows, np.arange(500))
    assert np.array_equal(rows.root[ends], np.arange(500))
    pt = np.nan_to_num(rows.pt[:, 5])
    assert np.all(pt[ends] >= pt[:500])
    assert 0 < np.mean(rows.first.charge[ends] > 0) < 0.1
    assert np.all(rows.born[ends] < 5)


def test_files_say_more_only_with_matter(zmumu, minbias):
    pytest.importorskip("fastjet")
    profile = parameters.profile("mc", material=1, pileup_mean=3)
    made = columns(Block(0, 0, 10, np.random.SeedSequence(1), 3), zmumu, profile, minbias, elements=True)
    assert np.array_equal(made["nPFElementDetail"], made["nPFElement"])
    assert np.array_equal(made["nPFElementShower"], made["nPFElement"])
    track = made["PFElement_type"] == elements.TRACK
    assert made["PFElementDetail_nHits"][track].min() > 8
    assert all(np.isfinite(column).all() for column in made.values())


def test_photons_that_convert_are_seldom_electrons():
    """At most one missing layer, and no second leg: that leaves few of the two thirds that convert."""
    events = [seen(shoot(22, 60, eta=1.35), i) for i in range(60)]
    electrons = [np.any((np.abs(e.candidates.pdg_id) == 11) & (e.candidates.pt > 20)) for e in events]
    assert np.mean(electrons) < 0.2
    assert np.median([e.elements.of(elements.SUPERCLUSTER).pt.max(initial=0) / 45 for e in events]) > 0.95
    assert all(e.targets.kind[e.targets.owner[0]] == truth.PHOTON for e in events if e.targets.owner[0] >= 0)


def test_an_event_without_electrons_and_photons():
    event = seen(shoot(13, 1), 0)
    assert event.elements.muon.any()
    assert not np.any(event.elements.type == elements.BREM)


def test_soft_and_displaced_particles_are_not_followed():
    particles = shoot(11, 4)
    particles.px[0] = particles.py[0] = 0.01
    particles.pz[0] = 0.0
    particles.x[1] = 120.0
    particles.z[2] = 300.0
    assert cascade.followed(particles).tolist() == [False, False, False, True]
