"""Shuffled inputs: what changes, what must not, and what the loss is."""

import numpy as np
import pytest

from ptmiss.estimators import make_estimators
from ptmiss.explanation import importance
from ptmiss.networks.inputs import Inputs
from ptmiss.recoil import Recoil


@pytest.fixture
def inputs(sample):
    return Inputs.from_candidates(sample.candidates)


@pytest.mark.parametrize("name", importance.INPUTS)
def test_one_input_is_shuffled_and_the_others_stay(name, inputs, sample):
    charged = sample.candidates["charge"] != 0
    order = importance.orders(charged, np.random.default_rng(0))
    np.testing.assert_array_equal(charged[order], charged)
    assert sorted(order) == list(range(len(order)))
    found = importance.INPUTS[name](inputs, order)
    pt, (px, py) = found.features[:, 4], found.features[:, 6:8].T
    np.testing.assert_allclose(np.hypot(px, py), pt, rtol=1e-4)  # the momentum stays one
    before, after = (np.stack(np.unravel_index(i.rows, importance.SIZES)) for i in (inputs, found))
    changed = {
        category for category, a, b in zip(("charge", "pdgId", "fromPV"), before, after, strict=True) if (a != b).any()
    }
    assert changed == {"fromPV": {"fromPV"}, "pdgId": {"charge", "pdgId"}}.get(name, set())
    moved = {i for i in range(8) if not np.allclose(found.features[:, i], inputs.features[:, i], rtol=1e-4)}
    assert moved == {
        "pt": {4, 6, 7},
        "phi": {6, 7},
        "eta": {2},
        "dz": {1},
        "dxy": {0},
        "mass": {3},
        "puppiWeight": {5},
    }.get(name, set())


def test_what_a_network_does_not_see_is_worth_nothing(sample):
    (linear,) = make_estimators("linear")
    found = importance.recoils(linear, sample)
    rows = importance.tabulate(found, sample.weight, replicas=10).set_index("input")
    for name in ("dz", "dxy", "mass", "phi"):
        assert rows.loc[name, "moved_par"] == pytest.approx(0, abs=1e-4)
        assert rows.loc[name, "loss_perp"] == pytest.approx(0, abs=1e-5)
    assert rows.loc["pdgId", "moved_par"] > 1


def test_the_loss_is_that_of_widths_over_responses():
    rng = np.random.default_rng(2)
    qt = rng.uniform(10, 50, 500)
    perp = rng.normal(0, 3, 500)
    one = Recoil(qt + rng.normal(0, 5, 500), perp, qt)
    other = Recoil(0.5 * one.u_par, perp, qt)  # half the response, the same relative width along
    recoils = dict.fromkeys(importance.INPUTS, other) | {importance.NOMINAL: one}
    rows = importance.tabulate(recoils, np.ones(500), replicas=20)
    np.testing.assert_allclose(rows["loss_par"], 0, atol=1e-9)
    np.testing.assert_allclose(rows["loss_perp"], 1, atol=1e-9)
    np.testing.assert_allclose(rows["loss_perp_error"], 0, atol=1e-9)  # paired
