import awkward as ak
import numpy as np
import pytest

from ptmiss import events, sample, truth
from ptmiss.recoil import azimuth, magnitude, recoil, transverse_sum

PROMPT, HARD, LAST, OF_TAU = (
    truth.IS_PROMPT, truth.FROM_HARD_PROCESS, truth.IS_LAST_COPY, truth.DIRECT_HARD_TAU_PRODUCT
)  # fmt: skip
FINAL = PROMPT | HARD | LAST


def particle(pdg_id, pt, eta=0.0, phi=0.0, status=1, flags=FINAL, mass=0.0):
    names = ("pdgId", "pt", "eta", "phi", "status", "statusFlags", "mass")
    return dict(zip(names, (pdg_id, pt, eta, phi, status, flags, mass), strict=True))


def event(*particles):
    return ak.Array([{"GenPart": list(particles)}])


def along(pdg_id, px, py, **others):
    vector = np.array([px, py])
    return particle(pdg_id, float(magnitude(vector)), phi=float(azimuth(vector)), **others)


def no_leptons():
    return ak.Array([[particle(13, 1.0)]])[:, :0]


def test_a_boson_in_the_record_is_the_boson():
    w = event(
        particle(24, 55.0, status=22, flags=PROMPT | HARD),
        particle(24, 50.0, phi=1.0, status=62, flags=PROMPT | HARD | LAST),
        particle(13, 40.0),
        particle(-14, 30.0, phi=2.0),
        particle(23, 70.0, flags=LAST, status=62),  # not of the hard process
    )
    np.testing.assert_allclose(truth.generated_boson(w), [[50 * np.cos(1), 50 * np.sin(1)]], atol=1e-6)


def test_without_one_it_is_neutrino_and_dressed_lepton():
    w = event(
        particle(13, 40.0),
        particle(-14, 30.0, phi=np.pi / 2),
        particle(22, 5.0, eta=0.05, flags=PROMPT),
        particle(22, 7.0, eta=0.5, flags=PROMPT),  # too far
        particle(22, 9.0, eta=-0.05, flags=0),  # of a pion
        particle(13, 9.0, flags=LAST),  # of a hadron
    )
    np.testing.assert_allclose(truth.generated_boson(w), [[45, 30]], atol=1e-6)


@pytest.mark.parametrize("recorded", [True, False])
def test_the_rapidity_is_that_of_the_same_boson(recorded):
    """Of a W of 80 GeV, or of a lepton and a neutrino alone; a top pair has none."""
    w = particle(24, 50.0, eta=1.0, phi=1.0, status=62, flags=PROMPT | HARD | LAST, mass=80.0)
    leptons = particle(13, 40.0, eta=0.5), particle(-14, 30.0, eta=-1.5, phi=2.0)
    energy, pz = np.sqrt(50**2 * np.cosh(1) ** 2 + 80**2), 50 * np.sinh(1)
    if not recorded:
        energy, pz = 40 * np.cosh(0.5) + 30 * np.cosh(1.5), 40 * np.sinh(0.5) - 30 * np.sinh(1.5)
    found = truth.generated_rapidity(event(*([w] if recorded else []), *leptons))
    np.testing.assert_allclose(found, [np.arctanh(pz / energy)], rtol=1e-6)
    assert np.isnan(truth.generated_rapidity(event(w, w, *leptons))).all()
    assert np.isnan(truth.generated_rapidity(ak.Array([{"run": 1}]))).all()


def test_a_photon_near_both_leptons_counts_once():
    """Two muons that are close, 45.7 and 34 GeV, and a photon of 10 GeV: 89.7 GeV, not 99.7."""
    z = event(particle(13, 45.7), particle(-13, 34.0, eta=0.1), particle(22, 10.0, eta=0.05, flags=PROMPT))
    np.testing.assert_allclose(truth.generated_boson(z), [[89.7, 0]], atol=1e-5)


