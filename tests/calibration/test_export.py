import gzip
import json

import correctionlib
import numpy as np
import pytest
from correctionlib import schemav2

from ptmiss import recoil
from ptmiss.calibration import cms, export
from ptmiss.calibration.variations import STATISTICAL
from ptmiss.corrections import published

QT, U = np.array([6.0, 30.0, 200.0]), np.linspace(-150, 200, 701)
SYSTEMATICS = {"nominal", "smoothing", "gaussians", "njets_inclusive", "background_up", "background_down", *STATISTICAL}


def evaluators(content):
    return correctionlib.CorrectionSet.from_string(gzip.decompress(content).decode())


@pytest.fixture(scope="module")
def content(calibration):
    return export.compress(export.correction_set(calibration))


def test_the_file_is_valid_and_the_same_bytes_every_time(calibration, content):
    found = schemav2.CorrectionSet.model_validate_json(gzip.decompress(content))
    names = {"puppi_u_par", "puppi_u_perp", "puppi_xy", "puppi_response", "npv_weight"}
    assert {correction.name for correction in found.corrections} == names
    assert export.compress(found) == export.compress(found) == content
    assert content[4:8] == bytes(4)
    sentence, record = found.description.split("\n")
    assert sentence.startswith("Hadronic recoil of puppi, derived by ptmiss ")
    made = json.loads(record)
    assert made["systematics"][0] == "nominal"
    assert set(made["systematics"]) == SYSTEMATICS
    assert made["inputs"]["data"]["sha256"] != made["inputs"]["mc"]["sha256"]
    assert len(record) < 4000  # correctionlib's summary prints it
    derived, made = calibration.derivations["puppi_u_par"], export.details(calibration)
    assert made["binning"]["puppi_u_par"]["njets"] == derived.classes
    assert made["statistical_held"]["puppi_u_par"] == pytest.approx(derived.held, abs=1e-4)
    rows = [row for row in export.law_rows(derived) if row["fit"] == "nominal" and row["component"] == "par"]
    assert len(rows) == 2 * np.count_nonzero(derived.law("mc").free)


@pytest.mark.parametrize("component", ["par", "perp"])
def test_correctionlib_gives_the_maps_that_were_derived(calibration, content, component):
    correction = evaluators(content)[f"puppi_u_{component}"]
    derived = calibration.derivations[f"puppi_u_{component}"]
    for systematic in derived.systematics:
        for qt in QT:
            for number, (njets, _) in enumerate(derived.classes):
                taken_off = qt if component == "par" else 0.0
                expected = derived.map(systematic, qt, number, U - taken_off) + taken_off
                found = correction.evaluate(qt, njets, U, systematic)
                np.testing.assert_allclose(found, expected, atol=1e-3)
                assert np.all(np.diff(found) >= -1e-3)


def test_the_last_bin_goes_on(content):
    correction = evaluators(content)["puppi_u_perp"]
    for inside, outside in (((999.0, 0), (5000.0, 0)), ((30.0, 2), (30.0, 9))):
        assert correction.evaluate(*inside, 10.0, "nominal") == correction.evaluate(*outside, 10.0, "nominal")
    far = correction.evaluate(30.0, 0, np.array([-1e4, 1e4]), "nominal")
    assert np.all(np.isfinite(far))


def test_it_does_not_jump_at_any_edge(calibration, content):
    correction, grid = evaluators(content)["puppi_u_perp"], calibration.derivations["puppi_u_perp"].nominal
    around = np.sort(np.concatenate([np.nextafter(grid.x, -np.inf), grid.x, np.nextafter(grid.x, np.inf)]))
    found = correction.evaluate(5.5, 0, around, "nominal")
    assert np.abs(np.diff(found.reshape(-1, 3), axis=1)).max() < 1e-3
    inside = grid.qt[1:-1]
    for side in (np.nextafter(inside, 0), np.nextafter(inside, 1e9)):
        at = correction.evaluate(inside, 0, 17.0, "nominal")
        np.testing.assert_allclose(correction.evaluate(side, 0, 17.0, "nominal"), at, atol=1e-3)


