import json
from pathlib import Path

import correctionlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.corrections import published
from ptmiss.corrections.published import VARIATIONS, invert
from ptmiss.errors import CorrectionError, FileError, UnknownName
from ptmiss.recoil import cartesian

DATA = Path(__file__).parents[3] / "shared/data/analysis"
RECOIL = DATA / "recoil/DY_pTll_recoil_corrections_2022preEE_v5.json.gz"
RUN_3 = DATA / "met/met_xyCorrections_2022_2022.json.gz"
real = pytest.mark.skipif(not DATA.is_dir(), reason="needs the public correction files")

BOSON = 40.0, 1.3  # GeV, rad


def references(file, correction):
    content = json.loads((DATA / "reference_values.json").read_text()) if DATA.is_dir() else []
    return [r for r in content if r["file"].startswith(file) and r["correction"].startswith(correction)]


def turned(par, perp, phi):
    """(1, 2) vector of components along and across a direction."""
    return np.array([[par * np.cos(phi) - perp * np.sin(phi), par * np.sin(phi) + perp * np.cos(phi)]])


@pytest.fixture(scope="module")
def recoil():
    return published.load(RECOIL)


@real
@pytest.mark.parametrize("method", ["Rescaling", "QuantileMapHist"])
@pytest.mark.parametrize("order", ["NLO", "NNLO"])
def test_recoil_corrections_give_the_reference_values(recoil, method, order):
    given = [r for r in references("recoil/", f"Recoil_correction_{method}") if r["args"][0] == order]
    assert given
    boson = cartesian([BOSON[0]], [BOSON[1]])
    for reference in given:
        _, njets, _, component, value = reference["args"]
        along = component == "Upara"
        before = turned(value, 7.0, BOSON[1]) if along else turned(7.0, value, BOSON[1])
        axis = turned(1, 0, BOSON[1])[0] if along else turned(0, 1, BOSON[1])[0]
        after = recoil.met(before, boson, njets, order, method=method) @ axis
        assert after == pytest.approx(reference["value"], rel=1e-9)


@real
def test_fitted_distributions_are_inverted(recoil):
    raw = correctionlib.CorrectionSet.from_file(str(RECOIL))["Recoil_correction_QuantileMapFit"]
    u = np.linspace(-80, 60, 29)
    met = np.concatenate([turned(x, 3.0, BOSON[1]) for x in u])
    boson = np.repeat(cartesian([BOSON[0]], [BOSON[1]]), len(u), axis=0)
    after = recoil.met(met, boson, 2, "NLO", method="QuantileMapFit") @ turned(1, 0, BOSON[1])[0]
    wanted = raw.evaluate("NLO", 2.0, 40.0, "Upara", "DY", u)
    np.testing.assert_allclose(raw.evaluate("NLO", 2.0, 40.0, "Upara", "Data", after), wanted, atol=1e-9)


@real
def test_far_tails_of_fitted_distributions_are_rescaled(recoil):
    boson, far = cartesian([BOSON[0]], [BOSON[1]]), turned(-600.0, 500.0, BOSON[1])
    fitted, rescaled = (recoil.met(far, boson, 0, "NLO", method=m) for m in ("QuantileMapFit", "Rescaling"))
    np.testing.assert_allclose(fitted, rescaled)


@real
@pytest.mark.parametrize("systematic", VARIATIONS)
def test_variations_are_those_of_the_recoil_with_what_is_seen(recoil, systematic):
    raw = correctionlib.CorrectionSet.from_file(str(RECOIL))["Recoil_correction_Uncertainty"]
    boson, visible = cartesian([BOSON[0]], [BOSON[1]]), cartesian([25.0], [0.4])
    met = cartesian([33.0], [-2.0])
    nominal, varied = (recoil.met(met, boson, 1, "NLO", visible=visible, systematic=s) for s in ("nominal", systematic))
    along, across = turned(1, 0, BOSON[1])[0], turned(0, 1, BOSON[1])[0]
    h = -(nominal + visible)
    par = raw.evaluate("NLO", 1.0, 40.0, "Hpara", h @ along, systematic)
    perp = raw.evaluate("NLO", 1.0, 40.0, "Hperp", h @ across, systematic)
    np.testing.assert_allclose(varied, -(par[:, None] * along + perp[:, None] * across) - visible, rtol=1e-9)
    assert np.abs(varied - nominal).max() > 0.01


