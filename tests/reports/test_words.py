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
    assert [words.head("low", axis) for axis in ("qt", "met_phi", "npv", "eta", "")] == [
        "qT from, GeV",
        "φ from, rad",
        "Vertices from",
        "From",
        "From",
    ]


def test_provenance_is_read_without_braces():
    made = {"dy": {"files": ["a.root", "b.root"], "weighted": True, "nothing": None}, "n": 3}
    assert words.readable(made) == "dy (files a.root, b.root, weighted yes), n 3"
    assert words.readable(["pf", "puppi"]) == "pf, puppi"
    assert words.readable("2026-11-26T17:57:40+00:00") == "2026-11-26 17:57 UTC"
    assert words.readable("2026-11-26") == "2026-11-26"
