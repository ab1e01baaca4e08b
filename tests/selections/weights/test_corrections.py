import json

import awkward as ak
import numpy as np
import pytest

from ptmiss.errors import ColumnError, CorrectionError, OptionError, UnknownName
from ptmiss.selections.weights.columns import Columns
from ptmiss.selections.weights.schema import weight

from .events import DATA, Events, factor_file, pileup_file

REFERENCES = json.loads((DATA / "reference_values.json").read_text()) if DATA.is_dir() else []
MUONS = ak.Array({"pt": [[20.0, 50.0], [], [40.0]]})
INPUTS = {"year": "2022", "variation": "sf", "pt": "pt"}


def pileup(path, **keys):
    return weight("pileup", {"kind": "pileup", "file": str(path)} | keys)


def factors(path, **keys):
    section = {"kind": "correction", "file": str(path), "correction": "ID", "objects": "muons", "inputs": INPUTS}
    return weight("id", section | {"up": {"variation": "sfup"}} | keys)


def interactions(*numbers):
    return Columns(Events(Pileup_nTrueInt=ak.Array(numbers)), {})


def muons(pt=MUONS):
    return Columns(Events(genWeight=np.ones(len(pt))), {"muons": pt})


@pytest.mark.skipif(not REFERENCES, reason="needs the public correction files")
@pytest.mark.parametrize("reference", [r for r in REFERENCES if r["file"].startswith("lum/")], ids=lambda r: r["file"])
def test_pileup_weights_have_the_reference_values_whatever_their_inputs_are_called(reference):
    number, variation = reference["args"]
    found = pileup(DATA / reference["file"]).evaluate("pileup", interactions(number))
    of_variation = {"nominal": found.nominal, "up": found.up, "down": found.down}[variation]
    assert of_variation == pytest.approx(reference["value"], rel=1e-12)


@pytest.mark.skipif(not REFERENCES, reason="needs the public correction files")
def test_factors_of_two_muons_are_multiplied_in_real_files():
    path = DATA / "muo/muon_Z_2022_Summer22.json.gz"
    found = factors(
        path,
        correction="NUM_TightID_DEN_TrackerMuons",
        inputs={"eta": "eta", "pt": "pt", "scale_factors": "nominal"},
        up={"scale_factors": "systup"},
        down={"scale_factors": "systdown"},
    ).evaluate("id", muons(ak.zip({"pt": [[35.0, 35.0]], "eta": [[1.0, -1.0]]})))
    right = {r["args"][2]: r["value"] for r in REFERENCES if r["correction"] == "NUM_TightID_DEN_TrackerMuons"
             and r["args"][:2] == [1.0, 35.0] and "2022" in r["file"]}  # fmt: skip
    values = dict(zip(("nominal", "systup", "systdown"), found[:3], strict=True))
    assert {"nominal", "systup"} <= right.keys()
    for name, value in right.items():
        assert values[name] == pytest.approx(value**2, rel=1e-9)


def test_pileup_weights_and_their_variations(tmp_path):
    found = pileup(pileup_file(tmp_path / "pu.json")).evaluate("pileup", interactions(5.0, 39.0))
    assert found.nominal.tolist() == [1, 4]
    assert found.up.tolist() == [2, 5]
    assert found.down.tolist() == [0.5, 3.5]


def test_the_factor_of_an_event_is_the_product_of_its_objects(tmp_path):
    found = factors(factor_file(tmp_path / "sf.json")).evaluate("id", muons())
    assert found.nominal == pytest.approx([0.8 * 0.9, 1, 0.9])
    assert found.up == pytest.approx([0.8 * 0.9 * 1.01**2, 1, 0.909])
    assert found.down is None


def test_inputs_are_formulas(tmp_path):
    shifted = factors(factor_file(tmp_path / "sf.json"), inputs=INPUTS | {"pt": "minimum(pt + 20, 99)"})
    assert shifted.evaluate("id", muons()).nominal == pytest.approx([0.9**2, 1, 0.9])