@real
def test_events_without_a_boson_stay_as_they_are(recoil):
    met = np.array([[10.0, 5.0], [np.nan, 1.0], [3.0, 4.0]])
    boson = np.array([[np.nan, np.nan], [20.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(recoil.met(met, boson, 0, "NLO"), met)


@real
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"order": "LO"}, CorrectionError, "has no QuantileMapHist for order 'LO'"),
        ({"method": "Quantile"}, UnknownName, "unknown method of .* 'Quantile'"),
        ({"systematic": "RespUpp"}, UnknownName, "unknown systematic 'RespUpp'"),
        ({"njets": -1}, CorrectionError, "3 events have no number of jets: the first is -1, expected 0 or more"),
    ],
)
def test_what_a_recoil_file_cannot_answer(recoil, given, error, message):
    with pytest.raises(error, match=message):
        recoil.met(**{"met": np.ones((3, 2)), "boson": np.ones((3, 2)), "njets": 0, "order": "NLO"} | given)


@real
@pytest.mark.parametrize("era", ["2016preVFP", "2016postVFP", "2017", "2018"])
@pytest.mark.parametrize(("kind", "name"), [("PFMET", "pfmet"), ("PuppiMET", "puppimet")])
@pytest.mark.parametrize("sample", ["data", "mc"])
def test_xy_of_run_2_gives_the_reference_values(era, kind, name, sample):
    file = f"met/met_{era}_UL.json"
    ending = f"metphicorr_{name}_{sample}"
    coordinates = {"pt": np.linalg.norm, "phi": lambda v: np.arctan2(v[1], v[0])}
    given = [(c, r) for c in coordinates for r in references(file, f"{c}_{ending}") if not isinstance(r["value"], str)]
    assert given
    for coordinate, reference in given:
        pt, phi, npv, run = reference["args"]
        found = published.load(DATA / file).met(cartesian([pt], [phi]), npv, sample, kind=kind, run=run)
        assert coordinates[coordinate](found[0]) == pytest.approx(reference["value"], rel=1e-9)


@real
@pytest.mark.parametrize("kind", ["PuppiMET", "MET"])
def test_xy_of_run_3_gives_the_reference_values(kind):
    wanted = [[*r["args"][1:], r["value"]] for r in references("met/met_xy", "met_xy") if r["args"][:2] == ["pt", kind]]
    assert wanted
    for _, era, sample, variation, pt, phi, npv, value in wanted:
        met = cartesian([pt], [phi])
        found = published.load(RUN_3).met(met, npv, sample.lower(), kind=kind, era=era, variation=variation)
        assert np.hypot(*found[0]) == pytest.approx(value)


@real
def test_what_an_xy_file_cannot_answer():
    met = np.ones((2, 2))
    with pytest.raises(CorrectionError, match="has several eras: expected era="):
        published.load(RUN_3).met(met, 30, "mc")
    with pytest.raises(CorrectionError, match="met_xy_corrections: "):
        published.load(RUN_3).met(met, 30, "mc", era="2033")
    with pytest.raises(UnknownName, match="unknown sample 'MC'"):
        published.load(RUN_3).met(met, 30, "MC", era="2022")
    with pytest.raises(CorrectionError, match="Index above bounds"):
        published.load(DATA / "met/met_2018_UL.json").met(7000 * met, 30, "data", kind="PFMET", run=315267)


@real
def test_files_of_something_else():
    with pytest.raises(CorrectionError, match="expected corrections of the recoil or of XY"):
        published.load(DATA / "lum/puWeights_2018_UL.json.gz")
    with pytest.raises(FileError, match="no such correction file"):
        published.load("none.json")


def test_a_file_that_is_no_json(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(CorrectionError, match="is not correctionlib JSON"):
        published.load(tmp_path / "a.json")


@given(st.lists(st.floats(-500, 500), min_size=1, max_size=20))
def test_a_rising_function_is_inverted(values):
    x = np.array(values)
    np.testing.assert_allclose(invert(np.arctan, np.arctan(x)), x, rtol=1e-6, atol=1e-9)
