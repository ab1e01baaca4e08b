import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.errors import OptionError
from ptmiss.selections.formulas import FUNCTIONS, Formula

numbers = st.floats(-50, 50)


@given(x=numbers, y=numbers)
@pytest.mark.parametrize(("text", "right"), [
    ("1 + 0.5 * x - y", lambda x, y: 1 + 0.5 * x - y),
    ("(x - y)**2 / (1 + x*x)", lambda x, y: (x - y) ** 2 / (1 + x * x)),
    ("-x % 3 + y // 2", lambda x, y: -x % 3 + y // 2),
    ("where(x > y, x, y)", max),
    ("minimum(abs(x), 10) + maximum(y, 0)", lambda x, y: min(abs(x), 10) + max(y, 0)),
    ("(x > 0) & ~(y > 0) | (x == y)", lambda x, y: float((x > 0 and not y > 0) or x == y)),
    ("-10 < x <= 10", lambda x, y: float(-10 < x <= 10)),
    ("clip(x, -1, 1) * cos(pi)", lambda x, y: -max(-1, min(x, 1))),
    ("1 + 2e-1", lambda x, y: 1.2),
])  # fmt: skip
def test_a_formula_is_what_it_says(text, right, x, y):
    assert Formula(text)({"x": np.array([x]), "y": np.array([y])}) == pytest.approx(right(x, y))


def test_integers_are_numbers_and_do_not_wrap_around():
    assert Formula("x - y")({"x": np.array([1], np.uint8), "y": np.array([2], np.uint8)}).tolist() == [-1]


def test_columns_are_named_once_in_their_order():
    assert Formula("sqrt(PuppiMET_pt) + Pileup_nTrueInt * pi + PuppiMET_pt").names == ["PuppiMET_pt", "Pileup_nTrueInt"]


def test_a_formula_without_columns_is_one_number():
    assert Formula("2**0.5")({}) == 2**0.5


def test_what_has_no_value_is_not_finite_and_no_warning():
    assert not np.isfinite(Formula("log(x) + 1/x")({"x": np.array([0.0, -0.0])})).any()


@pytest.mark.parametrize(("text", "where", "reason"), [
    ("", 1, "invalid syntax"),
    ("x +", 1, "invalid syntax"),
    ("1 + sqr(x)", 5, r"unknown function 'sqr', did you mean 'sqrt'\?"),
    ("hypot(x)", 1, "hypot has 1 arguments, expected 2"),
    ("x + sqrt", 5, "function sqrt without its arguments"),
    ("'text'", 1, "expected numbers"),
    ("x.y", 1, "expected numbers"),
    ("x and y", 1, "expected numbers"),
    ("2 * x[0]", 5, "expected numbers"),
    ("sqrt(x, out=y)", 1, "expected numbers"),
    ("sqrt(*x)", 6, "expected numbers"),
    ("True if x else y", 1, "expected numbers"),
    ("(lambda: 1)()", 1, "expected numbers"),
    ("[x for x in y]", 1, "expected numbers"),
    ("x in y", 1, "expected numbers"),
    ("1j", 1, "expected numbers"),
    ("__import__('os').system('true')", 1, "expected numbers"),
    ("().__class__", 1, "expected numbers"),
    ("(x := 3)", 2, "expected numbers"),
    ("x; y", 2, "invalid syntax"),
])  # fmt: skip
def test_what_is_no_formula_is_one_line(text, where, reason):
    with pytest.raises(OptionError, match=f"at character {where}: {reason}") as caught:
        Formula(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["-" * 60 + "x", "(" * 500 + "x" + ")" * 500, "1+" * 1500 + "1", "x\0"])
def test_a_formula_that_would_take_the_machine_is_one_line(text):
    with pytest.raises(OptionError) as caught:
        Formula(text)
    assert "\n" not in str(caught.value)


def test_a_power_of_powers_of_numbers_is_not_worked_out_in_integers():
    assert Formula("9**9**9**9")({}) == np.inf


def test_every_function_is_of_numpy_and_of_its_number_of_arguments():
    for name, (number, function) in FUNCTIONS.items():
        assert function is getattr(np, name)
        assert np.isfinite(Formula(f"{name}({', '.join(['x'] * number)})")({"x": 0.5}))
