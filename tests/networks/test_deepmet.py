import itertools

import numpy as np
import pytest

from ptmiss.errors import UnknownName, WeightsError
from ptmiss.networks.deepmet import BACKEND, BACKENDS, WIDTHS, DeepMET
from ptmiss.networks.inputs import Inputs

from ..helpers import random_candidates, random_model, straight


@pytest.mark.parametrize("padding", [0, 60])
@pytest.mark.parametrize("embedding", [(8, 8, 8), (4, 8, 3)])
def test_equals_the_network_written_out_in_double_precision(padding, embedding):
    model = random_model(2, padding, embedding)
    features, categories, offsets = random_candidates([3, 0, 60, 17])
    met = model.met(features, categories, offsets)
    for event, (start, stop) in enumerate(itertools.pairwise(offsets)):
        expected = straight(model, features[start:stop], categories[start:stop], padding)
        np.testing.assert_allclose(met[event], expected, atol=2e-3)


def test_published_parameter_counts():
    assert random_model(embedding=(8, 8, 8)).parameters == 5149
    assert random_model(embedding=(4, 8, 3)).parameters == 4541


def test_events_do_not_see_each_other(model):
    features, categories, offsets = random_candidates([1500, 1, 700])
    together = model.met(features, categories, offsets)
    alone = [model.met(features[a:b], categories[a:b], np.array([0, b - a]))[0] for a, b in itertools.pairwise(offsets)]
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_order_of_candidates_does_not_matter(model):
    features, categories, offsets = random_candidates([400])
    shuffled = np.random.default_rng(0).permutation(400)
    np.testing.assert_allclose(
        model.met(features[shuffled], categories[shuffled], offsets),
        model.met(features, categories, offsets),
        atol=1e-3,
    )


def test_candidates_beyond_the_padding_do_not_count():
    model = random_model(padding=10)
    features, categories, offsets = random_candidates([25, 4])
    first = np.r_[0:10, 25:29]
    np.testing.assert_array_equal(
        model.met(features, categories, offsets), model.met(features[first], categories[first], np.array([0, 10, 14]))
    )


def test_an_event_without_candidates_gives_the_answer_to_nothing(model):
    features, categories, _ = random_candidates([0])
    met = model.met(features, categories, np.array([0, 0]))
    np.testing.assert_allclose(met[0], 50 * model.tensors["output.bias"], rtol=1e-6)
    assert model.met(features, categories, np.array([0])).shape == (0, 2)


def test_overflowing_momenta_count_as_zero(model):
    features, categories, _offsets = random_candidates([5])
    features[2, [4, 6, 7]] = 1e9
    zeroed = features.copy()
    zeroed[2, [4, 6, 7]] = 0
    weights = model.weights(features, categories)
    np.testing.assert_array_equal(weights, model.weights(zeroed, categories))


def test_inputs_are_left_as_they_are(model):
    features, categories, offsets = random_candidates([50])
    before = features.copy()
    model.met(features, categories, offsets)
    np.testing.assert_array_equal(features, before)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, 2, "charge 2 of candidate 3"),
        (1, 9999, "pdgId 9999 of candidate 3"),
        (1, 12, "pdgId 12"),
        (2, -1, "fromPV -1"),
    ],
)
def test_unknown_categories_are_refused(model, column, value, message):
    features, categories, offsets = random_candidates([5])
    categories[3, column] = value
    with pytest.raises(ValueError, match=message):
        model.met(features, categories, offsets)


def test_arrays_that_do_not_belong_together_are_refused(model):
    features, categories, offsets = random_candidates([5])
    with pytest.raises(ValueError, match=r"shapes \(n, 8\) and \(n, 3\)"):
        model.met(features[:, :7], categories, offsets)
    with pytest.raises(ValueError, match="offsets must rise from 0"):
        model.met(features, categories, np.array([0, 4]))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("padding", "widths", "context"), [(0, WIDTHS, 0), (1000, WIDTHS, 0), (0, (96, 48, 24), 0), (0, (20, 9, 5), 6)]
)
def test_all_backends_give_the_same_pt_miss(monkeypatch, backend, padding, widths, context):
    if backend == "torch":
        pytest.importorskip("torch")
    model, arrays = random_model(5, padding, widths=widths, context=context), random_candidates([1500, 0, 3, 2500])
    monkeypatch.setenv(BACKEND, "numpy")
    expected = model.met(*arrays)
    monkeypatch.setenv(BACKEND, backend)
    again = random_model(5, padding, widths=widths, context=context).met(*arrays)
    np.testing.assert_allclose(again, expected, atol=2e-3, rtol=1e-6)


def test_sums_over_neighbours_are_more_features_of_the_first_layer(model):
    """Rows of zeros change nothing; others add their part to the first layer."""
    features, categories, offsets = random_candidates([300, 20])
    zeros = {"context.kernel": np.zeros((6, 64), np.float32)}
    same = DeepMET({**model.tensors, **zeros})
    np.testing.assert_array_equal(same.met(features, categories, offsets), model.met(features, categories, offsets))
    local = random_model(3, context=6)
    inputs = Inputs.of(features, categories, offsets)
    around = [inputs.neighbours[a:b] for a, b in itertools.pairwise(offsets)]
    expected = [
        straight(local, features[a:b], categories[a:b], context=sums)
        for (a, b), sums in zip(itertools.pairwise(offsets), around, strict=True)
    ]
    np.testing.assert_allclose(local.met(features, categories, offsets), expected, atol=2e-3)
    assert local.parameters == 5149 + 384


def test_padding_and_neighbours_exclude_each_other():
    with pytest.raises(WeightsError, match="padding and sums over neighbours exclude each other"):
        random_model(padding=10, context=6)


def test_layers_that_do_not_fit_each_other():
    tensors = dict(random_model(1).tensors)
    tensors["dense2.kernel"] = tensors["dense2.kernel"][:, :20]
    with pytest.raises(WeightsError, match=r"dense2.kernel has shape \(64, 20\), expected \(64, 32\)"):
        DeepMET(tensors)


def test_an_unknown_backend(monkeypatch, model):
    monkeypatch.setenv(BACKEND, "nunpy")
    with pytest.raises(UnknownName, match="backend in PTMISS_BACKEND 'nunpy', did you mean 'numpy'"):
        model.met(*random_candidates([1]))
