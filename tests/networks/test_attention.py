import itertools

import numpy as np
import pytest

from ptmiss.errors import WeightsError
from ptmiss.networks import pairs
from ptmiss.networks.attention import Attention
from ptmiss.networks.deepmet import BACKEND, BACKENDS
from ptmiss.networks.features import HEADS, SIZE, WIDTH
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.neighbours import NEVER, class_of_row

from ..helpers import random_attention, random_candidates, straight


@pytest.fixture
def model():
    return random_attention(3)


@pytest.fixture
def arrays():
    features, categories, offsets = random_candidates([300, 0, 20, 1, 700])
    features[:, 4] = np.hypot(*features[:, 6:].T)
    return features, categories, offsets


def written_out(model, inputs):
    """What the second layer is given, of one event, one candidate and head at a time, in double precision."""
    t = {name.removeprefix("attention."): tensor.astype(float) for name, tensor in model.tensors.items()}
    kinds = class_of_row()[inputs.rows]
    index = pairs.neighbours(inputs.features, kinds, inputs.offsets)
    around = pairs.pair_features(inputs.features, kinds, index).astype(float)

    def hear(x):
        query = x @ t["query.kernel"] + t["query.bias"]
        key, value = np.split(x @ t["memory.kernel"] + t["memory.bias"], 2, axis=1)
        said = np.zeros((len(x), len(t["output"])))
        for i, row in enumerate(index):
            near, found = row[row >= 0], np.tanh(around[i].T @ t["pair.kernel"] + t["pair.bias"])
            found = found[: len(near)]
            for head in range(HEADS if len(near) else 0):
                own = slice(head * SIZE, (head + 1) * SIZE)
                score = np.exp(key[near, own] @ query[i, own] / np.sqrt(SIZE) + found @ t["head"][:, head])
                share = score / score.sum()
                said[i, own] = share @ value[near, own]
                said[i, WIDTH:].reshape(HEADS, -1)[head] = share @ found
        return said @ t["output"]

    return hear


@pytest.mark.parametrize("backend", BACKENDS)
def test_pt_miss_is_that_of_the_formulas(monkeypatch, model, arrays, backend):
    monkeypatch.setenv(BACKEND, backend)
    features, categories, offsets = arrays
    found = model.evaluate(Inputs.of(*arrays))
    for (a, b), met in zip(itertools.pairwise(offsets), found, strict=True):
        alone = Inputs.of(features[a:b], categories[a:b], np.array([0, b - a]))
        hear = written_out(model, alone)
        expected = straight(model, features[a:b], categories[a:b], context=alone.neighbours, hear=hear)
        np.testing.assert_allclose(met, expected, atol=2e-3)


def test_without_output_it_is_the_network_without_attention(model, arrays):
    silent = Attention({**model.tensors, "attention.output": np.zeros((48, 32), np.float32)})
    inputs = Inputs.of(*arrays)
    np.testing.assert_array_equal(silent.outputs(inputs), model.deepmet.outputs(inputs))
    assert np.abs(model.outputs(inputs) - silent.outputs(inputs)).max() > 0.1


def test_the_order_of_candidates_does_not_matter(model, arrays):
    inputs, rng = Inputs.of(*arrays), np.random.default_rng(0)
    order = np.concatenate([rng.permutation(np.arange(a, b)) for a, b in itertools.pairwise(inputs.offsets)])
    shuffled = Inputs(inputs.features[order], inputs.rows[order], inputs.offsets)
    np.testing.assert_allclose(model.outputs(shuffled), model.outputs(inputs)[order], atol=1e-4)


def test_no_candidate_hears_a_lepton(model, arrays):
    inputs = Inputs.of(*arrays)
    others = class_of_row()[inputs.rows] != NEVER
    np.testing.assert_allclose(model.outputs(inputs.keep(others)), model.outputs(inputs)[others], atol=1e-4)


def test_numbers_of_parameters(model):
    assert model.parameters == 5533 + 65 * 48 + 7 * 8 + 8 * 4 + 48 * 32


def test_tensors_that_do_not_fit(model):
    with pytest.raises(WeightsError, match="padding and attention exclude each other"):
        Attention(model.tensors, 10)
    with pytest.raises(WeightsError, match=r"missing or unexpected tensors attention\.head"):
        Attention({name: t for name, t in model.tensors.items() if name != "attention.head"})
    with pytest.raises(WeightsError, match=r"attention\.output has shape \(48, 16\), expected \(48, 32\)"):
        Attention({**model.tensors, "attention.output": np.zeros((48, 16), np.float32)})
    with pytest.raises(WeightsError, match=r"missing or unexpected tensors context\.kernel"):
        Attention({name: t for name, t in model.tensors.items() if name != "context.kernel"})
