"""Profiles of networks: operations by hand, layers that make the whole, and what is written."""

import numpy as np
import pandas as pd
import pytest

from ptmiss.explanation import profiles
from ptmiss.networks.registry import load_model

from ..helpers import call, failure


def test_layers_of_a_deepmet_are_the_network():
    model, inputs = load_model("deepmet"), profiles.embedded(300)
    found = {name: (step(), operations) for name, step, operations in profiles.layers(model, inputs)}
    np.testing.assert_allclose(found["dense 4"][0], model.outputs(inputs), rtol=1e-4, atol=1e-4)
    sums, _ = found["sums"]
    np.testing.assert_allclose(model.total(sums, np.array([300])), model.evaluate(inputs), rtol=1e-4, atol=2e-3)
    operations = {name: count for name, (_, count) in found.items()}
    assert operations["features, dense 1"] == 2 * 300 * 8 * 64
    assert operations["dense 2"] == 2 * 300 * 64 * 32
    assert operations["dense 4"] == 2 * 300 * 16 * 3
    assert len(profiles.embedded(50_000).rows) == 50_000


def test_what_is_written(tmp_path, empty_pictures):
    printed = call("profile", "deepmet", "--sizes", "10,100", "--repeats", 2, "--output", tmp_path / "out")
    assert "deepmet, 100 candidates" in printed
    rows = pd.read_csv(tmp_path / "out" / "profile.csv")
    assert set(rows["number"]) == {10, 100}
    whole = rows[rows["layer"] == "whole"]
    layers = rows[rows["layer"] != "whole"].groupby("number")["operations"].sum()
    assert whole["operations"].tolist() == layers.tolist()
    assert (rows["seconds"] > 0).all()
    assert (rows["seconds_error"] >= 0).all()
    assert {path.name for path in (tmp_path / "out").iterdir()} > {"profile.csv", "profile.png", "manifest.json"}


def test_the_linear_baseline_has_no_layers(tmp_path, empty_pictures):
    found = profiles.profile("linear", tmp_path / "out", sizes=[10], repeats=1)
    assert found.table["layer"].tolist() == ["whole"]


def test_an_mlpf_part_by_part():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    found = profiles.profile("mlpf", sizes=[64], repeats=1)
    assert torch.get_num_threads() == before
    assert found.what == "elements"
    one = found.table[found.table["threads"] == 1].set_index("layer")
    assert {"inputs", "encoder", "layers 1", "norm", "answer", "whole"} <= set(one.index)
    assert one.loc["whole", "operations"] == one["operations"].sum() / 2  # it is the sum of the others
    from ptmiss.models.mlpf.reconstruction import load

    encoder = [part for part in load("mlpf").network.encoder.modules() if isinstance(part, torch.nn.Linear)]
    assert one.loc["encoder", "operations"] == sum(2 * 64 * part.weight.numel() for part in encoder)
    profiles.draw(found)
    profiles.show(found)


def test_bad_options(tmp_path):
    assert "expected positive numbers" in failure("profile", "deepmet", "--sizes", "0")
    assert "expected numbers such as 100,1000" in call("profile", "deepmet", "--sizes", "many", code=2)