def test_a_boson_of_taus_has_their_neutrinos_and_what_is_seen_has_not():
    z = event(
        particle(15, 40.0, status=2, flags=HARD),
        particle(15, 39.0, status=2, flags=HARD | LAST),
        particle(-15, 30.0, phi=np.pi, status=2, flags=HARD | LAST),
        particle(13, 20.0, flags=OF_TAU | LAST),
        particle(-14, 10.0, flags=OF_TAU | LAST),
        particle(16, 9.0, flags=OF_TAU | LAST),
        particle(-16, 12.0, phi=np.pi, flags=OF_TAU | LAST),
        particle(-211, 18.0, phi=np.pi, flags=OF_TAU | LAST),
    )
    np.testing.assert_allclose(truth.generated_boson(z), [[9, 0]], atol=1e-5)
    np.testing.assert_allclose(truth.visible_boson(z, no_leptons()), [[20 - 18, 0]], atol=1e-5)


@pytest.mark.parametrize("number", [0, 1, 3, 4])
def test_another_number_of_leptons_makes_no_boson(number):
    assert np.isnan(truth.generated_boson(event(particle(22, 1.0, flags=PROMPT), *[particle(12, 10.0)] * number))).all()


def test_two_leptons_of_one_of_two_bosons_make_no_boson():
    semileptonic = [particle(sign * 24, 30.0, status=62, flags=HARD | LAST) for sign in (1, -1)]
    leptons = [particle(13, 40.0), particle(-14, 30.0)]
    assert np.isnan(truth.generated_boson(event(*semileptonic, *leptons))).all()
    top = particle(6, 30.0, status=62, flags=HARD | LAST)
    assert np.isnan(truth.generated_boson(event(top, semileptonic[0], *leptons))).all()
    assert np.isfinite(truth.generated_boson(event(semileptonic[0], *leptons))).all()


def test_a_photon_is_a_boson_if_it_has_a_mass():
    leptons = [particle(13, 40.0), particle(-13, 30.0, phi=np.pi)]
    virtual = particle(22, 12.0, status=62, flags=HARD | LAST, mass=30.0)
    np.testing.assert_allclose(truth.generated_boson(event(virtual, *leptons)), [[12, 0]], atol=1e-5)
    real = particle(22, 12.0, eta=3.0)  # of W gamma, or of a photon and jets
    np.testing.assert_allclose(truth.generated_boson(event(real, *leptons)), [[10, 0]], atol=1e-5)


def test_a_soft_second_muon_is_seen_of_the_boson():
    """Perfect particle flow sees both muons of a Z, and its recoil is the boson's, though only one is selected."""
    z = event(along(13, 38.1, -12.1), along(-13, -15.9, 12.1))
    selected = ak.Array([[along(13, 38.1, -12.1)]])
    u = recoil(truth.generated_boson(z), np.zeros((1, 2)), truth.visible_boson(z, selected))
    np.testing.assert_allclose([u.u_par[0], u.u_perp[0]], [22.2, 0], atol=1e-5)


def test_a_muon_beyond_the_detector_is_missing_like_a_neutrino():
    z = event(along(13, 38.1, -12.1), along(-13, -15.9, 12.1, eta=3.0))
    selected = ak.Array([[along(13, 38.1, -12.1)]])
    met = np.array([[-15.9, 12.1]])
    u = recoil(truth.generated_boson(z), met, truth.visible_boson(z, selected))
    np.testing.assert_allclose([u.u_par[0], u.u_perp[0]], [22.2, 0], atol=1e-5)


def test_a_reconstructed_lepton_stands_for_the_generated_one_and_another_stays_in_the_recoil():
    w = event(particle(-13, 40.0, phi=1.0), particle(14, 30.0, phi=-2.0))
    measured = ak.Array([[particle(-13, 44.0, eta=0.01, phi=1.0)]])
    np.testing.assert_allclose(truth.visible_boson(w, measured), transverse_sum(measured), atol=1e-5)
    for other in (particle(13, 44.0, phi=1.0), particle(-13, 44.0, phi=2.0)):
        bare = transverse_sum(w.GenPart[:, :1])
        np.testing.assert_allclose(truth.visible_boson(w, ak.Array([[other]])), bare, atol=1e-5)
    np.testing.assert_allclose(truth.visible_boson(w, no_leptons()), bare, atol=1e-5)


def test_data_have_no_truth():
    data = ak.Array([{"run": 1}, {"run": 1}])
    assert not truth.has_truth(data)
    assert np.isnan(truth.generated_boson(data)).all()
    assert np.isnan(truth.visible_boson(data, no_leptons())).all()
    assert np.isnan(truth.generated_met(data)).all()


