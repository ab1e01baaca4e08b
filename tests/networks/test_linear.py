import numpy as np

from ptmiss.networks.inputs import Inputs
from ptmiss.networks.linear import CLASSES, LEPTON, LOOSE, PILEUP, VERTEX, Linear, classes

# charge, pdgId, fromPV, and eta, PUPPI weight, pt
CANDIDATES = [
    (-1, 13, 0, 0.0, 0.0, 9.0, LEPTON),
    (1, 211, 3, 0.0, 1.0, 9.0, VERTEX),
    (1, 211, 2, 0.0, 1.0, 9.0, VERTEX),
    (-1, -211, 1, 0.0, 1.0, 9.0, LOOSE),
    (1, 211, 0, 0.0, 0.0, 9.0, PILEUP),
    (0, 22, 3, 0.5, 0.0, 0.5, 4),
    (0, 130, 3, -2.7, 0.5, 3.0, 4 + 20 + 2 * 5 + 2),
    (0, 2, 3, 4.0, 1.0, 100.0, CLASSES - 1),
]


def inputs(rows):
    features, categories = np.zeros((len(rows), 8), np.float32), np.array([r[:3] for r in rows])
    features[:, 2], features[:, 5], features[:, 4] = np.array([r[3:6] for r in rows]).T
    features[:, 6] = features[:, 4]
    return Inputs.of(features, categories, np.array([0, len(rows)]))


def test_classes():
    np.testing.assert_array_equal(classes(inputs(CANDIDATES)), [row[-1] for row in CANDIDATES])


def test_pt_miss_is_minus_the_weighted_sum():
    weight = np.random.default_rng(0).normal(size=CLASSES).astype(np.float32)
    found = inputs(CANDIDATES)
    expected = -sum(weight[row[-1]] * row[5] for row in CANDIDATES)
    np.testing.assert_allclose(Linear({"weight": weight}).evaluate(found), [[expected, 0]], rtol=1e-5)
