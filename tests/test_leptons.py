import awkward as ak
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.candidates import Candidates
from ptmiss.leptons import leave_out, match
from ptmiss.recoil import recoil


def candidates(pdg_id, pt, eta, phi, offsets):
    columns = {"pdgId": np.array(pdg_id, np.int32)}
    columns |= {n: np.array(v, np.float32) for n, v in (("pt", pt), ("eta", eta), ("phi", phi))}
    return Candidates(columns, np.array(offsets))


def leptons(*events):
    events = (*events, ((13, 0.0, 0.0),))  # so that the record has its fields even if all events are empty
    return ak.Array([[{"pdgId": p, "eta": e, "phi": f} for p, e, f in event] for event in events])[:-1]


def without(sample, wanted):
    """What is left, the momentum taken out, and how many leptons have no candidate."""
    selected, unmatched = match(sample, wanted)
    return *leave_out(sample, selected), unmatched


SAMPLE = candidates(
    [211, 13, -13, 13, 22, -13],
    [9, 40, 30, 5, 50, 20],
    [0, 0.5, -1, 0.51, 0.5, 2],
    [0, 1, 3.13, 1.0, 1, 0],
    [0, 5, 5, 6],
)


def test_the_nearest_candidate_of_the_same_kind_and_charge_is_taken_out():
    rest, momentum, unmatched = without(SAMPLE, leptons([(13, 0.5, 1.001), (-13, -1, -3.15)], [], [(-13, 2, 0.0)]))
    assert rest["pt"].tolist() == [9, 5, 50]
    assert rest.offsets.tolist() == [0, 3, 3, 3]
    assert unmatched == 0
    expected = [[40 * np.cos(1) + 30 * np.cos(3.13), 40 * np.sin(1) + 30 * np.sin(3.13)], [0, 0], [20, 0]]
    np.testing.assert_allclose(momentum, expected, atol=1e-5)


def test_leptons_without_a_candidate_are_counted_and_nothing_is_taken():
    rest, momentum, unmatched = without(SAMPLE, leptons([(-13, 0.5, 1.0)], [(13, 0, 0)], [(13, 2, 0)]))
    assert rest is SAMPLE
    assert unmatched == 3
    np.testing.assert_array_equal(momentum, 0)


def test_no_leptons_at_all():
    rest, _, unmatched = without(SAMPLE, leptons([], [], []))
    assert (rest, unmatched) == (SAMPLE, 0)


def test_events_without_any_lepton_candidate():
    photons = candidates([22, 22], [1, 2], [0, 0], [0, 0], [0, 1, 2])
    rest, _, unmatched = without(photons, leptons([(13, 0, 0)], []))
    assert unmatched == 1
    assert len(rest) == 2


@given(st.floats(0, 1))
def test_a_network_that_shrinks_does_not_gain(scale):
    """With the muons exact, scaling the network's answer scales the recoil, and the response shows it."""
    rng = np.random.default_rng(0)
    boson = rng.normal(0, 40, (100, 2))
    hadrons_seen = -boson + rng.normal(0, 10, (100, 2))
    network = -scale * hadrons_seen  # pTmiss without the muons
    u = recoil(boson, network - boson)
    honest = recoil(boson, -hadrons_seen - boson)
    np.testing.assert_allclose(u.u_par, scale * honest.u_par, atol=1e-9)
    np.testing.assert_allclose(u.u_perp, scale * honest.u_perp, atol=1e-9)


def test_a_photon_is_the_hardest_of_the_photons_near_it():
    sample = candidates([22, 22, 22, 211], [1, 80, 90, 85], [0.5, 0.52, 0.6, 0.5], [1, 1, 1, 1], [0, 4])
    rest, momentum, unmatched = without(sample, leptons([(22, 0.5, 1.0)]))
    assert (rest["pt"].tolist(), unmatched) == ([1, 90, 85], 0)
    np.testing.assert_allclose(momentum, [[80 * np.cos(1), 80 * np.sin(1)]], rtol=1e-6)
