"""EDM4hep files: the real CLD event and the CLIC photons, by numbers that are known by other means."""

import numpy as np
import pytest

from ptmiss.conversion import detector, edm4hep, podio
from ptmiss.conversion.generated import truth
from ptmiss.elements import ECAL, TRACK
from ptmiss.errors import OptionError
from ptmiss.estimators.reconstruction import NONE, PHOTON

from .paths import CLD, CLIC, needs_cld, needs_clic


@pytest.fixture(scope="module")
def frames():
    return podio.open_file(str(CLD))


@pytest.fixture(scope="module")
def cld(frames):
    return edm4hep.contents(frames, "cld")


def column(frames, name):
    return np.asarray(frames.tree[name].array()[0], np.float64)


@needs_cld
def test_pandora_and_the_neutrinos_of_the_cld_event(cld):
    np.testing.assert_allclose(-cld.candidates.momentum.sum(axis=0), [4.76, -35.55], atol=0.005)
    np.testing.assert_allclose(cld.neutrinos, [[5.543, -36.109]], atol=0.0005)


@needs_cld
def test_pandora_finds_these_particles_in_the_cld_event(cld):
    codes, counts = np.unique(cld.candidates["pdgId"], return_counts=True)
    found = dict(zip(codes.tolist(), counts.tolist(), strict=True))
    assert found.pop(211) + found.pop(-211) == 15
    assert found == {22: 24, 130: 11, 11: 1, -11: 1}  # its neutrons are neutral hadrons here


@needs_cld
def test_the_beams_cross_and_what_can_be_seen_balances_the_neutrinos(cld):
    px, angle = cld.beams[0]
    assert angle == pytest.approx(2 * np.arctan2(1.8, 120), rel=1e-3)  # 30 mrad
    balance = -cld.targets.momentum.sum(axis=0) - cld.neutrinos[0] + [px, 0]
    np.testing.assert_allclose(balance, 0, atol=0.2)  # 245 MeV are lost, and some radiation of the beams


@needs_cld
def test_tracks_have_the_momenta_that_pandora_gives_them(cld, frames):
    tracks = frames.relation("_PandoraPFOs_tracks").place
    begin, end = (column(frames, f"PandoraPFOs.tracks_{which}") for which in ("begin", "end"))
    one = end - begin == 1
    row = tracks[begin[one].astype(int)]
    pandora = np.hypot(*(column(frames, f"PandoraPFOs.momentum.{axis}")[one] for axis in "xy"))
    pt = cld.elements["pt"][cld.elements["type"] == TRACK][row]
    np.testing.assert_allclose(np.median(pt / pandora), 1, rtol=1e-4)


@needs_cld
def test_every_particle_counts_once(cld, frames):
    status, code = column(frames, "MCParticles.generatorStatus"), np.abs(column(frames, "MCParticles.PDG"))
    seen = (status == 1) & ~np.isin(code, (12, 14, 16))
    momentum = np.stack(
        [column(frames, f"MCParticles.momentum.{axis}") for axis in "xyz"] + [column(frames, "MCParticles.mass")]
    )
    total = np.sqrt((momentum**2).sum(axis=0))[seen].sum()
    assert cld.balance[0] == pytest.approx(0, abs=1e-4)
    assert cld.targets["energy"].sum(dtype=np.float64) + cld.lost[0] == pytest.approx(total, abs=1e-3)
    assert cld.targets["nParticles"].sum() <= seen.sum()


@needs_cld
def test_clusters_are_neutral_and_tracks_keep_their_charge(cld):
    track = cld.elements["type"] == TRACK
    assert not cld.targets["charge"][~track].any()
    filled = cld.targets["type"] != NONE
    assert set(cld.elements["charge"][track]) == {-1, 1}
    np.testing.assert_array_equal(cld.targets["charge"][track & filled], cld.elements["charge"][track & filled])


@needs_cld
def test_links_of_hits_say_what_links_of_clusters_say(frames):
    found = truth(frames)
    columns, offsets, hits = detector.read_clusters(frames)
    stored = edm4hep.cluster_pairs(frames, found, offsets, columns["energy"], hits)
    made = edm4hep.hit_pairs(frames, found, hits)
    n = len(found.seen.code)
    one, other = (edm4hep.assignment.best(edm4hep.assignment.total(pairs), n) for pairs in (stored, made))
    both = (one >= 0) | (other >= 0)
    assert np.mean(one[both] == other[both]) > 0.9


@needs_cld
def test_energies_of_calorimeters_are_those_of_the_hits(cld, frames):
    deposit = cld.elements["type"] != TRACK
    parts = sum(cld.elements[name][deposit] for name in ("ecalEnergy", "hcalEnergy", "otherEnergy"))
    columns, _, hits = detector.read_clusters(frames)
    names = {number: name for name, number in frames.numbers.items()}
    energy = np.zeros(len(hits.place))
    for number in np.unique(hits.collection):
        mine = hits.collection == number
        energy[mine] = column(frames, f"{names[number]}.energy")[hits.place[mine]]
    np.testing.assert_allclose(parts, np.bincount(hits.cluster, energy), rtol=1e-4)
    np.testing.assert_array_equal(columns["nCells"], np.bincount(hits.cluster))


@needs_cld
def test_another_field_than_that_of_the_tracks_is_an_error(frames):
    with pytest.raises(OptionError, match=r"field of 2\.0\d T, not that of --detector clic"):
        edm4hep.contents(frames, "clic")


@needs_clic
def test_the_photons_of_the_clic_file():
    found = next(edm4hep.read(str(CLIC), "clic"))
    np.testing.assert_array_equal(np.diff(found.elements.offsets), [1, 1, 1])
    assert set(found.elements["type"]) == {ECAL}
    assert set(found.targets["type"]) == {PHOTON}
    np.testing.assert_allclose(found.targets["energy"], [3.739524, 9.982451, 5.764737], rtol=1e-6)
    energy = found.candidates["pt"] * np.cosh(found.candidates["eta"])
    np.testing.assert_allclose(energy, [3.762, 9.784, 5.741], rtol=2e-4)
    assert found.candidates["pdgId"].tolist() == [22, 22, 22]
    np.testing.assert_allclose(found.balance, 0, atol=1e-5)
    np.testing.assert_allclose(found.elements["energy"], found.targets["energy"], rtol=0.2)
    np.testing.assert_allclose(found.elements["eta"], found.targets["eta"], atol=0.01)
    assert not found.neutrinos.any()
    assert not found.beams.any()
