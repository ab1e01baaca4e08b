import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from ptmiss import corrections
from ptmiss.calibration import calibrate, closure, export, sources

from . import toys


def test_sources_of_uncertainty_add_in_quadrature_and_up_and_down_are_one():
    shifts = {"stat_0": 3.0, "stat_7": 4.0, "gaussians": 2.0, "background_up": 1.0, "background_down": -1.0}
    found = closure.by_source(shifts)
    assert found == pytest.approx({"statistical": 5.0, "Gaussians": 2.0, "background": 1.0})
    assert closure.quadratic(shifts) == pytest.approx(np.sqrt(25 + 4 + 1))


def test_the_summary_is_a_chi2_of_each_quantity():
    table = pd.DataFrame({"estimator": "pf", "quantity": ["response"] * 2 + ["rms_par"], "systematic": [0.03, 0, 0]})
    table["before"], table["before_error"] = [1.1, 0.8, 1.0], [0.05, 0.1, 0.1]
    table["matched"], table["matched_error"] = [1.05, 0.9, 1.0], [0.05, 0.1, 0.1]
    table["after"], table["after_error"] = [1.04, 1.1, 1.0], [0.04, 0.1, 0.1]
    found = closure.summary(table).set_index("quantity").loc["response"]
    assert found["regions"] == 2
    assert found["chi2_before"] == pytest.approx(4 + 4)
    assert found["chi2_matched"] == pytest.approx(1 + 1)
    assert found["chi2_after"] == pytest.approx(1 + 1)
    assert found["chi2_after_total"] == pytest.approx(0.04**2 / 0.05**2 + 1)
    assert found["p_after"] == pytest.approx(chi2.sf(2, 2))
    assert found["mean_after"] == pytest.approx((1.04 / 0.04**2 + 1.1 / 0.1**2) / (1 / 0.04**2 + 1 / 0.1**2))


def test_a_sample_agrees_with_itself_before_the_correction(calibration, correction_file, tables):
    mc = sources.read(str(tables["mc"]))
    table = closure.tabulate(closure.compare(mc, mc, [], corrections.load(correction_file)))
    np.testing.assert_allclose(table["before"], 1, atol=1e-9)
    assert table["matched"].median() == pytest.approx(1, abs=0.05)  # the weights are those for other data
    assert set(table["quantity"]) == set(closure.QUANTITIES)
    assert (table["derivation"] <= table["systematic"]).all()


def closed(directory, seed):
    """Closure on half of a toy's events of a calibration derived from the other half."""
    directory.mkdir()
    paths = toys.write_all(directory, 12_000, seed, top=300)
    data, mc = (sources.read(str(paths[name])) for name in ("data", "mc"))
    top = [sources.background(f"{paths['top']}={1 / 6}", data)]
    found = calibrate.derive(data.part(0, 2), mc.part(0, 2), top, ["puppi"], minimum=1500)
    (directory / "c.json.gz").write_bytes(export.compressed(export.correction_set(found)))
    applied = corrections.load(directory / "c.json.gz")
    return closure.tabulate(closure.compare(data.part(1, 2), mc.part(1, 2), top, applied))


@pytest.mark.slow
def test_pulls_of_the_closure_over_toys_have_a_width_near_one(tmp_path):
    """Each toy is calibrated with one half of its events and tested on the other: error of both is the whole error."""
    table = pd.concat([closed(tmp_path / str(seed), seed) for seed in range(100, 110)])
    of_events, whole = table["after_error"], np.hypot(table["after_error"], table["derivation"])
    alone, pulls = (((table["after"] - 1) / error).clip(-5, 5) for error in (of_events, whole))
    before = (table["before"] - 1) / table["before_error"]
    assert np.sqrt((before**2).mean()) > 2
    assert 0.8 < np.sqrt((pulls**2).mean()) < 1.2
    assert np.sqrt((alone**2).mean()) > np.sqrt((pulls**2).mean())
