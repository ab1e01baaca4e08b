import numpy as np
import pandas as pd
import pytest

pytest.importorskip("zuko")

from ptmiss.calibration import sources
from ptmiss.calibration.flow import agreement, report, toys
from ptmiss.calibration.panels import UNNAMED
from ptmiss.models.recoilflow.events import Events

from .conftest import calibration_of

CONTEXT = ("qt", "njets", "npv")


def events(n=4000, wanted="data"):
    parts = [toys.draw("mc", n, 1), toys.draw(wanted, n, 2)]
    context = [np.stack([toy.context[name] for name in CONTEXT], axis=1) for toy in parts]
    side = np.repeat([False, True], n)
    return Events(np.concatenate([toy.u for toy in parts]), np.concatenate(context), side, np.ones(2 * n))


def test_spectra_of_what_no_map_changes_are_made_those_of_data():
    both = events()
    mc, data = both.select(~both.data), both.select(both.data)
    kept = mc.select(mc.context[:, 0] < 40 + 40 * np.random.default_rng(1).random(len(mc)))
    factors = agreement.match(kept, data, CONTEXT)
    assert np.average(kept.context[:, 0], weights=factors) == pytest.approx(data.context[:, 0].mean(), rel=0.2)
    jets = [np.average(e.context[:, 1] == 0, weights=w) for e, w in ((kept, factors), (data, data.weights))]
    assert jets[0] == pytest.approx(jets[1], abs=0.02)


def test_correlations_of_weighted_events_are_those_of_events_repeated():
    rng = np.random.default_rng(2)
    u, times = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3)), rng.integers(0, 4, 500)
    np.testing.assert_allclose(agreement.matrix(u, times.astype(float)), np.corrcoef(np.repeat(u, times, axis=0).T))


@pytest.mark.slow
def test_a_calibration_is_compared_with_events_that_it_has_not_seen(joint_tables, tmp_path):
    data, mc = (sources.read(str(joint_tables[name])) for name in ("data", "mc"))
    made = calibration_of(data, mc)
    report.write_agreement(made, data, mc, [], tmp_path, UNNAMED)
    areas, pairs = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("joint", "joint_correlations"))
    assert list(areas["map"]) == list(agreement.MAPS)
    assert areas["area"][0] > 0.54
    assert (areas["area_error"] < 0.02).all()
    pair = pairs.set_index(["first", "second"]).loc[("pf_u_par", "puppi_u_par")]
    assert pair["data"] == pytest.approx(0.75, abs=0.05)
    assert pair["none"] == pytest.approx(0.45, abs=0.07)
    assert (tmp_path / "joint.svg").is_file()
