import json

import numpy as np
import pytest
from safetensors import safe_open

from ptmiss import sample
from ptmiss.errors import FileError, OptionError, UnknownName, WeightsError
from ptmiss.networks.descriptions import trained_on
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.linear import Linear
from ptmiss.networks.registry import check, load_model, weights_file

torch = pytest.importorskip("torch")

from ptmiss.models.deepmet.dataset import Loader, batch
from ptmiss.models.deepmet.network import Network
from ptmiss.models.deepmet.recipe import Recipe, begin
from ptmiss.models.deepmet.train import train_files
from ptmiss.models.workflow import hold_out, make_recipe

from .conftest import options

ZMUMU = str(sample.events("zmumu"))


@pytest.mark.slow
def test_a_training_leaves_weights_card_log_and_figure(tmp_path):
    told = train_files({ZMUMU: 20}, {ZMUMU: 10}, tmp_path, "mine", options(network="jme-24-001", puppi=False))
    names = {
        "model.safetensors",
        "sketch.json",
        "README.md",
        "log.csv",
        "training.png",
        "checkpoint.safetensors",
        ".written",
    }
    assert {path.name for path in tmp_path.iterdir()} == names
    model = load_model(tmp_path)
    assert (model.name, model.parameters) == ("mine", 4541)
    assert not model.tensors["dense1.kernel"][5].any()
    assert told.splitlines()[0].startswith("best of 1 epochs: loss ")
    with safe_open(tmp_path / "model.safetensors", "numpy") as file:
        made = json.loads(file.metadata()["provenance"])
    assert made["recipe"]["puppi"] is False
    assert made["seed"] == 1
    card = (tmp_path / "README.md").read_text()
    assert "parameters: 4541" in card
    assert "* loss: " in card


def test_the_linear_baseline(tmp_path):
    train_files({ZMUMU: 30}, {}, tmp_path, "mine", options(network="linear"))
    model = load_model(tmp_path)
    assert isinstance(model, Linear)
    assert model.name == "mine"
    assert model.tensors["weight"].std() > 0.05
    train_files({ZMUMU: 30}, {}, tmp_path / "b", None, options(network="linear"))
    assert load_model(tmp_path / "b").name == "linear"


def test_the_linear_baseline_has_no_validation(tmp_path):
    with pytest.raises(OptionError, match="--validation makes no sense with --network linear"):
        train_files({ZMUMU: 30}, {ZMUMU: 10}, tmp_path, None, options(network="linear"))


def test_a_network_that_inference_cannot_run_is_not_trained(tmp_path):
    with pytest.raises(OptionError, match="--network 'silu' is for studies only"):
        train_files({ZMUMU: 10}, {ZMUMU: 10}, tmp_path / "out", None, options(network="silu"))
    assert not (tmp_path / "out").exists()


def test_a_wider_network_is_run_by_inference(tmp_path):
    train_files({ZMUMU: 10}, {ZMUMU: 10}, tmp_path, None, options(network="96-48-24"))
    assert load_model(tmp_path).parameters == 9565


@pytest.mark.parametrize(
    ("name", "start", "added"),
    [("neighbours", "deepmet", "context.kernel"), ("attention", "deepmet_local", "attention.output")],
)
def test_a_network_that_sees_neighbours(tmp_path, embedded, name, start, added):
    """It begins with what it starts from, and inference says what the trained network says."""
    recipe = make_recipe(Recipe, options(network=name, start_from=start, average=0.9, choice="last"))
    network = Network(name)
    begin(network, Loader(embedded, 8, 1), recipe)
    some = batch(embedded, np.arange(6), np.zeros((6, 2), bool))
    inputs = Inputs(some.features.numpy(), some.categories.numpy().astype(np.uint8), embedded.offsets[:7])
    np.testing.assert_allclose(network(some).detach(), load_model(start).evaluate(inputs), atol=5e-3)
    train_files({ZMUMU: 20}, {ZMUMU: 10}, tmp_path, "near", recipe.model_dump())
    model = load_model(tmp_path)
    assert model.sees_neighbours
    assert check(tmp_path).architecture == model.architecture
    assert model.tensors[added].any()
    network.load(model.tensors)
    np.testing.assert_allclose(network(some).detach(), model.evaluate(inputs), atol=5e-3)


