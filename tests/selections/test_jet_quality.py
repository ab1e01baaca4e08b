import awkward as ak
import numpy as np
import pytest

from ptmiss import events
from ptmiss.errors import ColumnError, FileError, UnknownName
from ptmiss.selections import Selection, good_jets, jet_quality, judge, load_selection, quality, remarks
from ptmiss.selections.schema import Jets, VetoMap

HOT = -3.1, 1.4905  # eta, phi that the map of 2022 takes
GOOD = {"pt": 40.0, "eta": HOT[0], "phi": HOT[1], "chEmEF": 0.4, "neEmEF": 0.4, "jetId": 6}
FAR = {"eta": 0.0, "phi": 0.0, "isPFcand": True}


@pytest.fixture(scope="module")
def jme(shared):
    folder = shared / "analysis" / "jme"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


@pytest.fixture(scope="module")
def jet_id_file(jme):
    return str(jme / "jetid_Run3-22CDSep23-Summer22-NanoAODv12.json.gz")


@pytest.fixture(scope="module")
def map_2022(jme):
    return VetoMap(file=str(jme / "jetvetomaps_2022_Summer22.json.gz"), name="Summer22_23Sep2023_RunCD_V1")


def with_map(where, **jets):
    return Selection.model_validate({"quality": {"veto_map": where.model_dump()}, "jets": jets})


@pytest.mark.slow
def test_identification_of_v15_is_what_the_recommendation_says(shared, jet_id_file):
    """Run 3 PUPPI jets: the numbers of the recommendation, written anew, in the tracker and at its edge."""
    jets = events.inspect(str(shared / "analysis" / "nano" / "nano_tt_v15.root")).events().Jet
    found = ak.to_numpy(ak.flatten(jet_quality.jet_ids(jets, Jets(identification_file=jet_id_file))))
    jet = ak.flatten(jets)
    eta, number = np.abs(jet.eta), ak.values_astype(jet.chMultiplicity, int) + ak.values_astype(jet.neMultiplicity, int)
    inner = (jet.neHEF < 0.99) & (jet.neEmEF < 0.9) & (number > 1) & (jet.chHEF > 0.01) & (jet.chMultiplicity > 0)
    edge = (jet.neHEF < 0.9) & (jet.neEmEF < 0.99)
    tight = np.where(eta <= 2.6, inner, edge)
    no_lepton = tight & ak.to_numpy((jet.muEF < 0.8) & (jet.chEmEF < 0.8))
    inside = ak.to_numpy(eta < 2.7)
    assert inside.sum() > 500
    np.testing.assert_array_equal((found & 2 > 0)[inside], tight[inside])
    np.testing.assert_array_equal((found & 4 > 0)[inside], no_lepton[inside])
    assert 0 < np.count_nonzero(found == 0) < len(found) / 2
    assert set(found) <= {0, 2, 6}


def test_the_branch_goes_before_the_file():
    jets = ak.Array([[{"pt": 50.0, "eta": 0.0, "jetId": 2}], []])
    assert jet_quality.jet_ids(jets, Jets(identification_file="nowhere.json")).tolist() == [[2], []]


@pytest.mark.slow
def test_good_jets_of_v15_are_identified(shared, jet_id_file):
    source = events.inspect(str(shared / "analysis" / "nano" / "nano_tt_v15.root")).events()
    nobody = source.Muon[:, :0]
    every = good_jets(source.Jet, nobody, Selection())
    identified = {"identification": [2, 6], "identification_file": jet_id_file}
    kept = good_jets(source.Jet, nobody, Selection.model_validate({"jets": identified}))
    notes = remarks(source, Selection.model_validate({"jets": identified}))
    assert notes[quality.UNIDENTIFIED] == ak.count(every.pt) - ak.count(kept.pt) > 0
    assert quality.UNIDENTIFIED not in remarks(source, Selection())


@pytest.mark.parametrize(
    ("jet", "muon", "passes"),
    [
        ({}, FAR, False),
        ({"eta": 0.0}, FAR, True),
        ({"pt": 15.0}, FAR, True),
        ({"jetId": 0}, FAR, True),
        ({"chEmEF": 0.6}, FAR, True),
        ({}, {"eta": HOT[0] + 0.1, "phi": HOT[1] + 0.1, "isPFcand": True}, True),
        ({}, {"eta": HOT[0] + 0.1, "phi": HOT[1] + 0.1, "isPFcand": False}, False),
        ({"eta": 5.3}, FAR, True),
    ],
)
def test_what_the_veto_map_takes(map_2022, jet, muon, passes):
    found = ak.Array([{"Jet": [GOOD | jet], "Muon": [muon]}])
    assert (~jet_quality.in_veto_map(found, Selection(), map_2022)).tolist() == [passes]


