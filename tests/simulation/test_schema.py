from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.simulation import schema


def test_branch_names_are_unique_and_described():
    names = [collection.branch_name(branch) for collection in schema.SCHEMA for branch in collection.branches]
    assert len(names) == len(set(names))
    assert all(branch.meaning for collection in schema.SCHEMA for branch in collection.branches)
    assert all(f"`{name}`" in schema.describe() for name in names)


def test_the_contract_of_candidates():
    candidates = next(c for c in schema.SCHEMA if c.name == "PFCands")
    types = {branch.name: branch.dtype for branch in candidates.branches}
    whole = {"charge", "pdgId", "fromPV", "pvAssocQuality"}
    assert set(types) == {"pt", "eta", "phi", "mass", "d0", "dz", "puppiWeight"} | whole
    assert {name for name, dtype in types.items() if dtype == "int32"} == whole


@given(st.floats(1e-6, 1e6), st.sampled_from([8, 10, 16]))
def test_precision_is_half_of_the_last_bit(value, bits):
    rounded = schema.cut(np.array([value, -value]), schema.Branch("", "float32", "", "", bits))
    assert rounded.dtype == np.float32
    assert rounded[0] == pytest.approx(value, rel=2.0 ** -(bits + 1) * 1.001)
    assert rounded[1] == -rounded[0]
    assert not (rounded.view(np.uint32) & np.uint32((1 << (23 - bits)) - 1)).any()


def test_whole_numbers_and_full_precision_stay():
    assert schema.cut(np.array([3, -2]), schema.Branch("", "int32", "", "")).tolist() == [3, -2]
    assert schema.cut(np.array([0.1]), schema.Branch("", "float32", "", ""))[0] == np.float32(0.1)


def test_elements_are_optional():
    some = schema.collections({"PFElement", "PFElementTarget"})
    assert {c.name for c in some} - {c.name for c in schema.collections()} == {"PFElement", "PFElementTarget"}
    of_matter = {"PFElementDetail", "PFElementShower"}
    assert {c.name for c in schema.SCHEMA} - {c.name for c in some} == of_matter | {"PSWeight"}


def test_rounding_keeps_the_bits_it_says():
    values = np.array([1.0, -3.14159, 1e-20, 12345.678, np.nan, np.inf], np.float32)
    out = schema.round_mantissa(values, 12)
    np.testing.assert_allclose(out, values, rtol=2.0**-12)
    assert (out[:4].view(np.uint32) & np.uint32(2**11 - 1) == 0).all()
