"""The vertex of the lepton against straight loops over events and candidates."""

from collections import Counter

import awkward as ak
import numpy as np
import pytest

from ptmiss import candidates as pf_candidates
from ptmiss import estimators, vertex
from ptmiss.candidates import Candidates, puppi
from ptmiss.errors import ColumnError, UnknownName
from ptmiss.segments import from_counts

NAN = float("nan")


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def vertices(rng):
    """Vertices of 60 events, one to thirty each."""
    counts = rng.integers(0, 30, 60)
    return vertex.concatenate(rng.normal(0, 3.6, 60), rng.normal(0, 3.6, counts.sum()), counts)


@pytest.fixture
def candidates(rng):
    """Candidates of 60 events, none in the first."""
    counts = rng.integers(0, 80, 60)
    counts[0] = 0
    n = counts.sum()
    charge = rng.integers(-1, 2, n).astype(np.int32)
    columns = {
        "pt": rng.exponential(2, n).astype(np.float32),
        "eta": rng.uniform(-3, 3, n).astype(np.float32),
        "phi": rng.uniform(-3.1, 3.1, n).astype(np.float32),
        "charge": charge,
        "dxy": np.where(charge, rng.normal(0, 0.02, n), 0).astype(np.float32),
        "dz": np.where(charge, rng.normal(0, 5, n), 0).astype(np.float32),
        "puppiWeight": rng.random(n).astype(np.float32),
        "fromPV": np.where(charge, rng.integers(0, 4, n), 3).astype(np.int32),
    }
    return Candidates(columns, from_counts(counts))


def lists(vertices):
    return [vertices.z[a:b] for a, b in zip(vertices.offsets[:-1], vertices.offsets[1:], strict=True)]


def chosen_by_hand(vertices, lepton, beam_spot):
    """(number, z) of each event, one at a time."""
    for z, at, spot in zip(lists(vertices), lepton, beam_spot, strict=True):
        if np.isnan(at):
            yield 0, z[0]
        elif min(abs(z - at)) > 0.2:
            yield vertex.BEAM_SPOT, spot
        else:
            yield int(np.argmin(abs(z - at))), z[np.argmin(abs(z - at))]


def from_pv_by_hand(stored, charge, z, others, number, new):
    """The rule of the handbook and of the simulation's association, for one candidate."""
    if charge == 0:
        return stored
    closest = int(np.argmin(abs(others - z)))
    fitted = stored in (0, 3)
    if fitted:
        return 3 if stored == 0 and closest == number else 0
    if number == vertex.BEAM_SPOT:
        return 2 if abs(z - new) < abs(z - others[closest]) else 1
    return 2 if closest == number else 1


def test_joined_puts_the_primary_vertex_first():
    found = vertex.concatenate(np.array([1.0, 2.0, 3.0]), np.array([7.0, 8.0, 9.0]), np.array([2, 0, 1]))
    assert [list(z) for z in lists(found)] == [[1, 7, 8], [2], [3, 9]]
    assert found.first.tolist() == [1, 2, 3]


def test_choose_is_the_nearest_vertex_of_a_loop(vertices, rng):
    lepton, spot = rng.normal(0, 3.6, 60), rng.normal(0, 0.1, 60)
    lepton[::7] = NAN
    choice = vertex.choose(vertices, lepton, spot)
    expected = list(chosen_by_hand(vertices, lepton, spot))
    assert list(zip(choice.number, choice.z, strict=True)) == expected
    assert {-1, 0}.issubset(choice.number)
    assert choice.number.max() > 5


def test_no_vertex_near_is_the_beam_spot_and_no_lepton_the_default():
    vertices = vertex.concatenate(np.array([1.0, 1.0, 1.0, 1.0]), np.array([2.0, 2.0]), np.array([1, 1, 0, 0]))
    lepton = np.array([1.81, 1.79, NAN, 1.15])
    choice = vertex.choose(vertices, lepton, np.zeros(4))
    assert choice.number.tolist() == [1, vertex.BEAM_SPOT, 0, 0]
    assert choice.z.tolist() == [2.0, 0.0, 1.0, 1.0]


