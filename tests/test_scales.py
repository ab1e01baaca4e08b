import awkward as ak
import numpy as np
import pytest

from ptmiss.errors import UnknownName
from ptmiss.scales import DEFAULT, KINDS, Scales, is_kind, resolution, scale_leptons

CANDIDATES = {
    "pdgId": np.array([211, -211, 22, 130, 1, 2, 11, -13]),
    "eta": np.array([0.0, 2.0, 1.0, 2.0, 4.0, -4.0, 2.0, 0.5], np.float32),
    "pt": np.full(8, 10.0, np.float32),
}


def test_every_candidate_has_one_kind():
    member = np.array([is_kind(kind, CANDIDATES) for kind in KINDS])
    np.testing.assert_array_equal(member.sum(axis=0), 1)
    assert member.argmax(axis=0).tolist() == [0, 0, 1, 2, 3, 3, 4, 5]


def test_scales_of_kinds_in_barrel_and_beyond():
    expected = {"photons": [0, 0, 0.01, 0, 0, 0, 0, 0], "electrons": [0, 0, 0, 0, 0, 0, 0.015, 0]}
    expected |= {"hf": [0, 0, 0, 0, 0.05, 0.05, 0, 0], "charged_hadrons": [0.005, 0.005, 0, 0, 0, 0, 0, 0]}
    for kind, values in expected.items():
        np.testing.assert_allclose(DEFAULT.of(kind, CANDIDATES), values)
    np.testing.assert_allclose(Scales(muons=0.1).of("muons", CANDIDATES), [0] * 7 + [0.1])
    with pytest.raises(UnknownName, match="kind of candidates 'photon', did you mean 'photons'"):
        DEFAULT.of("photon", CANDIDATES)


def test_resolutions_as_cms_has_them():
    """The formulas of its configuration, for a 10 GeV particle of each kind."""
    track = lambda eta: np.sqrt((0.00009 * 10) ** 2 + (0.0085 / np.sqrt(np.sin(2 * np.arctan(np.exp(-eta))))) ** 2)
    energy = lambda eta: 10 * np.cosh(eta)
    expected = [
        track(0.0), track(2.0), np.sqrt(0.0009 / energy(1.0) + 0.000001), min(0.30, np.sqrt(1 / energy(2.0) + 0.0016)),
        np.sqrt(1 / energy(4.0) + 0.0025), np.sqrt(1 / energy(4.0) + 0.0025), track(2.0), track(0.5),
    ]  # fmt: skip
    np.testing.assert_allclose(resolution(CANDIDATES), expected, rtol=1e-5)
    soft = {"pdgId": np.array([130, 130]), "eta": np.zeros(2, np.float32), "pt": np.array([1.0, 100.0], np.float32)}
    np.testing.assert_allclose(resolution(soft), [0.25, np.sqrt(0.64 / 100 + 0.0025)])


def test_leptons_move_with_their_own_scale_alone():
    leptons = ak.Array([[{"pt": 50.0, "eta": 0.1, "pdgId": 13}, {"pt": 30.0, "eta": -2.0, "pdgId": -11}], []])
    for systematic, expected in (
        ("muons_up", [50.1, 30.0]),
        ("electrons_down", [50.0, 30 * 0.985]),
        ("photons_up", [50.0, 30.0]),
        ("nominal", [50.0, 30.0]),
        ("jes_Regrouped_HF_up", [50.0, 30.0]),
    ):
        moved = scale_leptons(leptons, systematic)
        np.testing.assert_allclose(moved.pt[0], expected)
        assert ak.num(moved).tolist() == [2, 0]
    photon = scale_leptons(ak.Array([[{"pt": 100.0, "eta": 0.5, "pdgId": 22}]]), "photons_down")
    np.testing.assert_allclose(photon.pt[0], [99.0])
