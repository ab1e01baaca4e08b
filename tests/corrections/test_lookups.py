import ast
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.corrections import lookups
from ptmiss.errors import CorrectionError, FileError, UnknownName

DATA = Path(__file__).parents[3] / "shared/data/analysis"
REFERENCES = json.loads((DATA / "reference_values.json").read_text()) if DATA.is_dir() else []
LISTED = re.compile(r"- (?:compound )?`([^`]+)`(?: inputs \([^)]*\))?: \((.*)\) -> (.*)")
real = pytest.mark.skipif(not REFERENCES, reason="needs the public correction files")

ETA, PT = [0.0, 0.9, 2.4], [15.0, 20.0, 50.0, 120.0]


def table(scale, flow="error"):
    """Scale factors 1 to 6, times a scale, in bins of abs(eta) and pT."""
    rows = [
        {
            "nodetype": "binning",
            "input": "pt",
            "edges": PT,
            "content": [scale * (3 * i + j) for j in (1, 2, 3)],
            "flow": flow,
        }
        for i in range(2)
    ]
    binned = {"nodetype": "binning", "input": "eta", "edges": ETA, "content": rows, "flow": flow}
    rule = {"nodetype": "formula", "expression": "abs(x)", "parser": "TFormula", "variables": ["eta"]}
    return {"nodetype": "transform", "input": "eta", "rule": rule, "content": binned}


def category(name, **values):
    items = [{"key": key, "value": value} for key, value in values.items()]
    return {"nodetype": "category", "input": name, "content": items}


def correction(name, data, inputs):
    variables = [{"name": n, "type": kind} for n, kind in inputs.items()]
    return {"name": name, "version": 1, "inputs": variables, "output": {"name": "sf", "type": "real"}, "data": data}


def write(path, *corrections, schema=2):
    content = json.dumps({"schema_version": schema, "corrections": corrections}).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.fixture(params=["error", "clamp"])
def factor(request, tmp_path):
    """Scale factors of two eras; the second lacks ``down``."""
    nominal, up = table(1.0, request.param), table(1.1, request.param)
    eras = {
        "2022": category("syst", nominal=nominal, up=up, down=table(0.9)),
        "2023": category("syst", nominal=nominal, up=up),
    }
    inputs = {"era": "string", "syst": "string", "eta": "real", "pt": "real"}
    return lookups.load(write(tmp_path / "sf.json.gz", correction("ID", category("era", **eras), inputs)))["ID"]


def asked(**others):
    return {"era": "2022", "syst": "nominal", "eta": np.array([-0.5, 1.0]), "pt": np.array([30.0, 119.0])} | others


def test_values_by_the_names_of_inputs(factor):
    assert factor(asked()).tolist() == [2, 6]
    assert factor(asked(syst="up")).tolist() == pytest.approx([2.2, 6.6])
    assert factor(asked(eta=0.1, pt=15.0)).tolist() == 1


@real
@pytest.mark.parametrize("file", sorted({reference["file"] for reference in REFERENCES}))
def test_public_files_give_the_reference_values(file):
    """Of other files the binning is not a range that values must be in, as ``clamp`` says."""
    found = lookups.load(DATA / file)
    for reference in (r for r in REFERENCES if r["file"] == file):
        lookup = found[reference["correction"]]
        given = dict(zip(reference["inputs"], reference["args"], strict=True))
        if isinstance(reference["value"], str):
            with pytest.raises((CorrectionError, UnknownName)):
                lookup(given)
        else:
            assert lookup(given, clamp=file.startswith("jme/jer_smear")) == pytest.approx(reference["value"], rel=1e-9)


def listed():
    """(file, correction, arguments, value) of each line of the list of reference values, as text for people."""
    file = ""
    for line in (DATA / "INDEX.md").read_text().splitlines() if DATA.is_dir() else []:
        file = line.removeprefix("### ") if line.startswith("#") else file
        if found := LISTED.fullmatch(line):
            correction, args, value = found.groups()
            yield file, correction, ast.literal_eval(f"({args},)"), value


@pytest.mark.slow
@real
def test_every_line_of_the_list_of_reference_values_is_what_its_file_gives():
    """The list has more than reference_values.json: 165 values, to twelve digits."""
    lines = list(listed())
    assert len(lines) > len(REFERENCES)
    for file, correction, args, value in lines:
        lookup = lookups.load(DATA / file)[correction]
        given = dict(zip(lookup.inputs, args, strict=True))
        if value.startswith("RAISES"):
            with pytest.raises((CorrectionError, UnknownName)):
                lookup(given)
        else:
            outside = file.startswith("jme/jer_smear") or "met_2018" in file
            assert lookup(given, clamp=outside) == pytest.approx(float(value), rel=1e-10), (file, correction, args)


@given(eta=st.floats(-4, 4), pt=st.floats(0, 500))
@pytest.mark.parametrize("flow", ["error", "clamp"])
def test_what_is_outside_is_known_however_the_file_treats_it(eta, pt, flow):
    lookup = lookups.Lookup("file", correction("ID", table(1.0, flow), {"eta": "real", "pt": "real"}), None)
    good = abs(eta) < ETA[-1] and PT[0] <= pt < PT[-1]
    assert bool(lookup.outside({"eta": eta, "pt": pt})) is not good