def test_moved_is_a_straight_loop(candidates, vertices, rng):
    lepton = rng.normal(0, 3.6, 60)
    choice = vertex.choose(vertices, lepton, np.zeros(60))
    npv = rng.integers(5, 40, 60)
    found = vertex.move(candidates, vertices, choice, npv)
    for event, (number, new) in enumerate(zip(choice.number, choice.z, strict=True)):
        own = slice(*candidates.offsets[event : event + 2])
        old = {name: column[own] for name, column in candidates.columns.items()}
        if number != 0:
            z = [d + lists(vertices)[event][0] for d in old["dz"].astype(float)]
            tracks = zip(old["fromPV"], old["charge"], z, strict=True)
            others = lists(vertices)[event]
            old["fromPV"] = np.array([from_pv_by_hand(f, c, at, others, number, new) for f, c, at in tracks], np.int32)
            old["dz"] = np.array([at - new if c else 0 for c, at in zip(old["charge"], z, strict=True)], np.float32)
            origin = puppi.charged_origin(old["charge"], old["fromPV"], old["dz"])
            offsets = np.array([0, len(z)])
            old["puppiWeight"] = puppi.weights(*(old[c] for c in ("pt", "eta", "phi")), origin, offsets, npv[[event]])
        for name, column in old.items():
            np.testing.assert_array_equal(found[name][own], column, err_msg=f"{name} of event {event}")
            assert found[name].dtype == candidates[name].dtype


def test_events_that_keep_their_vertex_keep_every_bit(candidates, vertices):
    before = {name: column.copy() for name, column in candidates.columns.items()}
    number = np.where(np.arange(60) % 2, 0, vertex.BEAM_SPOT)
    choice = vertex.Choice(number, np.where(number, 0.0, vertices.first))
    found = vertex.move(candidates, vertices, choice, np.full(60, 20))
    kept = np.repeat(number == 0, np.diff(candidates.offsets))
    for name, column in before.items():
        assert found[name][kept].tobytes() == column[kept].tobytes()
        np.testing.assert_array_equal(candidates[name], column)  # what was read is not written to
    assert (found["dz"][~kept] != before["dz"][~kept]).any()
    same = vertex.Choice(np.zeros(60, int), vertices.first)
    assert vertex.move(candidates, vertices, same, np.full(60, 20)) is candidates


def test_there_and_back_again_gives_the_stored_association(vertices, rng):
    """Tracks near their vertices, fitted or not by the file's rule, moved to the second vertex and back."""
    many = np.flatnonzero(np.diff(vertices.offsets) > 1)
    own = [lists(vertices)[event] for event in many]
    here = vertex.Vertices(np.concatenate(own), from_counts(np.array([len(z) for z in own])))
    there = vertex.Vertices(np.concatenate([[z[1], z[0], *z[2:]] for z in own]), here.offsets)
    event = np.repeat(np.arange(len(own)), np.diff(here.offsets)).repeat(3)
    z = here.z.repeat(3)
    closest = vertex.nearest(z, event, here)
    fitted = rng.random(len(z)) < 0.75
    from_pv = np.select([fitted & (closest == 0), closest == 0, ~fitted], [3, 2, 1], 0)
    move = vertex.Choice(np.ones(len(own), int), there.first)
    away = vertex.from_pv_at_choice(from_pv, z, event, here, move)
    assert (away != from_pv).any()
    back = vertex.from_pv_at_choice(away, z, event, there, move._replace(z=here.first))
    np.testing.assert_array_equal(back, from_pv)


def test_tracks_without_details_keep_their_dz_and_are_of_no_vertex():
    columns = {
        "charge": np.array([1, 1, 1], np.int32),
        "dxy": np.array([-1, -1, 0.1], np.float32),
        "dz": np.array([-1, -1, -1], np.float32),
        "fromPV": np.array([2, 0, 1], np.int32),
    }
    two = vertex.concatenate(np.array([3.0]), np.array([2.0]), np.array([1]))
    choice = vertex.Choice(np.array([1]), np.array([2.0]))
    found = vertex.move_tracks(columns, np.zeros(3, int), two, choice)
    assert found["dz"].tolist() == [-1, -1, 0]
    assert found["fromPV"].tolist() == [1, 0, 2]


