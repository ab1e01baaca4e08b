import numpy as np
import pytest

from ptmiss import bootstrap
from ptmiss.estimators.reconstruction import CHARGED_HADRON, ELECTRON, NONE, PHOTON
from ptmiss.evaluation import particles
from ptmiss.evaluation.particles import Particles


def some(event, kind, pt, eta, phi):
    pt = np.asarray(pt, float)
    return Particles(np.asarray(event), np.asarray(kind), pt, np.asarray(eta, float), np.asarray(phi, float), 2 * pt)


def by_hand(truth, seen):
    """Nearest free one of the same class within 0.15, harder first, one by one."""
    out, taken = [-1] * len(truth.pt), set()
    for i in sorted(range(len(truth.pt)), key=lambda i: (truth.event[i], -truth.pt[i])):
        best = None
        for j in range(len(seen.pt)):
            if truth.event[i] != seen.event[j] or truth.kind[i] != seen.kind[j] or j in taken:
                continue
            dphi = (truth.phi[i] - seen.phi[j] + np.pi) % (2 * np.pi) - np.pi
            distance = np.hypot(truth.eta[i] - seen.eta[j], dphi)
            if distance <= 0.15 and (best is None or distance <= best[0]):
                best = distance, j
        if best:
            out[i] = best[1]
            taken.add(best[1])
    return out


def random(n, seed):
    rng = np.random.default_rng(seed)
    event = np.sort(rng.integers(0, 3, n))
    return some(
        event, rng.integers(1, 4, n), rng.exponential(3, n), rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n)
    )


def test_partners_are_those_found_one_by_one():
    truth, seen = random(300, 1), random(250, 2)
    found = particles.partners(truth, seen, 3)
    np.testing.assert_array_equal(found, by_hand(truth, seen))
    assert 20 < np.count_nonzero(found >= 0) < 250


def test_a_partner_across_the_seam_of_phi():
    assert particles.partners(some([0], [1], [5], [0], [3.13]), some([0], [1], [5], [0], [-3.13]), 1).tolist() == [0]
    assert particles.partners(some([0], [1], [5], [0], [3.0]), some([0], [1], [5], [0], [-3.0]), 1).tolist() == [-1]


def test_efficiency_fake_rate_and_response_of_a_few_particles():
    truth = some([0, 0, 1, 1], [CHARGED_HADRON, PHOTON, PHOTON, PHOTON], [4, 4, 4, 0.6], [0, 1, 0, 1], [0, 0, 0, 0])
    seen = some([0, 0, 1, 1], [CHARGED_HADRON, CHARGED_HADRON, PHOTON, PHOTON], [2, 4, 5, 1.2], [0.1, 1, 0, 1], [0] * 4)
    counts, pairs = particles.match(truth, seen, 2)
    total = {name: getattr(counts["pt"], name).sum(axis=(0, 1)) for name in particles.Counts._fields}
    assert total["true"][CHARGED_HADRON] == total["true_met"][CHARGED_HADRON] == 1
    assert (total["true"][PHOTON], total["true_met"][PHOTON]) == (2, 1)  # 0.6 GeV is too soft to be asked for
    assert (total["found"][CHARGED_HADRON], total["found_met"][CHARGED_HADRON]) == (2, 1)
    assert (total["found"][PHOTON], total["found_met"][PHOTON]) == (2, 2)  # and good enough as a partner
    np.testing.assert_allclose(pairs.pt_ratio, [0.5, 1.25])
    np.testing.assert_allclose(pairs.energy_ratio, [0.5, 1.25])


def test_confusion_and_aligned_counts():
    true = some([0, 0, 0, 1], [1, 1, NONE, 3], [2, 2, 0, 2], [0] * 4, [0] * 4)
    rows = some([0, 0, 0, 1], [1, 3, 3, 3], [2, 2, 1.5, 0.5], [0] * 4, [0] * 4)
    square = particles.confusion(true, rows, 2)
    assert square.shape == (2, 8, 8)
    whole = square.sum(axis=0)
    assert (whole[1, 1], whole[1, 3], whole[0, 3], whole[3, 3], whole.sum()) == (1, 1, 1, 1, 4)
    counts = particles.align(true, rows, "pt", 2)
    assert [c.sum(axis=(0, 1))[3] for c in counts] == [1, 2, 1, 0]


def test_rates_are_shares_of_counts():
    rng = np.random.default_rng(0)
    true, shape = rng.integers(5, 9, (40, 7, 8)), (40, 8, 8)
    counts = particles.Counts(true, true, true - 2, true - 1)
    measured = particles.Measured({("matched", "pt"): counts}, {}, np.ones(shape, int))
    drawn = bootstrap.draws(40, 30)
    table = particles.rates({"mlpf": measured}, drawn)
    row = table[(table["class"] == "photon") & (table["low"] == 2)].iloc[0]
    assert row["efficiency"] == pytest.approx(1 - 80 / true[:, 1, 3].sum())
    assert row["fake_rate"] == pytest.approx(40 / true[:, 1, 3].sum())
    assert 0 < row["efficiency_error"] < 0.02
    shares = particles.confusions({"mlpf": measured}, drawn)
    assert np.allclose(shares["share"], 1 / 8)


def test_bins_of_hard_particles():
    pt, eta = np.array([20, 20, 20, 10, 3]), np.array([-0.7, 5.2, 0, 0, 0])
    assert particles.bins("eta_hard", pt, eta).tolist() == [1, -1, 0, -1, -1]
    assert particles.bins("eta", pt, eta).tolist() == [1, -1, 0, 0, 0]
    assert particles.bins("pt", np.array([0.9, 1, 30, 200]), eta[:4]).tolist() == [-1, 0, 5, -1]


def test_responses_of_pt_and_of_eta():
    """Electrons of 20 GeV: found 10 % too soft in the inner half, as they are in the outer."""
    n = 100
    eta = np.where(np.arange(n) % 2, 0.2, 2.2)
    ratio = np.where(eta < 1, 0.9, 1.0)
    ratios = particles.Ratios(np.arange(n), np.full(n, ELECTRON), np.full(n, 20.0), eta, ratio, ratio)
    table = particles.responses({"pf": particles.Measured({}, {"matched": ratios}, None)}, bootstrap.draws(n, 20))
    found = table[table["axis"] == "eta_hard"].set_index("low")["pt_response"]
    assert found.to_dict() == pytest.approx({0.0: 0.9, 2.0: 1.0})
    whole = table[table["axis"] == "pt"]
    assert (whole["pairs"].tolist(), whole["class"].tolist()) == ([n], ["electron"])
