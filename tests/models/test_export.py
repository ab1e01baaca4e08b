import sys

import numpy as np
import pytest

from ptmiss.candidates import CATEGORIES, VOCABULARY
from ptmiss.errors import FileError, OptionError
from ptmiss.models.export import write_onnx
from ptmiss.networks.deepmet import WIDTHS
from ptmiss.networks.linear import CLASSES, Linear

from ..helpers import random_candidates, random_model, straight

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

COUNTS = (0, 1, 700, 2000)


def exported(model, path):
    """A function of physical features and categories that runs the exported graph."""
    write_onnx(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def met(features, categories):
        index = [np.searchsorted(VOCABULARY[name], categories[:, i]) for i, name in enumerate(CATEGORIES)]
        (answer,) = session.run(None, {"features": features, "categories": np.stack(index, axis=1).astype(np.int64)})
        return answer

    return met


@pytest.mark.parametrize("padding", [0, 4500])
@pytest.mark.parametrize(("embedding", "widths"), [((8, 8, 8), WIDTHS), ((4, 8, 3), WIDTHS), ((8, 8, 8), (96, 48, 24))])
def test_the_graph_is_the_network_in_double_precision(tmp_path, padding, embedding, widths):
    model = random_model(2, padding, embedding, widths)
    met = exported(model, tmp_path / "net.onnx")
    for n in COUNTS:
        features, categories, offsets = random_candidates([n], seed=n)
        np.testing.assert_allclose(met(features, categories), straight(model, features, categories, padding), atol=1e-4)
        np.testing.assert_allclose(
            met(features, categories), model.met(features, categories, offsets)[0], rtol=1e-6, atol=5e-3
        )


def test_candidates_beyond_the_padding_do_not_count(tmp_path):
    model = random_model(2, padding=500)
    met = exported(model, tmp_path / "net.onnx")
    features, categories, _ = random_candidates([700])
    expected = straight(model, features[:500], categories[:500], 500)
    np.testing.assert_allclose(met(features, categories), expected, atol=1e-4)


def test_overflowing_momenta_count_as_zero(tmp_path):
    met = exported(random_model(2), tmp_path / "net.onnx")
    features, categories, _ = random_candidates([20])
    zeroed = features.copy()
    features[3, [4, 6, 7]], zeroed[3, [4, 6, 7]] = 1e9, 0
    np.testing.assert_array_equal(met(features, categories), met(zeroed, categories))


def test_only_a_deepmet_can_be_exported(tmp_path):
    with pytest.raises(
        OptionError, match="'linear' has architecture linear; only a deepmet or an mlpf can be exported"
    ):
        write_onnx(Linear({"weight": np.ones(CLASSES, np.float32)}), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(OptionError, match="needs the extra onnx"):
        write_onnx(random_model(), tmp_path / "x.onnx")


def test_a_graph_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot write"):
        write_onnx(random_model(), tmp_path / "file" / "x.onnx")
