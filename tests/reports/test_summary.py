import numpy as np
import pandas as pd
import pytest

from ptmiss.reports import html, summary
from ptmiss.reports.exhibit import Exhibit, Section
from ptmiss.selections import load_selection


def tabulated():
    """Of two estimators, what a measurement tabulates; rows that the summary does not want have 99."""
    rows = []
    for name, response, width in (("pf", 0.9, 20.0), ("deepmet", 1.04, 15.0)):
        for region, axis in (("inclusive", "inclusive"), (summary.PLATEAU, "inclusive"), ("inclusive", "qt")):
            wanted = axis == "inclusive"
            row = {"estimator": name, "region": region, "axis": axis}
            row["response"] = response if wanted and region == summary.PLATEAU else 99.0
            for width_of in ("rms_par", "rms_perp"):
                row[width_of] = width if wanted and region == "inclusive" else 99.0
            rows.append(row | {f"{k}_error": 0.012 for k in ("response", "rms_par", "rms_perp")})
    return pd.DataFrame(rows)


def edges():
    return pd.DataFrame(
        {
            "estimator": ["pf", "deepmet", "generated"],
            "half_width": [26.0, 16.0, 3.0],
            "half_width_error": [1.0, 1.5, 0.1],
        }
    )


def test_numbers_ratios_and_the_best():
    found = dict(summary.lines(summary.numbers(tabulated(), edges()), list(summary.COLUMNS)))
    assert list(found) == ["PF", "DeepMET"]
    assert [cell.text for cell in found["DeepMET"]] == [
        "1.040 ± 0.012",
        "15.000 ± 0.012",
        "15.000 ± 0.012",
        "16.0 ± 1.5",
    ]
    assert [cell.ratio for cell in found["DeepMET"]] == ["", "0.75", "0.75", "0.62"]
    assert [cell.best for cell in found["PF"]] == [False] * 4
    assert all(cell.best for cell in found["DeepMET"])


def test_ratios_have_the_errors_of_paired_events():
    gains = pd.DataFrame({"estimator": ["pf", "deepmet"]})
    for width in ("rms_par", "rms_perp"):
        gains[f"{width}_vs_pf"], gains[f"{width}_vs_pf_error"] = [0.0, 0.25], [0.0, 0.012]
    of_mt = edges().assign(half_width_vs_pf=[0, 0.385, 0.9], half_width_vs_pf_error=[0, 0.05, 0.01])
    found = dict(summary.lines(summary.numbers(tabulated(), of_mt, gains), list(summary.COLUMNS)))
    assert [cell.ratio for cell in found["DeepMET"]] == ["", "0.750 ± 0.012", "0.750 ± 0.012", "0.615 ± 0.050"]
    assert [cell.ratio for cell in found["PF"]] == ["", "1.00", "1.00", "1.00"]


def test_without_a_boson_there_is_mt_alone():
    found = summary.numbers(pd.DataFrame(), edges())
    assert list(found) == ["mt_half_width", "mt_half_width_error"]
    assert [cell.text for cell in dict(summary.lines(found, ["response", summary.MT]))["PF"]] == ["", "26.0 ± 1.0"]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"sample": {"profile": "mc"}}, "12\u2009345 events of simulation"),
        ({"sample": {"profile": "data"}}, "12\u2009345 events of pseudo-data"),
        ({"datasets": {"a": {"metadata": {"kind": "data", "pseudo_data": True}}}}, "12\u2009345 events of pseudo-data"),
        (
            {"datasets": {"a": {"metadata": {"kind": "data"}}, "b": {"metadata": {"kind": "mc"}}}},
            "12\u2009345 events of data and simulation",
        ),
        ({}, "12\u2009345 events"),
    ],
)
def test_what_the_events_are(made, words):
    assert summary.count_text(12345, made) == words


@pytest.mark.parametrize(
    ("name", "numbers", "words"),
    [
        ("default", (1, 2), "1 or 2 muons of pT > 25 GeV and |η| < 2.4, pairs of 80 to 100 GeV, no b jet"),
        ("default", (1,), "1 muon of pT > 25 GeV and |η| < 2.4"),
        ({"btag": {"veto": "none"}}, (2,), "2 muons of pT > 25 GeV and |η| < 2.4, pairs of 80 to 100 GeV"),
        ({"leptons": {"number": []}, "photon": {"pt": 60}}, (), "one photon of pT > 60 GeV and |η| < 1.4442, no b jet"),
    ],
)
def test_a_selection_in_words(name, numbers, words):
    assert summary.selection_text(load_selection(name), numbers) == words


def test_a_page_begins_with_it_and_says_of_empty_samples_in_a_line():
    rows = pd.DataFrame({"estimator": ["pf"], "response": [np.nan]})
    parts = [
        Section("full", "run", [Exhibit("Response", rows)], about="7 events", headline=summary.numbers(tabulated())),
        Section("empty", "run", about="0 events"),
    ]
    text = html.render("A page", parts)
    assert text.index("0.75") < text.index("<main")
    assert (text.count("empty <span"), text.count('id="s1"'), text.count('href="#s1"')) == (1, 0, 0)
