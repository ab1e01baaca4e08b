import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ptmiss import estimators
from ptmiss.errors import OptionError, WeightsError
from ptmiss.networks.registry import load_weights
from ptmiss.networks.weights import read_tensors, write_tensors

torch = pytest.importorskip("torch")

from ptmiss.models import training
from ptmiss.models.mlpf import network, reconstruction
from ptmiss.models.mlpf.configuration import Configuration
from ptmiss.models.mlpf.reconstruction import MLPF

from ...helpers import SMALL, random_elements, random_network


@pytest.fixture(scope="module")
def mlpf():
    return MLPF(random_network(**SMALL), "small")


@pytest.fixture
def path(mlpf, tmp_path):
    path = tmp_path / "model.safetensors"
    reconstruction.save(mlpf, path, "random numbers")
    return path


def test_other_weights_under_the_same_name_are_read_again(mlpf, path):
    assert reconstruction.load(path) is reconstruction.load(path)
    reconstruction.save(MLPF(random_network(**SMALL | {"layers": 1}), "other"), path, "random numbers")
    assert reconstruction.load(path).name == "other"


def same(one, other):
    for name, a, b in zip(one._fields, one, other, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def rewritten(path, **changes):
    """The file with other metadata and a hash that is right."""
    tensors, metadata = read_tensors(path)
    write_tensors(path, tensors, metadata | changes, {})
    return path


def test_rows_are_those_of_the_elements(mlpf):
    found = mlpf(random_elements([50, 0, 30]), latents=True)
    assert [len(column) for column in found] == [80] * 7
    assert found.latents.shape[1] == mlpf.latents
    np.testing.assert_allclose(found.probability.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found.kind, found.probability.argmax(axis=1))
    assert (found.energy >= 0.9999 * found.pt * np.cosh(found.eta)).all()
    types = {name: column.dtype for name, column in found._asdict().items()}
    assert (types.pop("kind"), types.pop("latents")) == (np.int8, np.float16)
    assert set(types.values()) == {np.dtype(np.float32)}


def test_pt_is_the_expected_one(mlpf):
    elements = random_elements([40])
    found = mlpf(elements)
    from ptmiss.models.mlpf import inputs

    packed = inputs.pack(elements, mlpf.network.schema)
    with torch.inference_mode():
        pt, *_ = mlpf.network(packed).momentum(packed)
    np.testing.assert_allclose(found.pt, pt.numpy() * (1 - found.probability[:, 0]), rtol=1e-5)


def test_events_without_elements_and_with_many(mlpf):
    found = mlpf(random_elements([0, 20_000, 0]))
    assert len(found.pt) == 20_000
    assert np.isfinite(found.pt).all()
    assert len(mlpf(random_elements([])).pt) == len(mlpf(random_elements([0])).pt) == 0


def test_the_size_of_parts_does_not_matter(mlpf):
    elements = random_elements([60, 10, 200, 0, 40])
    whole, parts = mlpf(elements), mlpf(elements, part=64)
    np.testing.assert_allclose(parts.pt, whole.pt, rtol=1e-3, atol=1e-5)


def test_a_weights_file_gives_the_same_network(mlpf, path):
    again = reconstruction.load(path)
    same(again(random_elements([70])), mlpf(random_elements([70])))
    assert (again.name, again.parameters) == ("small", mlpf.parameters)
    assert reconstruction.load(path) is again
    assert again.network.configuration == mlpf.network.configuration


def test_a_file_of_another_architecture(path):
    with pytest.raises(WeightsError, match=r"model\.safetensors: architecture 'deepmet', expected 'mlpf'"):
        reconstruction.load(rewritten(path, architecture="deepmet"))


def test_weights_where_those_of_the_other_architecture_are_expected(path, weights):
    with pytest.raises(WeightsError, match="architecture 'deepmet', expected 'mlpf': only an MLPF makes candidates"):
        estimators.make_estimators(["mlpf_puppi"], {"mlpf": weights})
    with pytest.raises(WeightsError, match="holds an MLPF, which makes candidates and not pTmiss"):
        estimators.make_estimators(["deepmet"], {"deepmet": path})


def test_the_shipped_network_is_found_by_its_name(mlpf, nothing_shipped):
    path = nothing_shipped / "mlpf" / "model.safetensors"
    reconstruction.save(mlpf, path, "random numbers")
    (estimator,) = estimators.make_estimators(["mlpf"])
    assert estimator.reconstruction.weights == str(path)
    assert reconstruction.load("mlpf").name == "small"
    assert estimators.names().count("mlpf") == 1


def test_what_a_weights_file_says_without_torch(mlpf, path):
    assert load_weights(path).parameters == mlpf.parameters
    assert load_weights(path.parent).name == "small"
    graph = MLPF(random_network("lsh", width=32, hidden=16, window=16), "graph")
    reconstruction.save(graph, path.with_name("graph.safetensors"), "random numbers")
    assert load_weights(path.with_name("graph.safetensors")).parameters == graph.parameters


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ('{"width": 4}', "width 4: Input should be greater than or equal to 8"),
        ('{"depth": 4}', "depth 4: Extra inputs are not permitted"),
        ("", "configuration '': Invalid JSON"),
    ],
)
def test_a_configuration_that_makes_no_sense(path, configuration, message):
    with pytest.raises(WeightsError, match=message):
        reconstruction.load(rewritten(path, configuration=configuration))


def test_weights_of_another_configuration(path):
    other = Configuration(**{**SMALL, "hidden": 32}).model_dump_json()
    with pytest.raises(WeightsError, match=r"encoder\.0\.weight has shape \(16, 47\), expected \(32, 47\)"):
        reconstruction.load(rewritten(path, configuration=other))


def test_features_in_another_order(path, mlpf):
    features = list(mlpf.network.schema.features)
    features[2:4] = features[3:1:-1]
    with pytest.raises(WeightsError, match="features in another order: 'is_hf_em' where 'is_hcal' is expected"):
        reconstruction.load(rewritten(path, features=json.dumps(features)))


def test_a_value_that_was_changed(path):
    tensors = load_file(path)
    _, metadata = read_tensors(path)
    tensors["mean"] = tensors["mean"] + 1
    save_file(tensors, path, metadata)
    with pytest.raises(WeightsError, match="SHA-256"):
        reconstruction.load(path)


def test_cuda_where_there_is_none(monkeypatch):
    monkeypatch.setattr(training.torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="--device cuda: this machine has no CUDA device"):
        MLPF(network.build(Configuration(**SMALL)), "small", "cuda")
