import numpy as np
import pytest

pytest.importorskip("fastjet")

from ptmiss import bootstrap
from ptmiss.candidates import Candidates
from ptmiss.evaluation import jets
from ptmiss.jets import Jets


def generated(n, pt=50.0):
    return Jets(np.full(n, pt), np.linspace(-2, 2, n), np.zeros(n), np.zeros(n), np.ones(n, np.int64))


def test_resolution_and_response_are_those_of_the_ratios():
    rng = np.random.default_rng(0)
    truth = generated(400)
    found = truth._replace(pt=50 * rng.normal(0.9, 0.1, 400), phi=np.where(np.arange(400) < 40, 1.0, 0.05))
    pairs = jets.pairs(truth, found)
    table = jets.table({("mlpf", "chs"): pairs, ("pf", "chs"): pairs}, bootstrap.draws(400, 30))
    row = table[(table["region"] == "all") & (table["low"] == 40) & (table["estimator"] == "mlpf")].iloc[0]
    low, median, high = np.quantile(found.pt[40:] / 50, (0.25, 0.5, 0.75), method="inverted_cdf")
    assert row["n"] == 400
    assert row["matched"] == pytest.approx(0.9)
    assert row["response"] == pytest.approx(median)
    assert row["resolution"] == pytest.approx((high - low) / median)
    assert (row["resolution_vs_pf"], row["resolution_vs_pf_error"]) == (1, 0)
    wide = table[(table["region"] == "all") & (table["low"] == 20)].iloc[0]
    assert wide["resolution"] == pytest.approx(row["resolution"])


def test_a_window_is_kept():
    truth, found = generated(1), generated(1)._replace(phi=np.asarray([0.15]))
    assert np.isfinite(jets.pairs(truth, found).ratio).all()
    assert np.isnan(jets.pairs(truth, found, 0.1).ratio).all()


def test_chs_leaves_out_tracks_of_other_vertices_and_puppi_weighs():
    columns = {
        "pt": [20, 10, 10],
        "eta": [0, 0, 0],
        "phi": [0, 0, 0],
        "mass": [0, 0, 0],
        "charge": [1, 1, 0],
        "fromPV": [3, 0, 3],
        "puppiWeight": [1, 0, 0.5],
    }
    made = Candidates({name: np.asarray(values, np.float32) for name, values in columns.items()}, np.asarray([0, 3, 3]))
    assert jets.of_candidates(made, "chs").pt.tolist() == pytest.approx([30])
    puppi = jets.of_candidates(made, "puppi")
    assert puppi.pt.tolist() == pytest.approx([25])
    assert puppi.counts.tolist() == [1, 0]


def test_bins_with_few_jets_have_no_row():
    assert jets.table({("pf", "chs"): jets.pairs(generated(10), generated(10))}, bootstrap.draws(10, 5)).empty
