import json

import awkward as ak
import numpy as np
import pytest

from ptmiss import events
from ptmiss import selections as select
from ptmiss.errors import ColumnError, UnknownName
from ptmiss.selections import Selection

GOOD = {"pt": 40.0, "eta": 0.5, "phi": 0.0, "mass": 0.1, "charge": 1, "pfRelIso04_all": 0.05, "looseId": True}


def muons(*changes):
    """One event of muons that differ from a good one."""
    return ak.Array([[GOOD | change for change in changes]])


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
    assert ak.num(select.good_muons(muons(change), Selection())).tolist() == [kept]


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int32])
def test_a_working_point_is_no_index(kind):
    """highPtId (0, 2, 2) on pT (60, 50, 40): an integer taken for an index would give 60, 60, 60."""
    points = ak.values_astype(ak.Array([[0, 2, 2]]), kind)
    found = ak.with_field(muons({"pt": 60.0}, {"pt": 50.0}, {"pt": 40.0}), points, "highPtId")
    assert select.good_muons(found, Selection(muon_id="highPtId")).pt.tolist() == [[50, 40]]


def test_an_identification_must_be_a_flag():
    found = muons({"mvaMuID": 0.9})
    with pytest.raises(ColumnError, match="Muon_mvaMuID holds float64, expected a flag or an integer"):
        select.good_muons(found, Selection(muon_id="mvaMuID"))


def test_public_code_asks_for_no_muon_identification():
    assert len(select.good_muons(muons({"looseId": False}), select.preset("public-code"))[0]) == 1
    assert "Muon_looseId" not in select.branches(select.preset("public-code"))
    with pytest.raises(UnknownName, match="selection 'defualt', did you mean 'default'"):
        select.preset("defualt")


def test_muons_are_sorted_and_get_the_pdg_id_of_their_charge():
    found = select.good_muons(muons({"pt": 30.0, "charge": -1}, {"pt": 60.0}), Selection())
    assert found.pt.tolist() == [[60, 30]]
    assert found.pdgId.tolist() == [[-13, 13]]


def test_pair_of_opposite_charge():
    minus = {"charge": -1}
    cases = [[{}, minus], [{}, {}], [{}], [{}, minus, minus], []]
    found = [bool(select.opposite_pair(select.good_muons(muons(*case), Selection()))[0]) for case in cases if case]
    assert found == [True, False, False, False]


def test_mass_and_sum_of_two_muons_at_rest():
    pair = muons({"pt": 45.6, "eta": 0.0, "mass": 0.0}, {"pt": 45.6, "eta": 0.0, "phi": np.pi, "mass": 0.0})
    assert select.invariant_mass(pair) == pytest.approx([91.2])
    np.testing.assert_allclose(select.transverse_sum(pair), [[0, 0]], atol=1e-6)


def test_mass_of_real_muons_equals_coffea(drell_yan):
    source = events.inspect(str(drell_yan)).events()
    pair = source.Muon[ak.num(source.Muon) == 2]
    np.testing.assert_allclose(select.invariant_mass(pair), (pair[:, 0] + pair[:, 1]).mass, rtol=1e-3)
    np.testing.assert_allclose(np.hypot(*select.transverse_sum(pair).T), (pair[:, 0] + pair[:, 1]).pt, rtol=1e-3)


def jets(**changes):
    jet = {"pt": 50.0, "eta": 1.0, "phi": 2.0, "btagDeepFlavB": 0.1, "jetId": 6} | changes
    return ak.Array([[jet]])


@pytest.mark.parametrize(
    ("change", "kept"), [({}, 1), ({"pt": 29.0}, 0), ({"eta": 2.5}, 0), ({"eta": 0.5, "phi": 0.3}, 0)]
)
def test_each_cut_on_a_jet(change, kept):
    found = select.good_jets(jets(**change), select.good_muons(muons({}), Selection()), Selection())
    assert ak.num(found).tolist() == [kept]


def test_public_code_takes_softer_jets_of_tight_id():
    loose, none = select.preset("public-code"), select.good_muons(muons({"pt": 1.0}), Selection())
    assert ak.num(select.good_jets(jets(pt=22.0, eta=2.9), none, loose)).tolist() == [1]
    assert ak.num(select.good_jets(jets(jetId=4), none, loose)).tolist() == [0]


def test_b_tag_where_the_file_has_a_tagger():
    assert not select.b_tagged(jets(), Selection())[0]
    assert select.b_tagged(jets(btagDeepFlavB=0.5), Selection())[0]
    assert not select.b_tagged(jets(btagDeepFlavB=0.9)[["pt", "eta", "phi"]], Selection())[0]


def test_triggers_any_of_those_that_are_there():
    source = ak.Array([{"HLT": {"IsoMu24": True}}, {"HLT": {"IsoMu24": False}}])
    assert select.triggered(source, ["HLT_IsoMu24", "HLT_IsoTkMu24"]).tolist() == [True, False]
    assert select.triggered(source, []).tolist() == [True, True]
    select.require_trigger(["HLT_A", "HLT_B"], {"HLT_B"}, "x.root")
    with pytest.raises(ColumnError, match="none of the triggers HLT_A, HLT_B"):
        select.require_trigger(["HLT_A", "HLT_B"], {"HLT_C"}, "x.root")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_certified_luminosity_sections(tmp_path):
    golden = tmp_path / "golden.json"
    golden.write_text(json.dumps({"1": [[1, 5], [7, 7]]}))
    source = ak.Array([{"run": 1, "luminosityBlock": lumi} for lumi in (3, 6, 7)] + [{"run": 2, "luminosityBlock": 3}])
    assert select.certified(source, str(golden)).tolist() == [True, False, True, False]
    assert select.certified(source, None).all()


def test_cutflow_counts_events_and_weights_in_order():
    from coffea.analysis_tools import PackedSelection

    cuts = PackedSelection()
    cuts.add("first", np.array([True, True, False]))
    cuts.add("second", np.array([True, False, True]))
    flow = select.cutflow(cuts, np.array([2.0, -1.0, 5.0]))
    assert flow["events"] == {"all": 3, "first": 2, "second": 1}
    assert flow["sum of weights"] == {"all": 6, "first": 1, "second": 2}
    assert flow["sum of squared weights"] == {"all": 30, "first": 5, "second": 4}


def test_a_golden_json_written_again_counts_as_it_is_now(tmp_path):
    path = tmp_path / "golden.json"
    there = ak.Array({"run": [1, 1], "luminosityBlock": [1, 2]})
    path.write_text(json.dumps({"1": [[1, 2]]}))
    assert select.certified(there, str(path)).tolist() == [True, True]
    path.write_text(json.dumps({"7": [[1, 2]]}))
    assert select.certified(there, str(path)).tolist() == [False, False]
