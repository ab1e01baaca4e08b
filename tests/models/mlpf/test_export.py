import json

import numpy as np
import pytest

from ptmiss.elements import CLASSES, Elements
from ptmiss.errors import OptionError
from ptmiss.networks.weights import fingerprint
from ptmiss.segments import from_counts

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from ptmiss.models.export import write_onnx
from ptmiss.models.mlpf import inputs, morton
from ptmiss.models.mlpf.export import graph
from ptmiss.models.mlpf.layers import Layers
from ptmiss.models.mlpf.reconstruction import MLPF
from ptmiss.models.onnx_graph import Graph

from ...helpers import random_elements, random_network

SIZES = (1, 7, 128, 129, 700)


def fed(elements, schema):
    """The graph's inputs of one event."""
    rows = inputs.pack(elements, schema)
    own = {name: getattr(rows, name).numpy() for name in ("features", "scale", "direction", "position")}
    return {**own, "types": elements["type"].astype(np.int64)}


def exported(mlpf, path):
    """A function of one event's elements that runs the exported graph."""
    write_onnx(mlpf, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(elements):
        given = fed(elements, mlpf.network.schema)
        return session.run(["probability", "momentum"], {name: given[name] for name in names})

    return run


def same(run, mlpf, elements):
    """The graph, event by event, against our inference on all events together."""
    found = mlpf(elements)
    for i, (a, b) in enumerate(zip(elements.offsets[:-1], elements.offsets[1:], strict=True)):
        probability, momentum = run(elements.events(slice(i, i + 1)))
        expected = np.stack([found.pt, found.eta, found.phi, found.energy], axis=-1)[a:b]
        np.testing.assert_allclose(probability, found.probability[a:b], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(momentum, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("compact", {}),
        ("compact", {"angles": True, "layers": 2, "window": 32, "width": 32, "hidden": 16}),
        ("compact", {"inputs": "clic", "layers": 4, "heads": 2}),
        ("exact", {"width": 32, "hidden": 16}),
        ("lsh", {"angles": True}),
        ("cms-v220", {}),
    ],
    ids=["window", "angles", "clic", "exact", "lsh", "published"],
)
def test_the_graph_is_the_network(tmp_path, name, changes):
    mlpf = MLPF(random_network(name, **changes), "random")
    run = exported(mlpf, tmp_path / "net.onnx")
    for n in SIZES:
        same(run, mlpf, random_elements([n], seed=n))
    same(run, mlpf, random_elements([40, 0, 200, 3, 131]))


def test_simulated_events_one_by_one(embedded, tmp_path):
    mlpf = MLPF(random_network(), "random")
    same(exported(mlpf, tmp_path / "net.onnx"), mlpf, embedded.elements)


def test_the_order_in_the_graph_is_that_of_the_curve():
    """At one place, of one type and of pt that is nearly or exactly the same, too."""
    rng, n = np.random.default_rng(5), 4000
    columns = dict(random_elements([n]).columns)
    place = rng.integers(0, 40, n)
    columns["caloEta"] = np.linspace(-14, 14, 40, dtype=np.float32)[place]
    columns["caloPhi"] = np.linspace(-10, 10, 40, dtype=np.float32)[place]
    powers = np.float32(2) ** rng.integers(-12, 12, n)
    columns["pt"] = np.where(
        rng.random(n) < 0.3, powers, np.nextafter(powers, rng.choice([0, 99], n), dtype=np.float32)
    )
    elements = Elements({**columns, "pt": columns["pt"].astype(np.float32)}, from_counts(np.array([n])))
    network = random_network()
    layers = Layers(build := Graph(np.float32), MLPF(network, "x"))
    names = [layers.order(shift) for shift in ((0.0, 0.0), morton.SHIFT)]
    outputs = dict.fromkeys(names, (np.int64, ("n",)))
    floats = {name: (np.float32, ("n", size)) for name, size in (("features", 47), ("scale", 2), ("position", 2))}
    proto = build.model("order", {**floats, "types": (np.int64, ("n",))}, outputs)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    given = fed(elements, network.schema)
    given.pop("direction")
    np.testing.assert_array_equal(session.run(names, given), inputs.pack(elements, network.schema).order.numpy())


def test_what_the_file_says(tmp_path):
    mlpf = MLPF(random_network(), "random")
    told = write_onnx(mlpf, tmp_path / "net.onnx")
    assert told == (
        "features (n, 47), scale (n, 2), direction (n, 2), position (n, 2), types (n,)"
        " -> probability (n, 8), momentum (n, 4)"
    )
    stated = {p.key: p.value for p in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert (stated["name"], stated["architecture"]) == ("random", "mlpf")
    assert stated["sha256"] == fingerprint(mlpf.tensors)
    assert json.loads(stated["features"]) == list(mlpf.network.schema.features)
    assert json.loads(stated["classes"]) == list(CLASSES)


@pytest.mark.parametrize(("name", "layers"), [("exact", 3), ("cms-v220", 6), ("compact", 0), ("lsh", 0)])
def test_attention_over_whole_events_is_one_node_a_layer(name, layers):
    proto = graph(MLPF(random_network(name), "random"))
    nodes = [node for node in proto.graph.node if node.op_type == "MultiHeadAttention"]
    assert len(nodes) == layers
    assert all(node.domain == "com.microsoft" for node in nodes)
    assert [opset.domain for opset in proto.opset_import] == ["", "com.microsoft"][: 1 + bool(layers)]


def test_other_networks_are_not_exported(tmp_path):
    message = "model 'old' is a published-2021 network; only transformer, graph, published-v2.2.0 can be exported"
    with pytest.raises(OptionError, match=message):
        write_onnx(MLPF(random_network("gnn-lsh-2021"), "old"), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
