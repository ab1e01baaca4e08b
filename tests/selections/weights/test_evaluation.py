import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.errors import ColumnError, CorrectionError
from ptmiss.selections.weights.columns import LENGTHS, SUMS
from ptmiss.selections.weights.evaluation import evaluate, generator_weight, require, sums
from ptmiss.selections.weights.schema import weight

from .events import Events, factor_file, pileup_file

NAMES = {"a": ("2", "3", "1"), "b": ("0.5", "1", "")}


def formulas():
    return {name: weight(name, {"kind": "formula", "formula": n, "up": up, "down": down})
            for name, (n, up, down) in NAMES.items()}  # fmt: skip


def test_each_variation_has_the_other_weights_as_they_are():
    found = evaluate(formulas(), Events(genWeight=np.array([1.0, -2.0])), {}, np.array([1.0, 10.0]))
    assert found.nominal.tolist() == [1, -20]
    varied = {name: values.tolist() for name, values in found.varied.items()}
    assert varied == {"a_up": [1.5, -30], "a_down": [0.5, -10], "b_up": [2, -40], "b_down": [0.5, -10]}  # its mirror
    assert found[np.array([False, True])].varied["a_up"].tolist() == [-30]


@given(st.lists(st.tuples(st.floats(0.5, 2), st.floats(0.5, 2), st.floats(0.5, 2)), min_size=1, max_size=4))
def test_the_product_is_that_of_all(factors):
    weights = {f"w{i}": weight(f"w{i}", {"kind": "formula", "formula": repr(n), "up": repr(u), "down": repr(d)})
               for i, (n, u, d) in enumerate(factors)}  # fmt: skip
    found = evaluate(weights, Events(genWeight=np.array([3.0])), {})
    nominal = np.array([n for n, _, _ in factors])
    assert found.nominal.item() == pytest.approx(3 * nominal.prod())
    for i, (n, up, _) in enumerate(factors):
        assert found.varied[f"w{i}_up"].item() == pytest.approx(3 * nominal.prod() / n * up)


def test_data_have_the_weight_one_alone():
    found = evaluate(formulas(), Events({"kind": "data"}, run=np.array([1, 2])), {})
    assert found.nominal.tolist() == [1, 1]
    assert not found.varied


def test_branches_and_sums_are_asked_for_before_any_event(tmp_path):
    weights = {
        "pileup": weight("pileup", {"kind": "pileup", "file": str(pileup_file(tmp_path / "pu.json"))}),
        "scale": weight("scale", {"kind": "scale"}),
    }
    there = ["Pileup_nTrueInt", "LHEScaleWeight"]
    assert sums(weights) == ["LHEScaleSumw"]
    require(weights, there, "f.root", {SUMS: {"LHEScaleSumw": [1.0] * 9}})
    require(weights, [], "f.root", {"kind": "data"})
    with pytest.raises(ColumnError, match=r"weight 'pileup' needs branch Pileup_nTrueInt, which f\.root does not have"):
        require(weights, there[1:], "f.root", {})
    with pytest.raises(ColumnError, match="weight 'scale' needs LHEScaleSumw in `Runs` of all files of dataset 'dy'"):
        require(weights, there, "f.root", {"dataset": "dy"})


def test_numbers_of_entries_are_asked_for_before_any_event():
    weights = {"scale": weight("scale", {"kind": "scale"}), "pdf": weight("pdf", {"kind": "pdf", "keep_rate": False})}
    there = ["LHEScaleWeight", "LHEPdfWeight"]
    good = {LENGTHS: {"LHEScaleWeight": 9, "LHEPdfWeight": 103}, SUMS: {"LHEScaleSumw": [1.0] * 9}}
    require(weights, there, "f.root", good)
    with pytest.raises(
        ColumnError, match=r"weight 'pdf': LHEPdfWeight has 59 entries in f\.root, expected 31 or 33 or"
    ):
        require(weights, there, "f.root", good | {LENGTHS: {"LHEPdfWeight": 59}})
    with pytest.raises(ColumnError, match=r"weight 'scale': LHEScaleWeight has 1 entries in f\.root, expected 9 or 8"):
        require(weights, there, "f.root", good | {LENGTHS: {"LHEScaleWeight": 1}})
    with pytest.raises(CorrectionError, match="weight 'scale': LHEScaleSumw in Runs has 44 entries, expected 9"):
        require(weights, there, "f.root", good | {SUMS: {"LHEScaleSumw": [1.0] * 44}})
    named = {"pdf": weight("pdf", {"kind": "pdf", "keep_rate": False, "members": [1, 60]})}
    with pytest.raises(ColumnError, match=r"LHEPdfWeight has 59 entries in f\.root, expected 61 or more"):
        require(named, there, "f.root", {LENGTHS: {"LHEPdfWeight": 59}})


def test_signs_are_what_a_cross_section_is_normalised_to():
    events = Events(genWeight=np.array([5.0, -3.0]))
    assert generator_weight({}, events).tolist() == [5, -3]
    assert generator_weight({"sign": weight("sign", {"kind": "sign"})}, events).tolist() == [1, -1]


def test_notes_of_all_weights_are_kept(tmp_path):
    section = {"kind": "correction", "file": str(factor_file(tmp_path / "sf.json")), "correction": "ID", "clamp": True}
    factor = weight("id", section | {"objects": "muons", "inputs": {"year": "2022", "variation": "sf", "pt": "pt"}})
    found = evaluate({"id": factor}, Events(genWeight=np.ones(1)), {"muons": ak.Array({"pt": [[10.0]]})})
    assert found.notes == {"event outside of the range of weight 'id': the nearest bin": 1}
