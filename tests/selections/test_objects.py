import awkward as ak
import numpy as np
import pytest

from ptmiss import events
from ptmiss import selections as select
from ptmiss.errors import ColumnError
from ptmiss.recoil import rapidity, transverse_sum
from ptmiss.selections import Selection

GOOD = {"pt": 40.0, "eta": 0.5, "phi": 0.0, "mass": 0.1, "charge": 1, "pfRelIso04_all": 0.05, "looseId": True}


def muons(*changes):
    """One event of muons that differ from a good one."""
    return ak.Array([[GOOD | change for change in changes]])


def good_muons(found, selection):
    return select.good_leptons({"Muon": found}, selection)


def chosen(**sections):
    return Selection.model_validate(sections)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, 1),
        ({"pt": 24.9}, 0),
        ({"eta": -2.5}, 0),
        ({"pfRelIso04_all": 0.16}, 0),
        ({"looseId": False}, 0),
    ],
)
def test_each_cut_on_a_muon(change, kept):
    assert ak.num(good_muons(muons(change), Selection())).tolist() == [kept]


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int32])
def test_a_working_point_is_no_index(kind):
    """highPtId (0, 2, 2) on pT (60, 50, 40): an integer taken for an index would give 60, 60, 60."""
    points = ak.values_astype(ak.Array([[0, 2, 2]]), kind)
    found = ak.with_field(muons({"pt": 60.0}, {"pt": 50.0}, {"pt": 40.0}), points, "highPtId")
    assert good_muons(found, chosen(leptons={"identification": "highPtId"})).pt.tolist() == [[50, 40]]


def test_an_identification_must_be_a_flag():
    found = muons({"mvaMuID": 0.9})
    with pytest.raises(ColumnError, match="Muon_mvaMuID holds float64, expected a flag or an integer"):
        good_muons(found, chosen(leptons={"identification": "mvaMuID"}))


def test_public_code_asks_for_no_muon_identification():
    assert len(good_muons(muons({"looseId": False}), select.load_selection("public-code"))[0]) == 1
    assert "Muon_looseId" not in select.branches(select.load_selection("public-code"))


def test_muons_are_sorted_and_get_the_pdg_id_of_their_charge():
    found = good_muons(muons({"pt": 30.0, "charge": -1}, {"pt": 60.0}), Selection())
    assert found.pt.tolist() == [[60, 30]]
    assert found.pdgId.tolist() == [[-13, 13]]


def test_pair_of_opposite_charge():
    minus = {"charge": -1}
    cases = [[{}, minus], [{}, {}], [{}], [{}, minus, minus], []]
    found = [bool(select.opposite_pair(good_muons(muons(*case), Selection()))[0]) for case in cases if case]
    assert found == [True, False, False, False]


def test_mass_and_sum_of_two_muons_at_rest():
    pair = muons({"pt": 45.6, "eta": 0.0, "mass": 0.0}, {"pt": 45.6, "eta": 0.0, "phi": np.pi, "mass": 0.0})
    assert select.invariant_mass(pair) == pytest.approx([91.2])
    np.testing.assert_allclose(transverse_sum(pair), [[0, 0]], atol=1e-6)


def test_mass_of_real_muons_equals_coffea(drell_yan):
    source = events.inspect(str(drell_yan)).events()
    pair = source.Muon[ak.num(source.Muon) == 2]
    np.testing.assert_allclose(select.invariant_mass(pair), (pair[:, 0] + pair[:, 1]).mass, rtol=1e-3)
    np.testing.assert_allclose(np.hypot(*transverse_sum(pair).T), (pair[:, 0] + pair[:, 1]).pt, rtol=1e-3)


def test_rapidity_of_real_muons_is_half_the_logarithm_of_their_light_cone_momenta(drell_yan):
    source = events.inspect(str(drell_yan)).events()
    pair = source.Muon[ak.num(source.Muon) == 2]
    both = pair[:, 0] + pair[:, 1]
    np.testing.assert_allclose(rapidity(pair), 0.5 * np.log((both.E + both.pz) / (both.E - both.pz)), atol=1e-3)


def test_rapidity_of_one_without_mass_is_its_pseudorapidity():
    photon = ak.Array([[{"pt": 40.0, "eta": eta, "phi": 1.0, "mass": 0.0}] for eta in (-2.4, 0.0, 1.3)] + [[]])
    np.testing.assert_allclose(rapidity(photon), [-2.4, 0.0, 1.3, 0.0], rtol=1e-6)


def jets(**changes):
    jet = {"pt": 50.0, "eta": 1.0, "phi": 2.0, "btagDeepFlavB": 0.1, "jetId": 6} | changes
    return ak.Array([[jet]])


