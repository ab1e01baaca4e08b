import numpy as np
import pytest

from ptmiss.errors import OptionError

torch = pytest.importorskip("torch")

from ptmiss.models.mlpf import finetuning, inputs, recipe, reconstruction
from ptmiss.models.mlpf.configuration import Configuration
from ptmiss.models.mlpf.inputs import Schema
from ptmiss.models.mlpf.network import build
from ptmiss.models.mlpf.recipe import Recipe
from ptmiss.models.mlpf.reconstruction import MLPF

from ...helpers import random_network
from .conftest import options

TINY = {"width": 32, "hidden": 16, "layers": 1}


@pytest.fixture
def start(tmp_path):
    """Weights of a small random network on the compact features."""
    path = tmp_path / "start.safetensors"
    reconstruction.save(MLPF(random_network(**TINY), "start"), path, "random numbers")
    return path


def begun(start, events, directory, **given):
    """A training from weights before its first step."""
    chosen = Recipe(**options(start_from=start, **given))
    network, run = chosen.train(events, events, directory, [])
    run.start(network)
    return network


def test_other_features_share_the_trunk(start, few, tmp_path):
    before = reconstruction.load(start).network
    network = begun(start, few, tmp_path, inputs="clic")
    assert network.configuration == before.configuration.model_copy(update={"inputs": "clic"})
    old, new = before.state_dict(), network.state_dict()
    shared = [name for name in new if torch.equal(new[name], old.get(name, torch.zeros(0)))]
    assert set(new) - set(shared) == {"mean", "scale", *(name for name in new if name.startswith("encoder."))}
    x = inputs.pack(few.elements, network.schema)
    standard = network.standardise(x).numpy()
    assert np.abs(standard.mean(axis=0)).max() < 1e-3  # the moments are those of the events


def test_added_features_change_nothing_at_first(start, few, monkeypatch):
    """The old features are mixed with two new ones, so that none keeps its place."""
    before = reconstruction.load(start).network
    mixed = Schema("mixed", ("px", *reversed(before.schema.features), "pz"))
    monkeypatch.setitem(inputs.SCHEMAS, "mixed", mixed)
    network = build(before.configuration.model_copy(update={"inputs": "mixed"}))
    new = finetuning.carry_over(before, network)
    assert [mixed.features[i] for i in np.flatnonzero(new)] == ["px", "pz"]
    one, other = MLPF(before, "old")(few.elements), MLPF(network, "new")(few.elements)
    for a, b in zip(one[:-1], other[:-1], strict=True):  # without latents
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    loss = recipe.loss(network.train(), few.batch(network.schema), Recipe(**options()))
    loss.backward()
    assert network.encoder[0].weight.grad[:, torch.from_numpy(new)].abs().min() > 0  # and are learnt from


def test_the_same_features_keep_their_moments(start, few, tmp_path):
    before, network = reconstruction.load(start).network, begun(start, few, tmp_path)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before.state_dict()[name]), name


def test_attention_may_change(start, few, tmp_path):
    assert begun(start, few, tmp_path, attention="exact").configuration.attention == "exact"


def test_a_network_without_an_encoder():
    network = build(Configuration(network="published-v2.2.0", inputs="cms", width=256, heads=16))
    finetuning.check(network, "cms")
    with pytest.raises(OptionError, match=r"--inputs clic: a network published-v2\.2\.0 has no encoder"):
        finetuning.check(network, "clic")
