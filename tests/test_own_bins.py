"""A selection's own bins from events to a fit: every result is in them, and none in those of the measurement."""

import json
import re

import pandas as pd
import pytest
import uproot

import ptmiss
from ptmiss import results, table
from ptmiss.binning import Binning
from ptmiss.selections.presets import selection_of

from .invented import write_events

QT, NPV, NJETS, U_PERP = [0, 15, 30, 60, 200], [0, 30, 60], [0, 2], [-80, -10, 0, 10, 80]
SELECTION = f"""
[binning]
qt = {QT}
npv = {NPV}
njets = {NJETS}
plateau = [60, 200]
calibration_qt = [0, 15, 30, 60, 400]
u_perp = {U_PERP}
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Events, and runs of them after XY lines and after all corrections."""
    place = tmp_path_factory.mktemp("chain")
    (place / "own.toml").write_text(SELECTION)
    kinds = {
        "data": {"kind": "data", "pseudo_data": True, "luminosity": 1.0},
        "dy": {"kind": "mc", "role": "signal", "cross_section": 1.2},
    }
    for seed, name in enumerate(kinds):
        write_events(place / f"{name}.root", 900, seed, jets=0.9)
    fileset = {name: {"files": [str(place / f"{name}.root")], "metadata": about} for name, about in kinds.items()}
    corrections = None
    for step in ("first", "second", "last"):
        options = {"selection": place / "own.toml", "corrections": corrections}
        ptmiss.run("zmumu", fileset, place / step, ["puppi"], **options)
        if step != "last":
            sources = f"{place / step}:data", f"{place / step}:dy"
            made = ptmiss.calibrate(*sources, place / f"{step}_calibration", ["puppi"], minimum=60)
            corrections = made.path
    return place


def edges_of(rows, axis, region="inclusive"):
    """All edges of the bins of an axis in the rows of a measurement."""
    chosen = rows[(rows["axis"] == axis) & (rows["region"] == region)]
    return sorted({*chosen["low"], *chosen["high"]})


def test_a_run_is_measured_and_reported_in_them(place):
    found = ptmiss.resolution(place / "last", place / "resolution", dataset="dy").table
    assert edges_of(found, "qt") == QT
    assert edges_of(found, "npv") == NPV
    assert {"0 to 1 jets", "2 or more jets"} <= set(found["region"])
    assert (found["response_systematic"] > 0).any()
    page = ptmiss.report([place / "last"], place / "report.html")
    text = re.sub(r"<[^>]+>", " ", page.read_text())
    assert "2 or more jets" in text
    assert "3 or more" not in text


def test_a_calibration_is_derived_and_applied_in_them(place):
    made = json.loads((place / "second_calibration" / results.MANIFEST).read_text())
    stated = made["binning"]["puppi_u_par"]
    assert len(stated["njets"]) == len(NJETS)
    response = pd.read_csv(place / "second_calibration" / "response.csv")
    assert {*response["qt_low"], *response["qt_high"]} <= {0.0, *QT, 50.0}
    for step in ("first", "last"):
        moments = results.load(place / step).histograms["dy"]["moments"]
        assert moments.axes["qt"].edges.tolist() == sorted({*QT, 50})


def test_templates_have_their_edges(place):
    (region,) = ptmiss.templates(place / "last", "u_perp", place / "templates", ["puppi"], signal=["dy"], minimum=1)
    assert list(region.edges) == U_PERP
    with uproot.open(place / "templates" / "templates.root") as file:
        assert file["u_perp_puppi/dy"].axis().edges().tolist() == U_PERP
    recorded = results.load(place / "last").histograms["data"]["u_perp"][{"systematic": "nominal", "estimator": 0}]
    assert region.data.sum() == pytest.approx(recorded.values(flow=True).sum(), rel=0.01)


def test_a_table_remembers_them(place):
    ptmiss.skim(place / "dy.root", place / "dy.parquet", ["puppi"], selection=place / "own.toml")
    made = table.read(place / "dy.parquet")
    assert selection_of(made.provenance).binning == Binning(
        qt=QT, npv=NPV, njets=NJETS, plateau=(60, 200), calibration_qt=(0, 15, 30, 60, 400), u_perp=U_PERP
    )
    compared = ptmiss.compare(place / "dy.parquet", by=["qt", "npv", "njets"])
    assert sorted({*compared[compared["axis"] == "qt"]["high"]}) == QT[2:]
