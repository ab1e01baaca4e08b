import numpy as np
import pytest

from ptmiss.networks.superclusters import FEATURES
from ptmiss.simulation import windows
from ptmiss.simulation.moustache import MAX_DPHI, in_moustache
from ptmiss.simulation.windows import Places


def places(n, seed):
    rng = np.random.default_rng(seed)
    columns = rng.uniform(-2.5, 2.5, n), rng.uniform(-np.pi, np.pi, n), rng.exponential(5, n) + 0.1
    return Places(*columns, rng.uniform(0, 5, n), rng.integers(1, 20, n))


def test_windows_are_those_found_one_by_one():
    some, offsets = places(400, 1), np.array([0, 150, 150, 400])
    found = windows.around(some, offsets, 2.0)
    assert found.seed.tolist() == np.flatnonzero(some.et > 2).tolist()
    for number, seed in enumerate(found.seed):
        event = slice(0, 150) if seed < 150 else slice(150, 400)
        dphi = np.abs((some.phi[event] - some.phi[seed] + np.pi) % (2 * np.pi) - np.pi)
        near = (np.abs(some.eta[event] - some.eta[seed]) < windows.DETA) & (dphi < MAX_DPHI)
        rows = found.row[found.offsets[number] : found.offsets[number + 1]]
        assert rows[0] == seed
        assert sorted(rows) == (np.flatnonzero(near) + event.start).tolist()


def test_features_of_a_seed_and_of_a_cluster_beside_it():
    some = Places(np.array([-1.0, -1.05]), np.array([3.1, -3.1]), np.array([20.0, 5.0]), np.ones(2), np.array([9, 4]))
    found = windows.around(some, np.array([0, 2]), 3.5)
    seed, other = (dict(zip(FEATURES, row, strict=True)) for row in found.features)
    assert found.row.tolist() == [0, 1]
    assert seed["log_et"] == seed["seed_log_et"] == pytest.approx(np.log(20 / np.cosh(1)), rel=1e-6)
    assert (seed["is_seed"], other["is_seed"], seed["log_energy_to_seed"]) == (1, 0, 0)
    assert other["dphi"] == other["abs_dphi"] == pytest.approx(2 * np.pi - 6.2, abs=1e-6)
    assert other["outward"] == pytest.approx(0.05, abs=1e-6)
    assert other["seed_abs_eta"] == 1
    assert other["in_moustache"] == in_moustache(-1.0, 3.1, 20 / np.cosh(1), -1.05, -3.1)


def test_no_clusters():
    found = windows.around(Places(*np.zeros((5, 0))), np.array([0, 0]), 1.0)
    assert (len(found.seed), found.offsets.tolist(), found.features.shape) == (0, [0], (0, len(FEATURES)))
