"""The released graphs against what TensorFlow answers for them."""

import struct

import numpy as np
import pytest

from ptmiss.candidates import VOCABULARY
from ptmiss.errors import FileError, WeightsError
from ptmiss.models import cmssw

TUNES = [(1, "tf_met_resolution_1"), (2, "tf_met_response_2")]


def reference(path):
    """Features and categories in physical values, offsets and TensorFlow's answers."""
    with np.load(path) as file:
        stored = {name: file[name] for name in file.files}
    momenta = {name: stored[f"{name}_over_50"].astype(np.float32) * 50 for name in ("pt", "px", "py")}
    features = stored | momenta
    names = ("dxy", "dz", "eta", "mass", "pt", "puppiWeight", "px", "py")
    index = (stored["cat0_charge_plus1"], stored["cat1_pdg_index"], stored["cat2_fromPV"])
    return (
        np.stack([features[name].astype(np.float32) for name in names], axis=1),
        np.stack([np.take(VOCABULARY[name], i) for name, i in zip(VOCABULARY, index, strict=True)], axis=1),
        stored,
    )


@pytest.mark.parametrize("sample", ["real", "synthetic"])
@pytest.mark.parametrize(("graph", "answer"), TUNES)
def test_equals_tensorflow_in_every_event(shared, sample, graph, answer):
    model = cmssw.read_deepmet(shared / "deepmet" / f"deepmet_{graph}.graphdef")
    features, categories, stored = reference(shared / "deepmet" / f"tf_reference_{sample}.npz")
    counts = np.diff(stored["offsets"])
    met = model.met(features, categories, stored["offsets"])
    np.testing.assert_allclose(met, stored[answer], atol=2e-3, rtol=0)
    if sample == "synthetic":
        assert {0, 4500} <= set(counts)


@pytest.mark.parametrize("graph", [1, 2, 3])
def test_all_released_graphs_are_the_published_network(shared, graph):
    model = cmssw.read_deepmet(shared / "deepmet" / f"deepmet_{graph}.graphdef")
    assert (model.parameters, model.padding) == (5149, 4500)


def test_zero_padding_is_not_neutral(shared):
    """3500 empty slots move pTmiss by (-0.90, -0.77) GeV in the resolution tune, (0.44, -2.56) in the response tune."""
    features, categories, _ = reference(shared / "deepmet" / "tf_reference_real.npz")
    for graph, shift in ((1, (-0.90, -0.77)), (2, (0.44, -2.56))):
        path = shared / "deepmet" / f"deepmet_{graph}.graphdef"
        few, many = (
            cmssw.read_deepmet(path, padding).met(features[:900], categories[:900], np.array([0, 900]))[0]
            for padding in (1000, 4500)
        )
        np.testing.assert_allclose(many - few, shift, atol=0.01)


def test_a_truncated_graph(shared, tmp_path):
    content = (shared / "deepmet" / "deepmet_1.graphdef").read_bytes()
    for length in (0, 1, 100, 20_000, len(content) - 1):
        path = tmp_path / "cut.graphdef"
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="not a"):
            cmssw.read_deepmet(path)


@pytest.mark.parametrize("content", [b"hello, world, not a graph", b"\xff" * 40, bytes(range(256))])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "x.pb").write_bytes(content)
    with pytest.raises(WeightsError, match=r"x\.pb is not a"):
        cmssw.read_deepmet(tmp_path / "x.pb")


def test_no_such_graph(tmp_path):
    with pytest.raises(FileError, match="no such graph file"):
        cmssw.read_deepmet(tmp_path / "none.pb")


def field(number, wire, payload):
    length = bytes([len(payload)]) if wire == cmssw.BYTES else b""
    return bytes([number << 3 | wire]) + length + payload


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (field(4, cmssw.BYTES, struct.pack("<4f", 1, 2, 3, 4)), [[1, 2], [3, 4]]),
        (field(5, cmssw.BYTES, struct.pack("<4f", 1, 2, 3, 4)), [[1, 2], [3, 4]]),
        (b"".join(field(5, cmssw.FIXED32, struct.pack("<f", x)) for x in (1, 2, 3, 4)), [[1, 2], [3, 4]]),
        (field(5, cmssw.BYTES, struct.pack("<f", 7)), [[7, 7], [7, 7]]),
    ],
)
def test_tensors_packed_listed_or_one_for_all(values, expected):
    dimension = field(2, cmssw.BYTES, field(1, cmssw.VARINT, b"\x02"))
    message = field(2, cmssw.BYTES, dimension + dimension) + values
    np.testing.assert_array_equal(cmssw.tensor(cmssw.fields(message)), expected)


def test_a_tensor_with_a_wrong_number_of_values():
    dimension = field(2, cmssw.BYTES, field(1, cmssw.VARINT, b"\x03"))
    message = field(2, cmssw.BYTES, dimension) + field(4, cmssw.BYTES, struct.pack("<2f", 1, 2))
    with pytest.raises(ValueError, match="has 2 values"):
        cmssw.tensor(cmssw.fields(message))
