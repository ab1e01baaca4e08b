"""Integrated gradients against torch, and their completeness."""

import numpy as np
import pytest

from ptmiss.estimators import NetworkEstimator, make_estimators
from ptmiss.explanation import gradients, parts
from ptmiss.networks.features import SCALE
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.registry import load_model, save_model

from ..helpers import random_model


def test_gradients_are_those_of_torch(sample):
    torch = pytest.importorskip("torch")
    model, inputs = random_model(3), Inputs.from_candidates(sample.candidates)
    (first, _), *layers = ((torch.from_numpy(k).double(), torch.from_numpy(b).double()) for k, b in model.layers)
    features = torch.from_numpy(inputs.features).double().requires_grad_()
    x = features @ first[:8] + torch.from_numpy(model.category_table[inputs.rows]).double()
    for kernel, bias in layers:
        x = torch.tanh(x) @ kernel + bias
    seed = np.random.default_rng(0).normal(size=x.shape)
    (x * torch.from_numpy(seed)).sum().backward()
    found = gradients.gradient(
        model, inputs.features.astype(float), gradients.fixed_terms(model, inputs), lambda outputs: seed
    )
    np.testing.assert_allclose(found, features.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["deepmet", "random", "neighbours"])
def test_the_features_add_up_to_the_difference_of_the_ends(name, sample, monkeypatch):
    monkeypatch.setattr(gradients, "STEPS", 400)  # invented features lie far apart
    model = load_model("deepmet") if name == "deepmet" else random_model(3, context=6 * (name == "neighbours"))
    inputs = Inputs.from_candidates(sample.candidates)
    typical = gradients.typical_features(inputs, sample.candidates["charge"] != 0)
    axes = sample.axes[sample.event, 0]
    found = gradients.attribute(model, inputs, axes, typical)
    momentum, kernel = inputs.features[:, 6:8], model.tensors["output.kernel"].astype(float)

    def end(features):
        there = Inputs(features.astype(np.float32), inputs.rows, inputs.offsets)
        vars(there)["neighbours"] = inputs.neighbours
        outputs = model.outputs(there).astype(float)
        terms = (outputs[:, :1] - 1) * np.concatenate([outputs[:, 1:], momentum], axis=1)
        return -SCALE * np.einsum("ni,ni->n", terms @ kernel, axes)

    np.testing.assert_allclose(found.sum(axis=1), end(inputs.features) - end(typical), rtol=1e-3, atol=2e-3)


def test_the_way_ends_at_the_parts_of_the_recoil(sample, tmp_path):
    save_model(random_model(3), tmp_path / "net.safetensors", "random")
    estimator = NetworkEstimator("net", str(tmp_path / "net.safetensors"))
    term, _, _ = parts.terms(estimator, sample.candidates)
    inputs, axes = estimator.prepare(sample.candidates), sample.axes[sample.event, 0]
    at_once = gradients.attribute(estimator.model, inputs, axes, inputs.features.astype(float))
    assert not at_once.any()
    assert term.shape == axes.shape


def test_a_feature_without_effect_and_a_model_without_gradients(sample):
    rows = gradients.tabulate(make_estimators("linear")[0], sample)
    assert list(rows) == ["input"]
    found = gradients.tabulate(make_estimators("deepmet")[0], sample).set_index("input")
    assert (found.drop("mass") > 0).all().all()