def test_a_factor_of_events(tmp_path):
    of_events = factors(factor_file(tmp_path / "sf.json"), objects="", inputs=INPUTS | {"pt": "MET_pt"})
    columns = Columns(Events(MET_pt=ak.Array([20.0, 50.0])), {})
    assert of_events.branches() == ["MET_pt"]
    assert of_events.evaluate("id", columns).nominal == pytest.approx([0.8, 0.9])


def test_events_without_any_object(tmp_path):
    found = factors(factor_file(tmp_path / "sf.json")).evaluate("id", muons(MUONS[1:2]))
    assert found.nominal.tolist() == found.up.tolist() == [1]


def test_an_event_outside_of_the_range_is_counted_once_and_named(tmp_path):
    path = factor_file(tmp_path / "sf.json")
    wild = muons(ak.Array({"pt": [[10.0, 200.0], [50.0], [14.0]]}))
    with pytest.raises(CorrectionError, match=r"weight 'id': 2 of 3 events are outside of the range of ID in .*: the "
                       r"first has pt = 10 of 15 to 100; clamp = true takes the nearest bin"):  # fmt: skip
        factors(path).evaluate("id", wild)
    clamped = factors(path, clamp=True).evaluate("id", wild)
    assert clamped.nominal == pytest.approx([0.8 * 0.9, 0.9, 0.8])
    assert clamped.note == {"event outside of the range of weight 'id': the nearest bin": 2}


def test_pileup_beyond_a_file_that_clamps_is_an_error_too(tmp_path):
    path = pileup_file(tmp_path / "pu.json")
    with pytest.raises(CorrectionError, match="weight 'pileup': 1 of 2 events are outside"):
        pileup(path).evaluate("pileup", interactions(5.0, 40.0))
    assert pileup(path, clamp=True).evaluate("pileup", interactions(5.0, 40.0)).nominal.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("keys", "error", "line"),
    [
        ({"correction": "IDs"}, UnknownName, r"unknown correction of .* 'IDs', did you mean 'ID'\?"),
        ({"correction": ""}, OptionError, "has 2 corrections: expected correction, one of ID, other"),
        ({"inputs": INPUTS | {"year": "2023"}}, UnknownName, "unknown year of ID in .* '2023'"),
        ({"inputs": INPUTS | {"ptt": "pt"}}, UnknownName, r"unknown input of ID in .* 'ptt', did you mean 'pt'\?"),
        ({"inputs": {"year": "2022", "variation": "sf"}}, OptionError, "weight 'id' needs input 'pt' of ID"),
        ({"inputs": INPUTS | {"pt": "sqr(pt)"}}, OptionError, "unknown function 'sqr'"),
        ({"up": {"variation": "sfUp"}}, UnknownName, r"'sfUp', did you mean 'sfup'\?"),
        ({"up": {"pt": "2 * pt"}}, OptionError, "weight 'id' varies 'pt', a number: expected a category"),
    ],
)
def test_what_the_file_lacks_is_one_line_before_any_event(tmp_path, keys, error, line):
    wrong = factors(factor_file(tmp_path / "sf.json"), **keys)
    with pytest.raises(error, match=line) as caught:
        wrong.require("id")
    assert "\n" not in str(caught.value)


def test_pileup_needs_a_number_and_a_variation(tmp_path):
    with pytest.raises(CorrectionError, match="has inputs year, variation, pt: expected a number of interactions"):
        pileup(factor_file(tmp_path / "sf.json"), correction="ID").require("pileup")
    with pytest.raises(UnknownName, match=r"unknown weights of pu in .* 'plus'; known: down, nominal, up"):
        pileup(pileup_file(tmp_path / "pu.json"), up="plus").require("pileup")


def test_objects_that_are_not_there_are_named(tmp_path):
    path = factor_file(tmp_path / "sf.json")
    with pytest.raises(ColumnError, match="no electrons are selected here; selected: muons"):
        factors(path, objects="electrons").evaluate("id", muons())
    with pytest.raises(ColumnError, match=r"selected muons have no 'pT', did you mean 'pt'\?"):
        factors(path, inputs=INPUTS | {"pt": "pT"}).evaluate("id", muons())