def test_events_without_jets_or_muons_pass(map_2022):
    one = ak.Array([{"Jet": [GOOD], "Muon": [FAR]}])
    found = ak.concatenate([one, ak.zip({"Jet": one.Jet[:, :0], "Muon": one.Muon[:, :0]}, depth_limit=1)])
    assert jet_quality.in_veto_map(found, Selection(), map_2022).tolist() == [True, False]
    alone = ak.zip({"Jet": one.Jet, "Muon": one.Muon[:, :0]}, depth_limit=1)
    assert jet_quality.in_veto_map(alone, Selection(), map_2022).tolist() == [True]


def test_a_map_by_another_type_and_another_value(jme):
    """The maps of 2018 hold 10 where those of 2022 hold 100; a cold region holds less than 0."""
    where = VetoMap(
        file=str(jme / "jetvetomaps_Run2-2018-UL-NanoAODv15.json.gz"), name="Summer19UL18_V1", type="jetvetomap_hem1516"
    )
    jets = [GOOD | {"eta": eta, "phi": phi} for eta, phi in ((-2.0, -1.2), (0.0, 0.0), (0.0, np.float32(np.pi)))]
    found = ak.Array([{"Jet": [jet], "Muon": [FAR]} for jet in jets])
    assert jet_quality.in_veto_map(found, Selection(), where).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"file": "nowhere.json"}, FileError, "no such correction file: nowhere.json"),
        ({"name": "Summer22_RunCD"}, UnknownName, "did you mean 'Summer22_23Sep2023_RunCD_V1'"),
        ({"type": "jetvetomaps"}, UnknownName, "type of Summer22_23Sep2023_RunCD_V1 .*, did you mean 'jetvetomap'"),
    ],
)
def test_a_map_that_is_not_there(map_2022, change, error, message):
    with pytest.raises(error, match=message):
        quality.require(with_map(map_2022.model_copy(update=change)), {}, (), "a.root")


def test_columns_of_jets_that_are_not_there(map_2022, jet_id_file):
    with pytest.raises(ColumnError, match=r"the jet veto map needs branch Jet_pt, which a.root does not have"):
        quality.require(with_map(map_2022), {}, (), "a.root")
    there = {*jet_quality.VETO_COLUMNS}
    with pytest.raises(ColumnError, match=r"a\.root has no Jet_jetId: expected jets\.identification_file"):
        quality.require(with_map(map_2022), {}, there, "a.root")
    with pytest.raises(ColumnError, match=r"needs branch Jet_chHEF, which a\.root"):
        quality.require(with_map(map_2022, identification_file=jet_id_file), {}, there, "a.root")
    every = there | {f"Jet_{name}" for name in jet_quality.COLUMNS}
    quality.require(with_map(map_2022, identification_file=jet_id_file), {}, every, "a.root")
    with pytest.raises(UnknownName, match="AK4Puppi_Tight"):
        quality.require(with_map(map_2022, identification_file=jet_id_file, algorithm="AK4Puppi"), {}, every, "a.root")


@pytest.mark.slow
def test_selection_files_name_it_all(tmp_path, shared, map_2022, jet_id_file):
    """A selection as a user writes it, on real events of v15."""
    golden = tmp_path / "golden.json"
    golden.write_text('{"1": [[1, 2]]}')
    path = tmp_path / "mine.toml"
    path.write_text(
        f'[jets]\nidentification = [2, 6]\nidentification_file = "{jet_id_file}"\n[quality]\nera = "2022"\n'
        f'golden_json = "{golden}"\n[quality.veto_map]\nfile = "{map_2022.file}"\nname = "{map_2022.name}"\n'
    )
    selection = load_selection(path)
    file = events.inspect(str(shared / "analysis" / "nano" / "nano_tt_v15.root"))
    quality.require(selection, {"kind": "mc"}, file.branches, file.path)
    source = file.events()
    source.metadata["kind"] = "mc"
    masks = judge(source, selection)
    assert list(masks)[:3] == ["golden JSON", "trigger", "overlap"]
    assert list(masks)[-1] == "jet veto map"
    assert masks["golden JSON"].all()  # simulation
    assert 0 < np.count_nonzero(~masks["jet veto map"]) < 60