def test_a_training_on_the_candidates_of_a_reconstruction(tmp_path):
    """Card and weights file say whose, and a checkpoint on others is of another training."""
    files = {ZMUMU: 10}, {ZMUMU: 5}
    train_files(*files, tmp_path, "mine", options(), candidates="elements")
    assert trained_on(tmp_path / "model.safetensors") == {"reconstruction": "elements", "min_pt": "0.1"}
    assert '* candidates: `{"reconstruction": "elements", ' in (tmp_path / "README.md").read_text()
    with pytest.raises(OptionError, match="of another training: events"):
        train_files(*files, tmp_path, "mine", options())


def test_the_linear_baseline_on_the_candidates_of_a_reconstruction(tmp_path):
    train_files({ZMUMU: 15}, {}, tmp_path / "a", None, options(network="linear"), candidates="targets")
    train_files({ZMUMU: 15}, {}, tmp_path / "b", None, options(network="linear"))
    assert trained_on(tmp_path / "a" / "model.safetensors")["reconstruction"] == "targets"
    assert trained_on(tmp_path / "b" / "model.safetensors") == {}
    one, other = (load_model(tmp_path / name).tensors["weight"] for name in "ab")
    assert not np.allclose(one, other)


def test_candidates_that_do_not_exist(tmp_path):
    with pytest.raises(UnknownName, match="unknown kind of candidates 'mlpff', did you mean 'mlpf'"):
        train_files({ZMUMU: 10}, {}, tmp_path / "out", None, options(), candidates="mlpff")
    with pytest.raises(WeightsError, match="architecture 'deepmet', expected 'mlpf'"):
        train_files({ZMUMU: 10}, {}, tmp_path / "out", None, options(), candidates=str(weights_file("deepmet")))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_force_begins_again(tmp_path):
    files = {ZMUMU: 10}, {ZMUMU: 10}
    train_files(*files, tmp_path, "a", options())
    with pytest.raises(OptionError, match=r"seed 1 there, 2 here; choose another directory, or --force"):
        train_files(*files, tmp_path, "a", options(seed=2))
    train_files(*files, tmp_path, "a", options(seed=2), force=True)
    with pytest.raises(FileError, match="no such file"):
        train_files({"none.root": 10}, {}, tmp_path, "a", options(), force=True)
    assert json.loads((tmp_path / "README.md").read_text().split("seed: `")[1].split("`")[0]) == 2


@pytest.mark.slow
def test_force_removes_only_what_a_training_wrote(tmp_path):
    files = {ZMUMU: 10}, {ZMUMU: 10}
    train_files(*files, tmp_path, "a", options())
    (tmp_path / "thesis.tex").write_text("years of work")
    train_files(*files, tmp_path, "a", options(seed=2), force=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.slow
def test_a_training_does_not_replace_the_weights_that_it_starts_from(tmp_path):
    files = {ZMUMU: 10}, {ZMUMU: 10}
    train_files(*files, tmp_path, "a", options())
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(OptionError, match="would replace the weights that the training starts from"):
        train_files(*files, tmp_path, "a", options(start_from=tmp_path), force=True)
    with pytest.raises(FileError, match="no such weights file"):
        train_files(*files, tmp_path, "a", options(start_from=tmp_path / "none"), force=True)
    assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "--epochs 0: input should be greater than or equal to 1"),
        ({"network": "cmssw"}, "--network 'cmssw': input should be 'cmssw-v1', 'jme-24-001', "),
        ({"remove_leptons": "perhaps"}, "--remove-leptons 'perhaps': input should be a valid boolean"),
        ({"rate": float("nan")}, "--rate nan: "),
        ({"balance": -1.0}, "--balance -1.0: "),
        ({"batch": 1}, "--batch 1: "),
    ],
)
def test_an_option_with_a_wrong_value_is_named(given, message):
    with pytest.raises(OptionError) as refused:
        make_recipe(Recipe, options(**given))
    assert message in str(refused.value)


def test_a_tenth_is_held_back(embedded):
    training, held_out = hold_out(embedded, seed=3)
    assert len(training) + len(held_out) == len(embedded)
    assert 0 < len(held_out) < 20
    taken = {tuple(t) for t in held_out.target.tolist()} - {(0.0, 0.0)}
    assert not taken & {tuple(t) for t in training.target.tolist()}
    np.testing.assert_array_equal(hold_out(embedded, seed=3)[1].target, held_out.target)
    with pytest.raises(OptionError, match="1 events are too few to hold some back"):
        hold_out(embedded.first(1), seed=3)


@pytest.mark.slow
def test_validation_events_of_another_number_are_another_training(tmp_path):
    train_files({ZMUMU: 10}, {ZMUMU: 8}, tmp_path, "a", options())
    with pytest.raises(OptionError, match="another training: events"):
        train_files({ZMUMU: 12}, {ZMUMU: 8}, tmp_path, "a", options())
