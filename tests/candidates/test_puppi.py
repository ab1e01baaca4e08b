from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from ptmiss.candidates import puppi


def _one_event(pt, eta, phi, origin, npv=0, tune=puppi.RUN2):
    return puppi.weights(
        *(np.array(column) for column in (pt, eta, phi, origin)), np.array([0, len(pt)]), np.array([npv]), tune
    )


@pytest.fixture(scope="module")
def crowd():
    """An event: soft pile-up everywhere, a hard jet of charged and neutral particles at (0.5, 0.5)."""
    rng = np.random.default_rng(1)
    n = 800
    pt, eta, phi = rng.exponential(0.7, n), rng.uniform(-4, 4, n), rng.uniform(-np.pi, np.pi, n)
    origin = np.where((np.abs(eta) < 2.5) & (rng.random(n) < 0.6), puppi.PILEUP, puppi.NEUTRAL)
    jet = 20
    pt = np.concatenate([pt, rng.exponential(8, jet)])
    eta, phi = np.concatenate([eta, rng.normal(0.5, 0.1, jet)]), np.concatenate([phi, rng.normal(0.5, 0.1, jet)])
    origin = np.concatenate([origin, np.where(np.arange(jet) < 12, puppi.PRIMARY, puppi.NEUTRAL)])
    return pt, eta, phi, origin


def test_charged_origin_by_fit_then_by_dz():
    charge, from_pv, dz = (
        np.array([0, 1, -1, 1, 1, -1]),
        np.array([3, 3, 0, 2, 1, 1]),
        np.array([0, 9, 0, 0.29, -0.31, 0.1]),
    )
    assert puppi.charged_origin(charge, from_pv, dz).tolist() == [0, 1, 2, 1, 2, 1]


def test_jet_neutrals_are_kept_and_pileup_is_not(crowd):
    pt, _, _, origin = crowd
    weight = _one_event(*crowd, npv=20)
    soft = np.arange(len(pt)) < 800
    neutral = origin == puppi.NEUTRAL
    assert np.average(weight[neutral & ~soft], weights=pt[neutral & ~soft]) > 0.8
    assert np.average(weight[neutral & soft], weights=pt[neutral & soft]) < 0.15
    assert set(weight[origin == puppi.PRIMARY]) == {1.0}
    assert set(weight[origin == puppi.PILEUP]) == {0.0}


def test_alpha_is_that_of_a_double_loop(crowd):
    pt, eta, phi, origin = crowd
    charged = origin == puppi.PRIMARY
    found = puppi._alpha(pt[:, np.newaxis], eta, phi, np.ones(len(pt), bool), charged, 0.4, 0.01)[:, 0]
    for i in range(len(pt)):
        distance2 = (eta[charged] - eta[i]) ** 2 + np.angle(np.exp(1j * (phi[charged] - phi[i]))) ** 2
        near = (distance2 >= 1e-4) & (distance2 < 0.16)
        total = np.sum(pt[charged][near] ** 2 / distance2[near])
        assert found[i] == pytest.approx(np.log(total) if total else 0.0)


def test_the_order_of_candidates_and_a_rotation_do_not_matter(crowd):
    weight = _one_event(*crowd, npv=20)
    order = np.random.default_rng(2).permutation(len(weight))
    pt, eta, phi, origin = (column[order] for column in crowd)
    turned = np.angle(np.exp(1j * (phi + 2.0)))
    assert _one_event(pt, eta, turned, origin, npv=20) == pytest.approx(weight[order], abs=1e-5)


def test_events_do_not_see_each_other(crowd):
    alone = _one_event(*crowd, npv=20)
    pt, eta, phi, origin = (np.concatenate([column, column]) for column in crowd)
    offsets = np.array([0, len(alone), len(alone), 2 * len(alone)])
    together = puppi.weights(pt, eta, phi, origin, offsets, np.array([20, 5, 20]))
    assert np.array_equal(together, np.concatenate([alone, alone]))


def test_the_cut_on_neutrals_grows_with_the_vertices(crowd):
    origin = crowd[3]
    kept = [np.sum(_one_event(*crowd, npv=npv)[origin == puppi.NEUTRAL] > 0.5) for npv in (0, 20, 60)]
    assert kept[0] > kept[1] > kept[2] > 0


def test_without_charged_pileup_everything_is_kept():
    weight = _one_event([5.0, 5.0], [0.1, 3.5], [0.0, 0.0], [puppi.NEUTRAL, puppi.NEUTRAL])
    assert weight.tolist() == [1.0, 1.0]


def test_hard_neutrals_are_protected():
    soft = [(1.0, eta, 0.1, puppi.PILEUP) for eta in np.linspace(-1, 1, 40)]
    weight = _one_event(*zip(*soft, (300.0, 1.5, 2.0, puppi.NEUTRAL), strict=True))
    assert weight[-1] == 1.0


def test_no_candidates_no_weights():
    empty = np.zeros(0)
    assert len(puppi.weights(empty, empty, empty, empty.astype(np.int8), np.zeros(3, int), np.zeros(2))) == 0


@given(st.floats(0, 0.999999))
def test_the_inverse_error_function_inverts(value):
    assert chi2.cdf(2 * puppi._inverse_erf(value) ** 2, 1) == pytest.approx(value, abs=1e-9)


@given(st.integers(0, 60), st.integers(0, 100))
def test_weights_are_weights(n, seed):
    rng = np.random.default_rng(seed)
    event = rng.exponential(2, n), rng.uniform(-5.2, 5.2, n), rng.uniform(-np.pi, np.pi, n), rng.integers(0, 3, n)
    weight = _one_event(*event, npv=10)
    assert np.all((weight >= 0) & (weight <= 1))
    assert np.all((weight == 0) | (weight >= puppi.RUN2.min_weight))


def test_agreement_with_the_weights_stored_by_cms(pfnano):
    """Charged origins are taken from the stored weights (0 or 1), as these events have no fromPV."""
    names = [f"PFCands_{name}" for name in ("pt", "eta", "phi", "charge", "puppiWeight")]
    with uproot.open(pfnano) as file:
        events = file["Events"].arrays([*names, "PV_npvsGood"])
    pt, eta, phi, charge, stored = (ak.flatten(events[name]).to_numpy() for name in names)
    offsets = np.concatenate([[0], np.cumsum(ak.num(events.PFCands_pt))])
    origin = np.where(charge == 0, puppi.NEUTRAL, np.where(stored > 0.5, puppi.PRIMARY, puppi.PILEUP))
    weight = puppi.weights(pt, eta, phi, origin, offsets, events.PV_npvsGood.to_numpy())
    for low, high, same in ((0, 2.5, 0.97), (2.5, 3.0, 0.995), (3.0, 5.3, 0.999)):
        here = (charge == 0) & (np.abs(eta) >= low) & (np.abs(eta) < high)
        assert np.mean(np.abs(weight - stored)[here] < 0.02) > same
        assert np.mean((weight > 0)[here] == (stored > 0)[here]) > 0.995
        assert np.sum((weight * pt)[here]) == pytest.approx(np.sum((stored * pt)[here]), rel=0.03)
