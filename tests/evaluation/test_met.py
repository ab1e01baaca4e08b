import numpy as np
import pytest

from ptmiss import bootstrap
from ptmiss.evaluation import met


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 40, (3000, 2))
    return truth, {"pf": truth + rng.normal(1, 10, truth.shape), "mlpf": 0.8 * truth + rng.normal(0, 5, truth.shape)}


def test_widths_slope_and_tails_by_hand(vectors):
    truth, found = vectors
    npv = np.tile([3, 12], 1500)
    table = met.table(found, truth, npv, bootstrap.draws(3000, 40)).set_index(["axis", "low", "estimator"])
    row = table.loc[("inclusive", 0.0, "pf")]
    difference = found["pf"] - truth
    assert row["rms"] == pytest.approx(np.sqrt(difference.var(axis=0).mean()))
    assert row["rms_error"] == pytest.approx(10 / np.sqrt(4 * 3000), rel=0.4)
    low, high = np.quantile(difference, (0.16, 0.84), method="inverted_cdf")
    assert row["half_width"] == pytest.approx((high - low) / 2)
    assert row["bias_x"] == pytest.approx(difference[:, 0].mean())
    assert row["tail_30"] == pytest.approx((np.hypot(*difference.T) > 30).mean())
    assert table.loc[("inclusive", 0.0, "mlpf")]["slope"] == pytest.approx(0.8, abs=0.01)
    assert table.loc[("npv", 10.0, "pf")]["events"] == 1500
    ratio = table.loc[("inclusive", 0.0, "mlpf")]
    assert ratio["rms_vs_reference"] == pytest.approx(ratio["rms"] / row["rms"])
    assert met.reference("targets_puppi") == "puppi"


def test_response_and_distribution(vectors):
    truth, found = vectors
    drawn = bootstrap.draws(3000, 10)
    size = np.hypot(*truth.T)
    cell = (size >= 60) & (size < 80)
    table = met.responses(found, truth, drawn).set_index(["low", "estimator"])
    ratio = np.hypot(*found["pf"][cell].T) / size[cell]
    assert table.loc[(60, "pf")]["response"] == pytest.approx(np.quantile(ratio, 0.5, method="inverted_cdf"))
    spectrum = met.distribution(found, truth, drawn).set_index(["estimator", "low"])
    assert spectrum.loc[("generated", 60)]["share"] == pytest.approx(((size >= 60) & (size < 70)).mean())
    assert spectrum.loc[("generated", 60)]["beyond"] == pytest.approx((size >= 60).mean())
    assert spectrum.loc[("pf", 0)]["beyond"] == 1


def test_what_holds_back_gains_nothing_at_equal_response():
    """Four fifths of every vector of PF are nearer to a small truth, and at equal response as wide as PF's."""
    rng = np.random.default_rng(1)
    n, drawn = 3000, bootstrap.draws(3000, 20)
    truth, pile_up = rng.normal(0, 3, (n, 2)), rng.normal(0, 15, (n, 2))
    ideal, noise = truth + pile_up, rng.normal(0, 12, (n, 2))
    found = {"targets": ideal, "pf": ideal + noise, "mlpf": 0.8 * (ideal + noise), "oracle": ideal + noise / 2}
    row = met.table(found, truth, np.zeros(n), drawn).query("axis == 'inclusive'").set_index("estimator")
    assert row.loc["mlpf", "half_width_oracle_gain"] > 0.7
    assert row.loc["mlpf", "half_width_corrected_oracle_gain"] == pytest.approx(0, abs=1e-9)
    assert row.loc["mlpf", "half_width_corrected_oracle_gain_error"] == pytest.approx(0, abs=1e-9)
    assert row.loc["oracle", "half_width_corrected_oracle_gain"] == 1
    assert row.loc["mlpf", "response"] == pytest.approx(0.8 * row.loc["pf", "response"])
    assert row.loc["pf", "response"] == pytest.approx(1, abs=0.03)
    expected = np.hypot(15, 12)
    assert row.loc["pf", "half_width_corrected"] == pytest.approx(expected, rel=0.03)
    assert "response" not in met.table({"pf": ideal}, truth, np.zeros(n), drawn)