def event_records(beam_spot=None):
    """Four events with two vertices: the lepton at the second, none near, no lepton, two leptons."""
    candidate = [
        {"pt": 40.0, "eta": 0.5, "phi": 1.0, "charge": 1, "d0": 0.0, "dz": 2.0, "fromPV": 0, "puppiWeight": 0.0},
        {"pt": 10.0, "eta": 0.1, "phi": -2.0, "charge": -1, "d0": 0.0, "dz": 0.0, "fromPV": 3, "puppiWeight": 1.0},
        {"pt": 5.0, "eta": 0.2, "phi": 0.0, "charge": 0, "d0": 0.0, "dz": 0.0, "fromPV": 3, "puppiWeight": 0.5},
    ]
    fields = {
        "PV": [{"z": 1.0, "npvs": 2}] * 4,
        "OtherPV": [[{"z": 3.0}]] * 4,
        "PFCands": [candidate] * 4,
    }
    if beam_spot is not None:
        fields["BeamSpot"] = [{"z": beam_spot}] * 4
    dz = ak.Array([[2.01], [1.0], [], [2.0, 2.0]])
    leptons = ak.zip({"dz": dz, "eta": 0 * dz, "phi": 0 * dz, "pdgId": ak.values_astype(13 + 0 * dz, int)})
    return ak.Array([dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]), leptons


@pytest.mark.parametrize("beam_spot", [None, 0.7])
def test_estimators_see_the_lepton_vertex(beam_spot):
    source, leptons = event_records(beam_spot)
    pf, track = estimators.make_estimators(["pf", "track"])
    default = estimators.evaluate([pf, track], source, leptons)
    moved = estimators.evaluate([pf, track], source, leptons, "lepton")
    np.testing.assert_array_equal(moved.met["pf"], default.met["pf"])
    np.testing.assert_array_equal(moved.met["track"][2:], default.met["track"][2:])
    unit = np.array([np.cos(1.0), np.sin(1.0)])
    np.testing.assert_allclose(moved.met["track"][:2], [-40 * unit, [0, 0]], rtol=1e-5)
    counted = {what: n for what, n in moved.notes.items() if "vertex" in what}
    assert list(counted.values()) == [1, 1]
    cands = pf_candidates.read(source, {"charge", "dxy", "dz", "fromPV"})
    found = vertex.at_lepton(cands, source, leptons, Counter())
    first, second = found["dz"][found["charge"] != 0].reshape(4, 2)[:2]
    np.testing.assert_allclose(first, [0.0, -2.0], atol=1e-6)
    at = 0.0 if beam_spot is None else beam_spot
    np.testing.assert_allclose(second, [3.0 - at, 1.0 - at], atol=1e-6)


def test_needs_are_those_of_what_depends_on_the_vertex():
    assert vertex.needs({"pt", "phi"}) == set()
    assert vertex.needs({"fromPV", "pt"}) == {"charge", "dxy", "dz", "fromPV"}
    assert vertex.needs({"puppiWeight"}) == {"charge", "dxy", "dz", "fromPV", "pt", "eta", "phi"}


def test_what_a_file_lacks_is_one_line():
    there = {"PV_z", "Muon_dz", "PFCands_pt", "PFCands_phi", "OtherPV_z", "PFCands_charge", "PFCands_fromPV"}
    vertex.require({"pf": ("pt", "phi")}, there, "a.root")
    with pytest.raises(ColumnError, match=r"lepton needs branch OtherPV_z, which a\.root does not have"):
        vertex.require({"pf": ("pt", "phi")}, there - {"OtherPV_z"}, "a.root")
    with pytest.raises(ColumnError, match="'track' needs PFCands column 'dxy'"):
        vertex.require({"track": ("fromPV",)}, there, "a.root")
    with pytest.raises(UnknownName, match="did you mean 'lepton'"):
        vertex.check("leptons")