def test_an_estimator_is_less_than_a_megabyte(content):
    assert len(content) < 1e6
    assert len(gzip.decompress(content)) < 5e6


def test_the_layout_of_cms(calibration, content):
    layout = cms.correction_set(calibration, "puppi", "2018", "NLO")
    schemav2.CorrectionSet.model_validate_json(layout.model_dump_json(exclude_unset=True))
    found, own = evaluators(export.compress(layout)), evaluators(content)
    mapped = found["Recoil_correction_QuantileMapHist"].evaluate("2018", "NLO", 1.0, 30.0, "Upara", U - 30)
    np.testing.assert_allclose(mapped, own["puppi_u_par"].evaluate(30.0, 1, U, "nominal") - 30, atol=1e-6)
    inputs = [variable.name for variable in found["Recoil_correction_Uncertainty"].inputs]
    assert inputs == ["era", "order", "njet", "ptll", "var", "val", "syst"]
    derivation = calibration.derivations["puppi_u_perp"]
    law, target = (derivation.law(sample).at([5.5], [0]) for sample in ("mc", "data"))
    value = law.mean[0] + law.rms[0]
    moved = found["Recoil_correction_Rescaling"].evaluate("2018", "NLO", 0.0, 5.5, "Uperp", value)
    assert moved == pytest.approx(target.mean[0] + target.rms[0], abs=0.1)


def test_fitted_distributions_of_cms_are_inverted_by_their_reader(calibration, tmp_path):
    """In the middle between two nodes of qT the map is that from one law to the other."""
    path = tmp_path / "cms.json.gz"
    path.write_bytes(export.compress(cms.correction_set(calibration, "puppi", "2018", "NLO")))
    correction = published.load(path)
    assert correction.methods == ["QuantileMapHist", "QuantileMapFit", "Rescaling"]
    fit = correction.set["Recoil_correction_QuantileMapFit"]
    assert [given.name for given in fit.inputs] == ["era", "order", "njet", "ptll", "var", "kind", "val"]
    derivation = calibration.derivations["puppi_u_par"]
    qt = float(derivation.nominal.qt[4:6].mean())
    simulated, recorded = (derivation.law(sample).at([qt], [1]) for sample in ("mc", "data"))
    x = np.linspace(-2, 2, 9) * simulated.rms[0]
    for kind, law in (("DY", simulated), ("Data", recorded)):
        np.testing.assert_allclose(fit.evaluate("2018", "NLO", 1.0, qt, "Upara", kind, x), law.cdf(x)[0], atol=1e-9)
    boson = np.tile([qt, 0.0], (len(x), 1))
    met = recoil.met_from_recoil(qt + x, np.zeros(len(x)), boson, None)
    moved = recoil.recoil(boson, correction.met(met, boson, 1, "NLO", method="QuantileMapFit", era="2018"), None)
    np.testing.assert_allclose(recorded.cdf(moved.u_par - qt)[0], simulated.cdf(x)[0], atol=1e-6)


def test_uncertainties_of_cms_shift_the_mean_and_stretch_the_width(calibration):
    found = evaluators(export.compress(cms.correction_set(calibration, "puppi", "2018", "NLO")))
    derivation = calibration.derivations["puppi_u_par"]
    mean, shift, stretch = derivation.uncertainty(derivation.cells[0])

    def varied(value, systematic, variable="Hpara"):
        return found["Recoil_correction_Uncertainty"].evaluate("2018", "NLO", 0.0, 5.5, variable, value, systematic)

    centre = -5.5 - mean
    assert varied(centre, "RespUp") == pytest.approx(centre - shift, abs=1e-4)
    assert varied(centre, "RespDown") == pytest.approx(centre + shift, abs=1e-4)
    assert varied(centre, "ResolUp") == pytest.approx(centre, abs=1e-4)
    assert varied(centre + 10, "ResolUp") - centre == pytest.approx(10 * (1 + stretch), abs=1e-3)
    assert varied(3.0, "RespUp", "Hperp") == pytest.approx(3.0, abs=1e-4)
