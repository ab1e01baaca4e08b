import pytest

from ptmiss.reports import words


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("rms_par", "RMS of u∥ - qT, GeV"),
        ("rms_perp_common", "RMS of u⊥, GeV: part of the error common to all bins"),
        ("some_thing", "some thing"),
    ],
)
def test_heads_have_units_and_no_underscores(name, head):
    assert words.head(name) == head


def test_edges_say_of_what():
    assert [words.head("low", axis) for axis in ("qt", "npv", "eta", "")] == [
        "qT from, GeV",
        "Vertices from",
        "From",
        "From",
    ]


def test_provenance_is_read_without_braces():
    made = {"dy": {"files": ["a.root", "b.root"], "weighted": True, "nothing": None}, "n": 3}
    assert words.readable(made) == "dy (files a.root, b.root, weighted yes), n 3"
    assert words.readable(["pf", "puppi"]) == "pf, puppi"