def test_a_value_outside_is_counted_and_named(factor):
    with pytest.raises(
        CorrectionError,
        match=r"1 of 2 values are outside of the range of ID in .*: the first has "
        r"eta = 1 of 0 to 2.4, pt = 14 of 15 to 120",
    ):
        factor(asked(pt=np.array([30.0, 14.0])))


def test_the_nearest_bin_answers_where_that_is_wished(factor):
    assert factor(asked(pt=np.array([30.0, 14.0])), clamp=True).tolist() == [2, 4]
    assert factor(asked(eta=9.0, pt=900.0), clamp=True) == 6


def test_an_answer_of_the_file_for_what_is_outside_is_an_answer(tmp_path):
    binned = {"nodetype": "binning", "input": "x", "edges": [0.0, 1.0], "content": [2.0], "flow": 7.0}
    lookup = lookups.load(write(tmp_path / "flow.json", correction("f", binned, {"x": "real"})))["f"]
    assert lookup({"x": np.array([0.5, 3.0])}).tolist() == [2, 7]


def test_several_inputs_of_one_binning(tmp_path):
    binned = {
        "nodetype": "multibinning",
        "inputs": ["x", "y"],
        "edges": [[0.0, 1.0, 2.0], {"n": 2, "low": 0.0, "high": 4.0}],
        "content": [1.0, 2.0, 3.0, 4.0],
        "flow": "clamp",
    }
    lookup = lookups.load(write(tmp_path / "multi.json", correction("f", binned, {"x": "real", "y": "real"})))["f"]
    given = {"x": np.array([0.5, 1.5, 3.0]), "y": np.array([3.0, 1.0, 1.0])}
    assert lookup.outside(given).tolist() == [False, False, True]
    assert lookup.ranges(given) == {"x": (0, 2), "y": (0, 4)}
    assert lookup(given, clamp=True).tolist() == [2, 3, 3]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (asked(era="2024"), r"unknown era of ID in .* '2024', did you mean '202.'\?; known: 2022, 2023"),
        (asked(era="2023", syst="down"), "unknown syst of ID in .* 'down'; known: nominal, up"),
        ({"Era": "2022"}, r"unknown input of ID in .* 'Era', did you mean 'era'\?"),
        ({"era": "2022", "syst": "up", "eta": 1.0}, "ID in .* needs pt; its inputs: era, syst, eta, pt"),
        (asked(pt=np.array([30.0, np.nan])), "1 of 2 values of pt are not numbers: ID in "),
    ],
)
def test_a_wrong_input_is_one_line(factor, given, line):
    with pytest.raises((CorrectionError, UnknownName), match=line) as caught:
        factor(given)
    assert "\n" not in str(caught.value)


def test_categories_are_those_of_the_others_values(factor):
    assert factor.categories("era") == ["2022", "2023"]
    assert factor.categories("syst", {"era": "2023"}) == ["nominal", "up"]
    assert factor.categories("pt") == []


def test_a_category_with_a_default_has_any_value(tmp_path):
    data = category("syst", up=2.0) | {"default": 1.0}
    lookup = lookups.load(write(tmp_path / "default.json", correction("f", data, {"syst": "string"})))["f"]
    assert lookup({"syst": "down"}) == 1


def test_a_missing_correction_offers_the_nearest(tmp_path):
    path = write(tmp_path / "sf.json", correction("NUM_TightID", 1.0, {"pt": "real"}))
    with pytest.raises(
        UnknownName, match=r"unknown correction of .*sf.json 'NUM_TightId', did you mean 'NUM_TightID'\?"
    ):
        lookups.load(path)["NUM_TightId"]


def test_a_compound_correction_is_applied_in_its_order(tmp_path):
    path = write(tmp_path / "jec.json", correction("twice", 2.0, {"pt": "real"}))
    content = json.loads(path.read_text())
    content["compound_corrections"] = [
        {
            "name": "both",
            "inputs": [{"name": "pt", "type": "real"}],
            "output": {"name": "sf", "type": "real"},
            "inputs_update": ["pt"],
            "input_op": "*",
            "output_op": "*",
            "stack": ["twice", "twice"],
        }
    ]
    path.write_text(json.dumps(content))
    found = lookups.load(path)
    assert list(found.lookups) == ["twice", "both"]
    assert found["both"]({"pt": np.array([1.0, 5.0])}).tolist() == [4, 4]


def test_a_file_under_an_old_name_is_read_again(tmp_path):
    path = write(tmp_path / "sf.json", correction("f", 1.0, {"x": "real"}))
    assert lookups.load(path)["f"]({"x": 0.0}) == 1
    write(path, correction("f", 2.25, {"x": "real"}))
    assert lookups.load(path)["f"]({"x": 0.0}) == 2.25


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"{", "is not a correction file"),
        (b"[]", "is not a correction file"),
        (b"\x1f\x8b\x08", "is not a correction file"),
        (b'{"schema_version": 1}', "schema 1, expected 2"),
        (b'{"schema_version": 2, "corrections": [{"name": "f"}]}', "is not correctionlib JSON"),
        (b'{"schema_version": 2}', "is not correctionlib JSON"),
    ],
)
def test_another_file_is_one_line(tmp_path, content, line):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(CorrectionError, match=line) as caught:
        lookups.load(path)
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(FileError, match="no such correction file"):
        lookups.load(tmp_path / "none.json")
