import numpy as np
import pytest

from ptmiss.candidates import CATEGORIES, VOCABULARY
from ptmiss.networks.features import FEATURES
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.linear import CLASSES, classes
from ptmiss.segments import from_counts, sum_by_event

torch = pytest.importorskip("torch")

from ptmiss.models.deepmet.dataset import Dataset, batch
from ptmiss.models.deepmet.linear import class_sums, fit

EVENTS, CANDIDATES = 400, 200


def events(weight, neutral=True):
    """Random candidates of all classes, and the pTmiss that a weight of each class makes."""
    rng = np.random.default_rng(2)
    n, offsets = EVENTS * CANDIDATES, from_counts(np.full(EVENTS, CANDIDATES))
    pt, phi = rng.choice([0.5, 1.5, 3, 10, 30], n) * rng.uniform(0.9, 1.1, n), rng.uniform(-np.pi, np.pi, n)
    features = np.zeros((n, len(FEATURES)), np.float32)
    features[:, 2] = rng.uniform(-5, 5, n)
    features[:, 5] = rng.uniform(0, 1, n) * (rng.random(n) < 0.75)
    features[:, 4], features[:, 6], features[:, 7] = pt, pt * np.cos(phi), pt * np.sin(phi)
    charge = rng.choice([-1, 0, 1], n) if neutral else rng.choice([-1, 1], n)
    pdg_id = np.where(charge == 0, 22, charge * np.where(rng.random(n) < 0.1, -13, 211))
    categories = np.stack([charge, pdg_id, rng.choice(VOCABULARY["fromPV"], n)], axis=1)
    assert tuple(VOCABULARY) == CATEGORIES
    inputs = Inputs.of(features, categories, offsets)
    target = -sum_by_event(weight[classes(inputs)][:, None] * features[:, 6:], offsets)
    none = np.full((EVENTS, 2), -1), np.zeros((EVENTS, 2, 2), np.float32), np.zeros((n, 0), np.float16)
    return Dataset(inputs.features, inputs.rows, offsets, target.astype(np.float32), *none)


def test_the_fit_finds_the_weights_that_made_the_events():
    weight = np.random.default_rng(0).uniform(0, 2, CLASSES)
    data = events(weight)
    found = fit(data, seed=1)
    np.testing.assert_allclose(found.tensors["weight"], weight, atol=2e-3)
    met = found.evaluate(Inputs(data.features, data.categories, data.offsets))
    np.testing.assert_allclose(met, data.target, atol=0.05)


def test_a_class_that_never_occurs_counts_as_it_is():
    weight = np.full(CLASSES, 0.3)
    found = fit(events(weight, neutral=False), seed=1).tensors["weight"]
    np.testing.assert_allclose(found[:4], 0.3, atol=1e-3)
    np.testing.assert_array_equal(found[4:], 1)


def test_sums_of_the_classes():
    data = events(np.ones(CLASSES)).first(3)
    made = batch(data, np.arange(3), np.zeros((3, 2), bool))
    px, py = class_sums(made)
    np.testing.assert_allclose(px.sum(axis=1), data.target[:, 0], rtol=1e-4, atol=1e-2)
    kind = classes(Inputs(data.features, data.categories, data.offsets))
    inside = (kind == 7) & (made.event.numpy() == 2)
    np.testing.assert_allclose(py[2, 7], -50 * data.features[inside, 7].sum(), rtol=1e-4)
