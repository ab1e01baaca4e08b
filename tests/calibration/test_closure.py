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


def test_the_summary_is_a_chi2_with_the_covariance_between_regions():
    table = pd.DataFrame({"estimator": "pf", "quantity": ["response"] * 2 + ["rms_par"]})
    table["before"], table["before_error"] = [1.1, 0.8, 1.0], [0.05, 0.1, 0.1]
    table["matched"], table["matched_error"] = [1.05, 0.9, 1.0], [0.05, 0.1, 0.1]
    table["after"], table["after_error"] = [1.04, 1.1, 1.0], [0.04, 0.1, 0.1]
    table["shift_stat_0"], table["shift_smoothing"] = [0.03, 0.06, 0.0], [0.02, -0.01, 0.0]
    table["shift_background_up"], table["shift_background_down"] = [0.01, 0.02, 0.0], [-0.01, -0.02, 0.0]
    found = closure.summary(table).set_index("quantity").loc["response"]
    assert found["regions"] == 2
    assert found["chi2_before"] == pytest.approx(4 + 4)
    assert found["chi2_matched"] == pytest.approx(1 + 1)
    events, away = np.diag([0.04**2, 0.1**2]), np.array([0.04, 0.1])
    shared = events + np.outer([0.03, 0.06], [0.03, 0.06])
    assert found["chi2_after"] == pytest.approx(away @ np.linalg.inv(shared) @ away)
    assert found["p_after"] == pytest.approx(chi2.sf(found["chi2_after"], 2))
    whole = shared + np.outer([0.02, -0.01], [0.02, -0.01]) + np.outer([0.01, 0.02], [0.01, 0.02])
    assert found["chi2_total"] == pytest.approx(away @ np.linalg.inv(whole) @ away)
    assert found["mean_after"] == pytest.approx((1.04 / 0.04**2 + 1.1 / 0.1**2) / (1 / 0.04**2 + 1 / 0.1**2))


@pytest.mark.slow
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
    found = calibrate.derive(data.part(0, 2), mc.part(0, 2), top, ["puppi"])
    (directory / "c.json.gz").write_bytes(export.compress(export.correction_set(found)))
    applied = corrections.load(directory / "c.json.gz")
    return closure.tabulate(closure.compare(data.part(1, 2), mc.part(1, 2), top, applied))


@pytest.mark.slow
def test_probabilities_of_the_closure_are_flat_over_toys(tmp_path):
    """Each toy is calibrated with one half of its events and tested on the other."""
    tables = [closed(tmp_path / str(seed), seed) for seed in range(100, 112)]
    found = pd.concat([closure.summary(table) for table in tables])
    assert found["p_before"].max() < 0.5
    assert found["p_after"].mean() == pytest.approx(0.5, abs=0.12)
    assert 0.15 < found["p_after"].std() < 0.4
    table = pd.concat(tables)
    pulls = (table["after"] - 1) / np.hypot(table["after_error"], table["derivation"])
    assert 0.85 < np.sqrt((pulls**2).mean()) < 1.15