def test_every_real_drell_yan_event_has_its_z(drell_yan):
    """By ``GenDressedLepton``, with pT > 15 GeV and abs η < 2.5, 9 of 40 had one.

    Of 46 prompt electrons and muons 44 are of the hard process. The other two come from a photon of a Z's lepton.
    """
    source = events.inspect(str(drell_yan)).events()
    particles = source.GenPart
    z = particles[(particles.pdgId == 23) & truth.has(particles, LAST) & truth.has(particles, HARD)]
    boson = truth.generated_boson(source)
    np.testing.assert_allclose(boson, transverse_sum(z), atol=1e-6)
    assert len(boson) == 40
    leptons = particles[truth.hard_leptons(particles)]
    assert ak.sum(truth.of_kind(leptons, (11, 13))) == 44
    assert ak.sum(ak.num(leptons)) == 80
    without = ak.with_field(source, particles[particles.pdgId != 23], "GenPart")
    difference = magnitude(truth.generated_boson(without) - boson)
    assert np.median(difference) < 0.5  # GeV: pT, η and φ are stored with 8 bits
    assert (difference > 5).sum() == 2  # photons beside the cone, one of 50 GeV


def test_the_products_of_a_real_tau_are_the_tau(drell_yan):
    particles = events.inspect(str(drell_yan)).events().GenPart
    taus = particles[truth.hard_leptons(particles) & truth.of_kind(particles, truth.TAU)]
    products = transverse_sum(particles[truth.has(particles, OF_TAU)])
    assert magnitude(products - transverse_sum(taus)).max() < 0.01 * ak.max(taus.pt)


def test_real_jets_have_no_boson(pfnano):
    assert np.isnan(truth.generated_boson(events.inspect(str(pfnano)).events())).all()


@pytest.mark.slow
def test_real_top_pairs_have_no_boson(nano_v15):
    assert np.isnan(truth.generated_boson(events.inspect(str(nano_v15)).events())).all()


@pytest.mark.parametrize("name", ["zmumu", "wmunu", "ttbar"])
def test_embedded_events(name):
    source = events.inspect(str(sample.events(name))).events()
    share = np.isfinite(truth.generated_boson(source)[:, 0]).mean()
    assert share == 0 if name == "ttbar" else share > 0.95


Z = ("WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 50.", "23:onMode = off")
W = ("WeakSingleBoson:ffbar2W = on", "24:onMode = off")
WW = ("WeakDoubleBoson:ffbar2WW = on", "24:onMode = off")
TOPS = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off")
SEMILEPTONIC = ("24:onPosIfAny = 13", "24:onNegIfAny = 1 3")
PROCESSES = {
    "Z to muons": ((*Z, "23:onIfAny = 13"), 23),
    "W to tau": ((*W, "24:onIfAny = 15"), 24),
    "top pairs to a lepton and jets": ((*TOPS, *SEMILEPTONIC), None),
    "W pairs to a lepton and jets": ((*WW, *SEMILEPTONIC), None),
}
MORE = {
    "Z to electrons": ((*Z, "23:onIfAny = 11"), 23),
    "Z to taus": ((*Z, "23:onIfAny = 15"), 23),
    "Z to neutrinos": ((*Z, "23:onIfAny = 14"), 23),
    "Z to quarks": ((*Z, "23:onIfAny = 1 2 3"), None),
    "W to e": ((*W, "24:onIfAny = 11"), 24),
    "W to mu": ((*W, "24:onIfAny = 13"), 24),
    "H to taus": (("HiggsSM:gg2H = on", "25:onMode = off", "25:onIfAny = 15"), 25),
    "W and a photon": (("WeakBosonAndParton:ffbar2Wgm = on", "24:onMode = off", "24:onIfAny = 13"), 24),
    "top pairs to leptons": ((*TOPS, "24:onIfAny = 11 13 15"), None),
    "single top": (("Top:qq2tq(t:W) = on", "24:onMode = off", "24:onIfAny = 13"), None),
    "W pairs to leptons": ((*WW, "24:onIfAny = 11 13"), None),
    "W Z": (("WeakDoubleBoson:ffbar2ZW = on",), None),
    "jets": (("HardQCD:all = on", "PhaseSpace:pTHatMin = 50."), None),
}


