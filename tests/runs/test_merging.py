import random

import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.runs.merging import Merging, merge


def parts(n):
    rng = np.random.default_rng(n)
    made = []
    for value in rng.normal(0, 1, (n, 40)) * 10.0 ** rng.integers(-8, 8, (n, 1)):
        h = hist.Hist.new.StrCat([], name="c", growth=True).Reg(4, -2, 2, name="x").Weight()
        h.fill(rng.choice(list("abcd")), value, weight=value)
        made.append({"h": h, "n": {"sum": float(value.sum())}})
    return made


def total(order, n):
    merging = Merging()
    made = parts(n)
    for number in order:
        merging.add(number, made[number])
    return merging.total()


@pytest.mark.parametrize("n", [1, 2, 3, 7, 16, 21])
def test_the_bits_do_not_depend_on_the_order(n):
    expected = total(range(n), n)
    for seed in range(5):
        order = list(range(n))
        random.Random(seed).shuffle(order)
        found = total(order, n)
        assert found["n"] == expected["n"]
        assert list(found["h"].axes["c"]) == list(expected["h"].axes["c"])
        np.testing.assert_array_equal(found["h"].view(flow=True), expected["h"].view(flow=True))


@given(st.sets(st.integers(0, 20)))
def test_what_is_missing_adds_nothing(missing):
    merging = Merging()
    for number in range(21):
        merging.add(number, None if number in missing else {"n": 1})
    assert merging.total() == ({"n": 21 - len(missing)} if len(missing) < 21 else None)


def test_few_sums_are_kept():
    merging, most = Merging(), 0
    for number in range(200):
        merging.add(number, {"n": number})
        most = max(most, len(merging))
    assert merging.total() == {"n": sum(range(200))}
    assert most <= 8  # log2 of 200


def test_nothing_and_something():
    assert merge(None, None) is None
    assert merge({"n": 1}, None) == merge(None, {"n": 1}) == {"n": 1}
