import gzip
import json

import correctionlib
import numpy as np
import pytest
from correctionlib import schemav2

from ptmiss.calibration import cms, export
from ptmiss.calibration.binning import Cell
from ptmiss.calibration.gaussians import mixture
from ptmiss.calibration.quantile_corrections import STATISTICAL, QuantileCorrection
from ptmiss.calibration.quantiles import quantile_map

QT, U = np.array([6.0, 30.0, 200.0]), np.linspace(-150, 200, 701)


def evaluators(content):
    return correctionlib.CorrectionSet.from_string(gzip.decompress(content).decode())


@pytest.fixture(scope="module")
def content(calibration):
    return export.compressed(export.correction_set(calibration))


def test_the_file_is_valid_and_the_same_bytes_every_time(calibration, content):
    found = schemav2.CorrectionSet.model_validate_json(gzip.decompress(content))
    names = {"puppi_u_par", "puppi_u_perp", "puppi_xy", "puppi_response", "npv_weight"}
    assert {correction.name for correction in found.corrections} == names
    assert export.compressed(found) == export.compressed(found) == content
    assert content[4:8] == bytes(4)
    made = json.loads(found.description)
    assert made["systematics"][0] == "nominal"
    assert {"smoothing", "gaussians", "njets_inclusive", "background_up", "background_down", *STATISTICAL} < set(
        made["systematics"]
    )
    assert made["inputs"]["data"]["sha256"] != made["inputs"]["mc"]["sha256"]
    assert made["binning"]["puppi_u_par"] == [
        [*c.qt, *c.njets_bins] for c in calibration.derivations["puppi_u_par"].cells
    ]


@pytest.mark.parametrize("component", ["par", "perp"])
def test_correctionlib_gives_the_maps_that_were_derived(calibration, content, component):
    correction = evaluators(content)[f"puppi_u_{component}"]
    derivation = calibration.derivations[f"puppi_u_{component}"]
    for systematic in derivation.maps:
        for qt in QT:
            for cell, part in zip(derivation.cells_of(systematic), derivation.maps[systematic], strict=True):
                if cell.qt[0] <= qt < cell.qt[1] and cell.njets_bins[0] == 0:
                    taken_off = qt if component == "par" else 0.0
                    expected = part(U - taken_off) + taken_off
                    found = correction.evaluate(qt, 0, U, systematic)
                    np.testing.assert_allclose(found, expected, atol=0.02 if systematic == "smoothing" else 1e-3)
                    assert np.all(np.diff(found) >= 0)


def test_the_last_bin_goes_on(content):
    correction = evaluators(content)["puppi_u_perp"]
    for inside, outside in (((999.0, 0), (5000.0, 0)), ((30.0, 2), (30.0, 9))):
        assert correction.evaluate(*inside, 10.0, "nominal") == correction.evaluate(*outside, 10.0, "nominal")
    far = correction.evaluate(30.0, 0, np.array([-1e4, 1e4]), "nominal")
    assert np.all(np.isfinite(far))


def test_it_is_monotone_next_to_every_edge(calibration, content):
    correction = evaluators(content)["puppi_u_perp"]
    knots = np.round(calibration.derivations["puppi_u_perp"].maps["nominal"][0].x, 3)
    around = np.sort(np.concatenate([np.nextafter(knots, -np.inf), knots, np.nextafter(knots, np.inf)]))
    found = correction.evaluate(5.5, 0, around, "nominal")
    assert np.all(np.diff(found) >= 0)
    assert np.abs(np.diff(found.reshape(-1, 3), axis=1)).max() < 1e-4


def test_thirty_cells_and_fourteen_variations_are_a_megabyte():
    rng = np.random.default_rng(0)
    cells = [Cell((i, i + 1), (0, 3)) for i in range(30)]
    laws = [mixture([*rng.normal(0, 2, 2), rng.uniform(8, 12), rng.uniform(1.6, 2.4), 0.7]) for _ in range(60)]
    nominal = [quantile_map(*pair) for pair in zip(laws[:30], laws[30:], strict=True)]
    maps = {"nominal": nominal}
    for i in range(13):
        maps[f"stat_{i}"] = [part.moved(0.1 * np.sin(part.x / 20 + i) + 0.01 * i) for part in nominal]
    one = export.quantile_correction(QuantileCorrection("puppi", "par", cells, cells, {}, maps))
    assert len(export.compressed(schemav2.CorrectionSet(schema_version=2, corrections=[one]))) < 1e6


def test_the_layout_of_cms(calibration, content):
    layout = cms.correction_set(calibration, "puppi", "2018", "NLO")
    schemav2.CorrectionSet.model_validate_json(layout.model_dump_json(exclude_unset=True))
    found, own = evaluators(export.compressed(layout)), evaluators(content)
    mapped = found["Recoil_correction_QuantileMapHist"].evaluate("2018", "NLO", 1.0, 30.0, "Upara", U - 30)
    np.testing.assert_allclose(mapped, own["puppi_u_par"].evaluate(30.0, 1, U, "nominal") - 30, atol=1e-6)
    inputs = [variable.name for variable in found["Recoil_correction_Uncertainty"].inputs]
    assert inputs == ["era", "order", "njet", "ptll", "var", "val", "syst"]
    derivation = calibration.derivations["puppi_u_perp"]
    law, target = derivation.fits["mc"][0].law, derivation.fits["data"][0].law
    moved = found["Recoil_correction_Rescaling"].evaluate("2018", "NLO", 0.0, 5.5, "Uperp", law.mean + law.rms)
    assert moved == pytest.approx(target.mean + target.rms, abs=1e-3)


def test_uncertainties_of_cms_shift_the_mean_and_stretch_the_width(calibration):
    found = evaluators(export.compressed(cms.correction_set(calibration, "puppi", "2018", "NLO")))
    mean, shift, stretch = calibration.derivations["puppi_u_par"].uncertainty(0)

    def varied(value, systematic, variable="Hpara"):
        return found["Recoil_correction_Uncertainty"].evaluate("2018", "NLO", 0.0, 5.5, variable, value, systematic)

    centre = -5.5 - mean
    assert varied(centre, "RespUp") == pytest.approx(centre - shift, abs=1e-4)
    assert varied(centre, "RespDown") == pytest.approx(centre + shift, abs=1e-4)
    assert varied(centre, "ResolUp") == pytest.approx(centre, abs=1e-4)
    assert varied(centre + 10, "ResolUp") - centre == pytest.approx(10 * (1 + stretch), abs=1e-3)
    assert varied(3.0, "RespUp", "Hperp") == pytest.approx(3.0, abs=1e-4)
    assert 0 < shift < 2
    assert 0 < stretch < 0.2
