import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptmiss.evaluation import vertex

WAYS = ("default", "lepton")


def frame(n, estimators=("pf", "puppi"), seed=0):
    """Residuals of events with a single muon, each way, GeV."""
    rng = np.random.default_rng(seed)
    names = [f"{way}_{name}_{axis}" for way in WAYS for name in estimators for axis in "xy"]
    return pd.DataFrame({name: rng.normal(0, 10, n) for name in names})


def test_events_without_a_boson_are_among_all_events_and_in_no_bin():
    frame = pd.DataFrame({"boson_pt": [3.0, 3.0, np.nan, np.nan], "right": [True, False, False, False]})
    table = vertex.fractions({"W": frame})
    assert table["events"].tolist() == [2, 0, 0, 0, 0, 0, 0, 4]
    assert table["wrong"].iloc[-1] == 3


def test_widths_are_those_of_both_components():
    events = frame(3000)
    row = vertex.widths(events, ["pf"], WAYS).set_index("way").loc["default"]
    residuals = events[["default_pf_x", "default_pf_y"]].to_numpy().ravel()
    assert row["rms"] == pytest.approx(residuals.std(), rel=1e-9)
    assert row["half_width"] == pytest.approx(np.diff(np.quantile(residuals, [0.16, 0.84]))[0] / 2, rel=0.01)
    assert row["rms_error"] == pytest.approx(10 / np.sqrt(2 * 6000), rel=0.25)
    assert row["rms_vs_default"] == 1
    assert row["rms_vs_default_error"] == 0


@given(st.permutations(["pf", "puppi", "track"]), st.integers(0, 4))
@settings(max_examples=5)
def test_order_of_estimators_changes_nothing_and_few_events_give_no_warning(order, n):
    """No event at all, as in a sample whose vertices are all right, and one event."""
    events = frame(n, order)
    found, expected = (
        vertex.widths(events, names, WAYS).set_index(["estimator", "way"]) for names in (order, sorted(order))
    )
    pd.testing.assert_frame_equal(found.loc[expected.index], expected)
    assert (found["events"] == n).all()
    assert found["rms"].isna().all() == (n == 0)


def test_an_event_without_one_estimator_counts_for_none():
    events = frame(200)
    broken = events.copy()
    broken.loc[:19, "lepton_puppi_x"] = np.nan
    found, expected = vertex.widths(broken, ["pf", "puppi"], WAYS), vertex.widths(events[20:], ["pf", "puppi"], WAYS)
    assert (found["left_out"] == 20).all()
    pd.testing.assert_frame_equal(found.drop(columns="left_out"), expected.drop(columns="left_out"))
