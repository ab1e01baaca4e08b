"""Models in words."""

import json

import pytest

from ptmiss.errors import FileError
from ptmiss.networks import descriptions
from ptmiss.networks.registry import load_model, save_model, shipped_models

from ..helpers import random_model


def test_how_a_model_was_made_in_words(tmp_path):
    made = {
        "command": "ptmiss train deepmet a.root",
        "events": {"training": [{"file": "a.root", "events": 20, "uuid": "1"}, {"file": "b.root", "events": 3}]},
        "seed": 4,
        "recipe": {"epochs": 12, "patience": None},
    }
    save_model(random_model(padding=7), tmp_path / "net.safetensors", json.dumps(made))
    found = descriptions.facts(str(tmp_path / "net.safetensors"))
    assert list(found)[:3] == ["name", "architecture", "parameters"]
    assert found["parameters"] == "5149"
    assert found["padding"] == "7"
    assert found["features"] == "dxy, dz, eta, mass, pt, puppiWeight, px, py"
    assert found["events"] == "training a.root=20, b.root=3"
    assert (found["seed"], found["recipe epochs"], found["recipe patience"]) == ("4", "12", "None")
    save_model(random_model(), tmp_path / "net.safetensors", "imported from x.pb")
    assert descriptions.facts(tmp_path / "net.safetensors")["made"] == "imported from x.pb"


def test_every_model_of_the_package_has_a_card_and_advice():
    for name in shipped_models():
        assert descriptions.card(name).startswith(f"# {name}\n"), name
        assert 20 < len(descriptions.advice(name)) < 120, name


def test_a_model_without_a_card(tmp_path):
    save_model(random_model(), tmp_path / "model.safetensors", "")
    assert descriptions.card(tmp_path) == descriptions.advice(tmp_path) == ""
    with pytest.raises(FileError, match="no such weights file"):
        descriptions.card("nothing")


def test_what_is_shown_of_a_network_is_not_its_weights():
    assert repr(load_model("deepmet")) == "DeepMET(padding=0, name='deepmet')"
    assert repr(load_model("linear")) == "Linear(padding=0, name='linear')"


def test_whose_candidates_a_network_was_trained_on(tmp_path):
    path = tmp_path / "model.safetensors"
    for made, expected in (
        ("imported from x.pb", {}),
        ("[1]", {}),
        (json.dumps({"seed": 4}), {}),
        (json.dumps({"candidates": {"reconstruction": "mlpf"}}), {"reconstruction": "mlpf"}),
    ):
        save_model(random_model(), path, made)
        assert descriptions.trained_on(path) == expected
