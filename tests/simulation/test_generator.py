from __future__ import annotations

import sys

import awkward as ak
import numpy as np
import pytest

from ptmiss.errors import PtmissError, UnknownName
from ptmiss.simulation import generator, history, production
from ptmiss.simulation.parameters import Tune


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


def test_a_tune_adds_what_differs_from_monash_and_has_start_files_of_its_own(monkeypatch, tmp_path):
    what, harder = generator.process("zmumu"), Tune(alpha_s_isr=0.15)
    assert generator.settings(what) == [*generator.COMMON, *what.settings]
    assert generator.settings(what, harder)[-1] == "SpaceShower:alphaSvalue = 0.15"
    started = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(generator, "start", lambda what, seed, path, tune: started.append(tune) or path.touch())
    paths = {production._start_file(what, tune) for tune in (generator.MONASH, harder, harder)}
    assert len(paths) == 2
    assert started == [generator.MONASH, harder]


@pytest.mark.slow
def test_a_stronger_coupling_of_the_initial_state_makes_harder_bosons(events):
    tuned = generator.generate(generator.process("zmumu"), 40, 7, tune=Tune(alpha_s_isr=0.2))
    pts = [found.history.pt[found.history.pdg_id == 23].mean() for found in (events, tuned)]
    assert pts[1] > 1.3 * pts[0]


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
def test_prompt_photons_are_selected_and_those_of_hadrons_are_not():
    pytest.importorskip("pythia8mc")
    kept = generator.generate(generator.process("gammajet_fiducial"), 20, 11).history
    photon = (kept.pdg_id == 22) & (kept.status == 1) & (kept.pt > 25) & (np.abs(kept.eta) < 1.5)
    assert (np.add.reduceat(photon, kept.offsets[:-1]) >= 1).all()


def test_photons_of_hadrons_do_not_count():
    p = {"px": [0.0, 30.0, 30.0], "py": [0.0] * 3, "pz": [0.0] * 3}
    event = {"id": [111, 22, 22], "status": [-1, 1, 1], "mother1": [0, 0, 0], **{f"p_{k}": v for k, v in p.items()}}
    columns = {name: ak.Array([event[name], event[name]]) for name in ("id", "status")}
    momentum = ak.zip({axis: ak.Array([p[axis]] * 2) for axis in p})
    record = ak.zip({**columns, "mother1": ak.Array([[0, 0, 0], [0, 0, 1]]), "p": momentum})
    assert generator.has_central(record, generator.Central(22, 1)).tolist() == [False, True]


@pytest.fixture(scope="module")
def showered():
    pytest.importorskip("pythia8mc")
    return generator.generate(generator.process("zee"), 300, 5, shower_weights=True)


@pytest.mark.slow
def test_weights_of_the_shower_conserve_its_probability(showered):
    """Their mean is one: a varied shower has the same cross section."""
    assert showered.shower.shape == (300, generator.SHOWER_WEIGHTS)
    error = showered.shower.std(axis=0) / np.sqrt(300)
    assert (error > 0.005).all()
    assert (np.abs(showered.shower.mean(axis=0) - 1) < 4 * error).all()


@pytest.mark.slow
def test_more_radiation_in_the_initial_state_makes_harder_bosons(showered):
    kept = showered.history
    pt = kept.pt[(kept.pdg_id == 23) & (kept.flags & history.IS_LAST_COPY > 0)]
    halved, _, doubled, _ = (np.average(pt, weights=weight) for weight in showered.shower.T)
    assert doubled < pt.mean() < halved


@pytest.mark.slow
def test_biased_processes_carry_weights():
    pytest.importorskip("pythia8mc")
    events = generator.generate(generator.process("qcd"), 20, 3)
    assert len(np.unique(events.weight)) == 20


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(generator.PROCESSES))
def test_every_process_starts(name, monkeypatch):
    pytest.importorskip("pythia8mc")
    # without multiple interactions, which take seconds to prepare
    monkeypatch.setattr(generator, "COMMON", (*generator.COMMON, "PartonLevel:MPI = off"))
    assert len(generator.generate(generator.process(name), 2, 5).library) == 2
