from __future__ import annotations

import sys

import numpy as np
import pytest

from ptmiss.errors import PtmissError, UnknownName
from ptmiss.simulation import generator, history


def test_an_unknown_process_names_the_nearest():
    with pytest.raises(UnknownName, match="unknown process 'zmuu', did you mean 'zmumu'"):
        generator.process("zmuu")


def test_a_missing_pythia_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    with pytest.raises(PtmissError, match=r"pip install 'ptmiss\[simulation\]'"):
        generator.generate(generator.process("zmumu"), 1, 1)


@pytest.mark.parametrize(
    ("gun", "code", "charges"), [("gun_pion", 211, {-1, 1}), ("gun_photon", 22, {0}), ("gun_muon", 13, {-1, 1})]
)
def test_a_gun_shoots_one_particle_an_event(gun, code, charges):
    events = generator.generate(generator.process(gun), 500, 1)
    particles = events.library.particles
    assert len(events.library) == len(particles.px) == 500
    assert set(np.abs(particles.pdg_id)) == {code}
    assert set(particles.charge) == charges
    sign = 1 if code == 211 else -1  # the positive muon has a negative code
    assert np.array_equal(particles.charge * np.sign(particles.pdg_id), sign * np.abs(particles.charge))
    assert 0.5 <= particles.pt.min() <= particles.pt.max() <= 200


def test_a_gun_is_reproducible():
    first, second, other = (generator.generate(generator.process("gun_pion"), 10, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.library.particles.px, second.library.particles.px)
    assert not np.array_equal(first.library.particles.px, other.library.particles.px)


@pytest.fixture(scope="module")
def events():
    pytest.importorskip("pythia8mc")
    return generator.generate(generator.process("zmumu"), 40, 7)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_events(events):
    again = generator.generate(generator.process("zmumu"), 40, 7)
    for mine, theirs in zip(events.library.particles, again.library.particles, strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.slow
def test_each_event_has_two_prompt_muons_from_one_boson(events):
    kept = events.history
    for first, last in zip(kept.offsets[:-1], kept.offsets[1:], strict=True):
        own = slice(first, last)
        muon = (np.abs(kept.pdg_id[own]) == 13) & (kept.status[own] == 1) & (kept.flags[own] & history.IS_PROMPT > 0)
        assert muon.sum() == 2
        assert set(np.abs(kept.pdg_id[own][kept.mother[own][muon]])) <= {23, 13}


@pytest.mark.slow
def test_no_neutrino_is_visible_and_kaons_decay_inside_the_tracker(events):
    particles = events.library.particles
    assert not np.isin(np.abs(particles.pdg_id), (12, 14, 16)).any()
    displaced = np.hypot(particles.x, particles.y) > 0.5
    assert 0.005 < displaced.mean() < 0.2


@pytest.mark.slow
def test_neutrinos_of_w_decays_are_the_missing_momentum():
    pytest.importorskip("pythia8mc")
    events = generator.generate(generator.process("wmunu"), 20, 3)
    assert np.hypot(*events.invisible.T).mean() > 15


@pytest.mark.slow
def test_a_fiducial_process_keeps_events_with_its_muons():
    pytest.importorskip("pythia8mc")
    what = generator.process("ttbar_dimuon")
    particles, offsets = generator.generate(what, 20, 11).library
    assert len(offsets) == 21
    pt = np.hypot(particles.px, particles.py)
    central = (np.abs(particles.pdg_id) == 13) & (pt > 20) & (np.abs(np.arcsinh(particles.pz / pt)) < 2.5)
    assert (np.add.reduceat(central, offsets[:-1]) >= 2).all()


@pytest.mark.slow
def test_biased_processes_carry_weights():
    pytest.importorskip("pythia8mc")
    events = generator.generate(generator.process("qcd"), 20, 3)
    assert len(np.unique(events.weight)) == 20


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(generator.PROCESSES))
def test_every_process_starts(name):
    pytest.importorskip("pythia8mc")
    assert len(generator.generate(generator.process(name), 2, 5).library) == 2
