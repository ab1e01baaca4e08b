import numpy as np
import pytest

from ptmiss.errors import CorrectionError
from ptmiss.selections.weights.columns import Columns
from ptmiss.selections.weights.schema import weight

from .events import Events


def test_prefiring():
    branches = {f"L1PreFiringWeight_{name}": np.array([value]) for name, value in
                (("Nom", 0.9), ("Up", 0.92), ("Dn", 0.87))}  # fmt: skip
    prefiring = weight("prefiring", {"kind": "prefiring"})
    assert set(prefiring.branches()) == set(branches)
    assert [part.item() for part in prefiring.evaluate("p", Columns(Events(**branches), {}))[:3]] == [0.9, 0.92, 0.87]


def test_the_sign_takes_the_place_of_the_generators_weight():
    generator = np.array([12.0, -3.0, 0.0])
    found = weight("sign", {"kind": "sign"}).evaluate("sign", Columns(Events(genWeight=generator), {}))
    assert (generator * found.nominal).tolist() == [1, -1, 0]


def test_a_formula_and_its_variations():
    formula = weight("f", {"kind": "formula", "formula": "1 + MET_pt / 100", "up": "2", "down": "MET_pt"})
    found = formula.evaluate("f", Columns(Events(MET_pt=np.array([10.0, 50.0])), {}))
    assert [part.tolist() for part in found[:3]] == [[1.1, 1.5], [2, 2], [10, 50]]


def test_a_formula_without_a_value_is_one_line():
    formula = weight("f", {"kind": "formula", "formula": "log(MET_pt)"})
    with pytest.raises(CorrectionError, match=r"weight 'f': 1 of 2 events have no value of 'log\(MET_pt\)'"):
        formula.evaluate("f", Columns(Events(MET_pt=np.array([0.0, 1.0])), {}))