@pytest.mark.parametrize(
    ("change", "kept"), [({}, 1), ({"pt": 29.0}, 0), ({"eta": 2.5}, 0), ({"eta": 0.5, "phi": 0.3}, 0)]
)
def test_each_cut_on_a_jet(change, kept):
    found = select.good_jets(jets(**change), good_muons(muons({}), Selection()), Selection())
    assert ak.num(found).tolist() == [kept]


PUBLIC = select.load_selection("public-code")


@pytest.mark.parametrize(
    ("change", "kept"),
    [({"pt": 22.0, "eta": 2.9}, 1), ({"jetId": 2}, 0), ({"jetId": 7}, 0), ({"eta": 0.5, "phi": 0.3}, 1)],
)
def test_public_code_takes_softer_jets_of_one_identification_also_near_muons(change, kept):
    found = select.good_jets(jets(**change), good_muons(muons({}), Selection()), PUBLIC)
    assert ak.num(found).tolist() == [kept]


def test_public_code_takes_the_two_leading_muons_whatever_the_third_is():
    pair = {"pt": 60.0, "charge": 1}, {"pt": 50.0, "charge": -1}
    third = {"pt": 40.0, "charge": 1}
    for selection, kept in ((Selection(), False), (PUBLIC, True)):
        assert select.opposite_pair(good_muons(muons(third, *pair), selection)).tolist() == [kept]
    outside = {"pt": 70.0, "charge": 1, "eta": 2.6}
    assert not select.opposite_pair(good_muons(muons(outside, *pair), PUBLIC))[0]


def test_public_code_tags_b_jets_at_the_loose_point_and_in_the_tracker():
    tagged = [jets(btagDeepB=0.2, eta=eta, btagDeepFlavB=0.0) for eta in (2.3, 2.5)]
    assert [bool(select.b_tagged(one, PUBLIC)[0]) for one in tagged] == [True, False]
    assert not select.b_tagged(jets(btagDeepB=0.19, btagDeepFlavB=0.9), PUBLIC)[0]
    assert select.b_tagged(jets(btagDeepFlavB=0.05), PUBLIC)[0]


def test_jet_identification_of_a_wrong_type():
    none = good_muons(muons({"pt": 1.0}), Selection())
    with pytest.raises(ColumnError, match="Jet_jetId holds float64, expected integers, of which 6 pass"):
        select.good_jets(jets(jetId=0.3), none, PUBLIC)


def test_b_tag_where_the_file_has_a_tagger():
    assert not select.b_tagged(jets(), Selection())[0]
    assert select.b_tagged(jets(btagDeepFlavB=0.5), Selection())[0]
    assert not select.b_tagged(jets(btagDeepFlavB=0.9)[["pt", "eta", "phi"]], Selection())[0]


def test_cutflow_counts_events_and_weights_in_order():
    from coffea.analysis_tools import PackedSelection

    cuts = PackedSelection()
    cuts.add("first", np.array([True, True, False]))
    cuts.add("second", np.array([True, False, True]))
    flow = select.cutflow(cuts, np.array([2.0, -1.0, 5.0]))
    assert flow["events"] == {"all": 3, "first": 2, "second": 1}
    assert flow["sum of weights"] == {"all": 6, "first": 1, "second": 2}
    assert flow["sum of squared weights"] == {"all": 30, "first": 5, "second": 4}
    assert flow["n-1 events"] == {"all": 1, "first": 2, "second": 2}
    assert flow["n-1 sum of weights"] == {"all": 2, "first": 7, "second": 1}
    assert flow["n-1 sum of squared weights"] == {"all": 4, "first": 29, "second": 5}
    assert select.cutflow(PackedSelection(), np.ones(2))["n-1 events"] == {"all": 2}


@pytest.mark.parametrize(
    ("column", "value", "expected"), [("superclusterEta", 1.2, 1.2), ("deltaEtaSC", 0.15, 1.25), ("dz", 0.0, 1.1)]
)
def test_electrons_know_the_eta_of_their_supercluster(column, value, expected):
    electron = {"pt": 40.0, "eta": 1.1, "phi": 0.0, "mass": 0.0, "charge": 1, "cutBased": 4, column: value}
    found = select.good_leptons({"Electron": ak.Array([[electron]])}, select.load_selection("z-ee"))
    assert found.superclusterEta.tolist() == [[pytest.approx(expected)]]


def test_a_gap_is_that_of_the_supercluster():
    electron = {"pt": 40.0, "eta": 1.40, "phi": 0.0, "mass": 0.0, "charge": 1, "cutBased": 4}
    for shift, kept in ((0.0, 1), (0.1, 0)):
        found = ak.Array([[electron | {"deltaEtaSC": shift}]])
        assert ak.num(select.good_leptons({"Electron": found}, select.load_selection("z-ee"))).tolist() == [kept]
