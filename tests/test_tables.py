import numpy as np
import pytest

from ptmiss import tables

ROW = {"rms": 12.346, "rms_error": 0.078, "gain": -0.1234, "gain_error": 0.0216, "itself": 0.0, "itself_error": 0.0}


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (12.346, 0.078, "12.346 ± 0.078"),
        (12.346, 0.78, "12.35 ± 0.78"),
        (123.46, 17.2, "123 ± 17"),
        (1234.6, 172.0, "1235 ± 172"),
        (0.5, 1e-9, "0.500000 ± 0.000000"),
    ],
)
def test_an_error_shows_two_figures(value, error, text):
    assert tables.plus_minus(value, error) == text


def test_a_number_of_a_row():
    assert tables.with_error(ROW, "rms", 2) == "12.35 ± 0.08"
    assert tables.with_error(ROW, "rms") == "12.346 ± 0.078"
    assert tables.with_error({"rms": 1.5, "rms_error": np.nan}, "rms", 2) == "1.50"
    assert tables.with_error({"rms": 1.5}, "rms") == "1.5"
    assert tables.with_error({"rms": np.nan, "rms_error": 1.0}, "rms", 2) == tables.with_error({}, "rms") == ""


def test_a_fraction_in_percent():
    assert tables.percent(ROW, "gain") == "-12 ± 2"
    assert tables.percent({**ROW, "gain": 0.1234}, "gain", 1) == "+12.3 ± 2.2"
    assert tables.percent(ROW, "itself") == ""
    assert tables.percent({"gain": np.nan, "gain_error": np.nan}, "gain") == ""


def test_markdown_has_a_rule_below_its_head():
    assert tables.markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_a_terminal_shows_every_cell(capsys):
    tables.show(["", "RMS"], [["npv 0 to 10"], ["pf", "12.35 ± 0.08"]], "a study")
    printed = capsys.readouterr().out
    assert [line.split() for line in printed.splitlines()] == [
        ["a", "study"],
        ["RMS"],
        ["npv", "0", "to", "10"],
        ["pf", "12.35±0.08"],
    ]


def test_no_cell_is_cut_where_columns_have_no_room(capsys):
    """Eighty characters, as where there is no terminal: the columns on the right come below, with the names again."""
    names = [f"a column of a name {i}" for i in range(6)]
    lines = [[name, *(f"{name} {i} 12.35 ± 0.08" for i in range(5))] for name in ("PF", "Ideal targets + PUPPI")]
    tables.show(names, lines)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "…" not in printed
    for cell in (*names, *(cell.replace(" ± ", "±") for line in lines for cell in line)):
        assert cell in printed


def test_the_columns_beside_each_other():
    rows = [["pf", "12345", "123", "1"], ["deepmet"]]
    assert tables.parts(rows, 80) == [[0, 1, 2, 3]]
    assert tables.parts(rows, len("deepmet 12345 123 1")) == [[0, 1, 2, 3]]
    assert tables.parts(rows, len("deepmet 12345 123 1") - 1) == [[0, 1, 2], [0, 3]]
    assert tables.parts(rows, 5) == [[0, 1], [0, 2], [0, 3]]
