"""Drifts: none of the same distribution, the known one of a shifted one."""

import numpy as np
import pytest

from ptmiss.networks import drift, sketches
from ptmiss.networks.sketches import GROUPS, INPUTS


def drawn(shares, n, seed):
    """A sketch of an input with these shares."""
    return np.random.default_rng(seed).multinomial(n // GROUPS, shares, GROUPS)


SHARES = np.array([0.1, 0.2, 0.4, 0.2, 0.1])


def test_the_index_by_hand():
    p, q = np.array([60, 40]), np.array([50, 50])
    assert drift.psi(p, q) == pytest.approx(0.1 * np.log(1.2) - 0.1 * np.log(0.8))
    assert drift.psi(p, 7 * p) == pytest.approx(0, abs=1e-12)
    assert drift.psi(np.array([5, 0, 5]), np.array([5, 0, 5])) == 0
    assert drift.psi(np.array([10, 0]), np.array([0, 10])) > 2


def test_the_jackknife_takes_the_bias_out_and_knows_the_error():
    found = [drift.jackknife(drawn(SHARES, 800, seed), drawn(SHARES, 800, seed + 1000)) for seed in range(300)]
    plain = [drift.psi(drawn(SHARES, 800, s).sum(0), drawn(SHARES, 800, s + 1000).sum(0)) for s in range(300)]
    values, errors = (np.array(column) for column in zip(*found, strict=True))
    assert np.mean(plain) == pytest.approx(4 * 2 / 800, rel=0.2)  # (bins - 1) (1/n + 1/n)
    assert abs(values.mean()) < 0.2 * np.mean(plain)
    assert errors.mean() == pytest.approx(values.std(), rel=0.4)


def test_a_real_drift_has_its_size_and_error():
    other = np.array([0.05, 0.15, 0.35, 0.25, 0.2])
    expected = np.sum((other - SHARES) * np.log(other / SHARES))
    found = [drift.jackknife(drawn(other, 8000, seed), drawn(SHARES, 8000, seed + 1000)) for seed in range(100)]
    values, errors = (np.array(column) for column in zip(*found, strict=True))
    assert values.mean() == pytest.approx(expected, rel=0.03)
    assert errors.mean() == pytest.approx(values.std(), rel=0.3)


def whole(seed, n=8000, **changed):
    """A sketch of all inputs, uniform in those not changed."""
    out = {}
    for i, name in enumerate(INPUTS):
        shares = changed.get(name, np.full(sketches.size(name), 1 / sketches.size(name)))
        out[name] = drawn(shares, n, (seed, i))
    return out


def test_one_shifted_input_is_the_one_that_is_warned_of():
    bins = sketches.size("eta")
    tilted = np.linspace(0.3, 1.7, bins) / bins
    found = drift.measure(whole(1, eta=tilted / tilted.sum()), whole(2))
    assert [said.split(" ")[0] for said in found["warnings"]] == ["eta"]
    assert found["psi"]["eta"][0] > 0.1
    assert abs(found["psi"]["pt"][0]) < 0.02
    assert found["unseen"] == [0, 0]
    assert drift.measure(whole(1), whole(2))["warnings"] == []


def test_categories_that_the_training_never_saw():
    half = np.zeros(sketches.ROWS)
    half[:66] = 1 / 66
    found = drift.measure(whole(1), whole(2, category=half))
    assert found["unseen"][0] == pytest.approx(0.5, abs=0.02)
    assert found["warnings"][-1].endswith("have categories that the training never saw")


def test_nothing_is_said_of_few_candidates():
    assert drift.measure(whole(1, n=400), whole(2)) == {"candidates": 400, "psi": {}, "unseen": None, "warnings": []}


def test_shares_for_a_figure():
    seen, known = whole(1), whole(2)
    rows = drift.shares(seen, known)
    assert rows.groupby("input")[["seen", "training"]].sum().to_numpy() == pytest.approx(1)
    eta = rows[rows["input"] == "eta"]
    assert eta["seen_error"].mean() == pytest.approx(np.sqrt(1 / 21 * 20 / 21 / 8000), rel=0.4)
