import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ptmiss.errors import FileError, WeightsError
from ptmiss.networks.attention import Attention
from ptmiss.networks.features import FEATURES, NEIGHBOURS, PAIRS
from ptmiss.networks.linear import CLASSES, Linear
from ptmiss.networks.registry import load_model, load_weights, save_model, weights_file
from ptmiss.networks.weights import METADATA, fingerprint, read_tensors, write_tensors

from ..helpers import random_attention, random_model


def test_weights_file_round_trip(tmp_path):
    model = random_model(4, padding=4500)
    digest = save_model(model, tmp_path / "w.safetensors", "test")
    loaded = load_model(str(tmp_path / "w.safetensors"))
    assert (loaded.padding, loaded.name) == (4500, "random")
    assert fingerprint(loaded.tensors) == digest
    for name, values in model.tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], values)


def test_a_file_says_which_features_its_network_needs(tmp_path):
    path = tmp_path / "w.safetensors"
    save_model(random_model(4, context=6), path, "test")
    assert load_model(path).features == (*FEATURES, *NEIGHBOURS)
    assert json.loads(read_tensors(path)[1]["features"]) == [*FEATURES, *NEIGHBOURS]
    other = changed(path, tmp_path / "x.safetensors", {"features": json.dumps(FEATURES)})
    with pytest.raises(WeightsError, match=r"features \['dxy', .*'py'\], expected .*'boxNeutral'\]"):
        load_model(other)


def test_a_network_with_attention_round_trip(tmp_path):
    model = random_attention(4)
    save_model(model, tmp_path / "w.safetensors", "test")
    loaded = load_model(tmp_path / "w.safetensors")
    assert isinstance(loaded, Attention)
    assert loaded.features == (*FEATURES, *NEIGHBOURS, *PAIRS)
    assert fingerprint(loaded.tensors) == fingerprint(model.tensors)


def changed(path, out, metadata=None, **tensors):
    """A copy of a weights file with other tensors or metadata, which does not state a hash of these."""
    contents, stated = read_tensors(path)
    kept = {name: text for name, text in stated.items() if name != METADATA}
    save_file(contents | tensors, out, kept | (metadata or {}))
    return out


def test_a_changed_weight_is_noticed(weights, tmp_path):
    bias = load_file(weights)["output.bias"] + np.float32(1e-6)
    path = changed(weights, tmp_path / "x.safetensors", **{"output.bias": bias})
    with pytest.raises(WeightsError, match="SHA-256"):
        load_model(str(path))


@pytest.mark.parametrize(
    ("padding", "message"), [("7", "metadata were changed after it was written"), (None, "no padding in its metadata")]
)
def test_the_padding_is_there_and_as_it_was_written(weights, padding, message):
    tensors, metadata = read_tensors(weights)
    del metadata["padding"]
    if padding is None:
        del metadata[METADATA]
    save_file(tensors, weights, metadata if padding is None else metadata | {"padding": padding})
    with pytest.raises(WeightsError, match=message):
        load_model(weights)


def test_a_wrong_shape_is_noticed(weights, tmp_path):
    tensors = dict(load_file(weights)) | {"dense4.bias": np.zeros(4, np.float32)}
    digest = {"sha256": fingerprint(tensors)}
    path = changed(weights, tmp_path / "y.safetensors", digest, **{"dense4.bias": tensors["dense4.bias"]})
    with pytest.raises(WeightsError, match=r"dense4.bias has shape \(4,\), expected \(3,\)"):
        load_model(str(path))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"features": '["dz", "dxy"]'}, "features .* expected"),
        ({"vocabulary": "{}"}, "vocabulary .* expected"),
        ({"architecture": "resnet"}, "architecture 'resnet'"),
    ],
)
def test_another_layout_is_refused(weights, tmp_path, metadata, message):
    path = changed(weights, tmp_path / "z.safetensors", metadata)
    with pytest.raises(WeightsError, match=message):
        load_model(str(path))


def test_files_that_are_no_weights(tmp_path):
    with pytest.raises(FileError, match="no such weights file"):
        load_model(str(tmp_path / "none.safetensors"))
    (tmp_path / "text.safetensors").write_text("hello, I am text")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_model(str(tmp_path / "text.safetensors"))


def test_a_folder_with_a_weights_file(tmp_path):
    path = tmp_path / "mine" / "model.safetensors"
    save_model(random_model(1), path, "test")
    assert weights_file(tmp_path / "mine") == path
    assert load_model(tmp_path / "mine").name == "random"


def test_a_name_that_no_model_has():
    with pytest.raises(FileError, match="no such weights file: deepmat, did you mean 'deepmet'"):
        load_model("deepmat")


def test_a_linear_model_round_trip(tmp_path):
    model = Linear({"weight": np.arange(CLASSES, dtype=np.float32)})
    save_model(model, tmp_path / "w.safetensors", "test")
    loaded = load_model(tmp_path / "w.safetensors")
    assert isinstance(loaded, Linear)
    np.testing.assert_array_equal(loaded.tensors["weight"], model.tensors["weight"])


def test_an_mlpf_is_numbers_and_makes_no_ptmiss(tmp_path):
    tensors = {"mean": np.zeros(5, np.float32), "layers.0.codebook": np.ones((4, 3), np.float32)}
    tensors |= {"encoder.0.weight": np.ones((2, 5), np.float32)}
    write_tensors(tmp_path / "net" / "model.safetensors", tensors, {"architecture": "mlpf", "name": "mine"}, {})
    model = load_weights(tmp_path / "net")
    assert (model.name, model.architecture, model.parameters, model.padding) == ("mine", "mlpf", 10, 0)
    with pytest.raises(
        WeightsError, match=r"model\.safetensors holds an MLPF, which makes candidates and not pTmiss: --estimators"
    ):
        load_model(tmp_path / "net")