@pytest.mark.parametrize("name", [*PROCESSES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)])
def test_generated_processes(name):
    """The table of docs/conventions.md: all events have the boson, or none has one."""
    pytest.importorskip("pythia8mc")
    settings, kind = (PROCESSES | MORE)[name]
    source = generated(name, settings, 60)
    boson, particles = truth.generated_boson(source), source.GenPart
    if kind is None:
        assert np.isnan(boson).all()
        return
    last = particles[truth.of_kind(particles, (kind,)) & truth.has(particles, LAST)]
    np.testing.assert_allclose(boson, transverse_sum(last), atol=1e-4)
    without = ak.with_field(source, particles[~truth.of_kind(particles, (kind,))], "GenPart")
    difference = magnitude(truth.generated_boson(without) - boson)
    assert np.median(difference) < 0.05  # what is not radiated, or within the cone
    neutrinos = particles[truth.decay_leptons(particles) & truth.of_kind(particles, truth.NEUTRINOS)]
    outside = particles[truth.decay_leptons(particles) & truth.of_kind(particles, (13,)) & (abs(particles.eta) > 2.5)]
    unseen = transverse_sum(neutrinos) + transverse_sum(outside)
    np.testing.assert_allclose(boson - truth.visible_boson(source, no_leptons()[[0] * 60]), unseen, atol=1e-4)
    taus = particles[truth.hard_leptons(particles) & truth.of_kind(particles, truth.TAU)]
    products = transverse_sum(particles[truth.has(particles, OF_TAU)])
    np.testing.assert_allclose(products, transverse_sum(taus), atol=1e-3)


def generated(name, settings, n):
    """Events of Pythia without multiple interactions, as a file's ``GenPart``."""
    from ptmiss.simulation import generator

    kept = generator.generate(generator.Process(name, (*settings, "PartonLevel:MPI = off")), n, 1).history
    columns = {name: getattr(kept, name) for name in ("pt", "eta", "phi", "mass", "status")}
    flat = ak.zip({**columns, "pdgId": kept.pdg_id, "statusFlags": kept.flags})
    return ak.zip({"GenPart": ak.unflatten(flat, np.diff(kept.offsets))}, depth_limit=1)


def test_pseudo_data_keep_their_truth_to_themselves(invented):
    source = events.inspect(str(invented)).events()
    assert truth.has_truth(source)
    source.metadata["kind"] = "data"
    assert not truth.has_truth(source)
    assert np.isnan(truth.generated_met(source)).all()


def test_the_photon_of_photon_and_jets_is_the_boson():
    hard, radiated = along(22, 30.0, -40.0), particle(22, 8.0, flags=PROMPT)
    jets = event(hard, radiated, particle(1, 50.0, phi=2.2, status=23))
    np.testing.assert_allclose(truth.generated_boson(jets), [[30, -40]], atol=1e-5)
    two = event(hard, along(22, 20.0, 20.0))
    assert np.isnan(truth.generated_boson(two)).all()


def test_a_reconstructed_photon_stands_for_the_generated_one():
    jets = event(along(22, 30.0, -40.0))
    measured = ak.Array([[along(22, 33.0, -44.0)]])
    np.testing.assert_allclose(truth.visible_boson(jets, measured), [[33, -44]], atol=1e-5)
    np.testing.assert_allclose(truth.visible_boson(jets, no_leptons()), [[30, -40]], atol=1e-5)


def test_photon_and_jets_of_the_simulation_have_the_photon_as_boson():
    """The generated boson is near the selected photon, whose energy is measured to about a per cent."""
    from ptmiss import load_selection, selections

    chunk = events.inspect(str(sample.events("gammajet"))).events()
    boson = truth.generated_boson(chunk)
    assert np.isfinite(boson).all()
    photons = selections.boson_objects(chunk, load_selection("gamma-jet"))
    one = ak.to_numpy(ak.num(photons) == 1)
    ratio = magnitude(transverse_sum(photons))[one] / magnitude(boson)[one]
    assert one.sum() > 10
    assert abs(np.median(ratio) - 1) < 0.02
