"""A DeepMET as an ONNX graph: one event of any number of candidates, as CMSSW would run it.

Inputs ``features`` (n, 8) float32 in GeV and cm and ``categories`` (n, 3) int64 indices in the vocabularies; output ``met``
(2,) float64, GeV. It computes in double precision: errors of a thousand candidates add up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import OptionError
from ptmiss.files import write_atomically
from ptmiss.inference import EPSILON, DeepMET
from ptmiss.inputs import CATEGORIES, FEATURES, OVERFLOW, SCALE

OPSET = 18
SCALED = [4, 6, 7]


def write_onnx(model: DeepMET, path: Path) -> None:
    """Write a model as ONNX, whole or not at all (needs the extra onnx)."""
    try:
        import onnx
    except ImportError as error:
        raise OptionError("export to ONNX needs the extra onnx: pip install 'ptmiss[onnx]'") from error
    proto = graph(model)
    onnx.checker.check_model(proto, full_check=True)
    write_atomically(path, proto.SerializeToString())


def graph(model: DeepMET):  # type: ignore[no-untyped-def]
    """The network as an onnx.ModelProto."""
    from onnx import TensorProto, helper

    build = Graph()
    features = build("Cast", "features", to=TensorProto.DOUBLE)
    scale = np.where(np.isin(np.arange(len(FEATURES)), SCALED), 1 / SCALE, 1.0)
    features = build("Mul", features, build.constant(scale))
    limit = np.where(np.isin(np.arange(len(FEATURES)), SCALED), OVERFLOW, np.inf)
    inside = build("LessOrEqual", build("Abs", features), build.constant(limit))
    features = build("Where", inside, features, build.constant(np.zeros(1)))
    parts = [features]
    for i, category in enumerate(CATEGORIES):
        index = build("Gather", "categories", build.constant(np.asarray(i)), axis=1)
        parts.append(build("Gather", build.constant(model.tensors[f"embedding.{category}"]), index, axis=0))
    x = build("Concat", *parts, axis=1)
    for layer in (1, 2, 3):
        x = build("Tanh", dense(build, model, f"dense{layer}", x))
        part = {
            name: model.tensors[f"norm{layer}.{name}"].astype(float) for name in ("gamma", "beta", "mean", "variance")
        }
        factor = part["gamma"] / np.sqrt(part["variance"] + EPSILON)
        x = build("Mul", x, build.constant(factor))
        x = build("Add", x, build.constant(part["beta"] - factor * part["mean"]))
    weight, bias = build("Split", dense(build, model, "dense4", x), split=[1, 2], axis=1, outputs=2)
    momentum = build("Gather", features, build.constant(np.asarray([6, 7])), axis=1)
    terms = build("Mul", build("Sub", weight, build.constant(np.ones(1))), build("Concat", bias, momentum, axis=1))
    sums = build("ReduceSum", terms, build.constant(np.asarray([0])), keepdims=1)
    sums = build("Add", sums, padded(build, model)) if model.padding else sums
    met = build("Mul", dense(build, model, "output", sums), build.constant(np.asarray(SCALE)))
    build("Squeeze", met, build.constant(np.asarray([0])), name="met")
    inputs = [
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", len(FEATURES)]),
        helper.make_tensor_value_info("categories", TensorProto.INT64, ["n", len(CATEGORIES)]),
    ]
    output = [helper.make_tensor_value_info("met", TensorProto.DOUBLE, [2])]
    made = helper.make_graph(build.nodes, model.name, inputs, output, build.constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9, producer_name="ptmiss")


def dense(build: Graph, model: DeepMET, name: str, x: str) -> str:
    """A linear layer."""
    product = build("MatMul", x, build.constant(model.tensors[f"{name}.kernel"]))
    return build("Add", product, build.constant(model.tensors[f"{name}.bias"]))


def padded(build: Graph, model: DeepMET) -> str:
    """What the slots add that CMSSW fills with zeros: (padding - n) times a constant."""
    from onnx import TensorProto

    n = build("Gather", build("Shape", "features"), build.constant(np.asarray(0)), axis=0)
    empty = build("Sub", build.constant(np.asarray(model.padding)), n)
    return build("Mul", build("Cast", empty, to=TensorProto.DOUBLE), build.constant(model.empty_slot))


class Graph:
    """Nodes and constants as they are made; each gets a name of its own."""

    def __init__(self) -> None:
        self.nodes: list = []
        self.constants: list = []

    def __call__(self, kind: str, *inputs: str, name: str = "", outputs: int = 1, **attributes):  # type: ignore[no-untyped-def]
        """Add a node; returns the name of its output, or of each."""
        from onnx import helper

        if "split" in attributes:
            inputs = (*inputs, self.constant(np.asarray(attributes.pop("split"))))
        names = [name or f"{kind.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, values: NDArray) -> str:
        """Add a constant: integers as int64, numbers as float64."""
        from onnx import numpy_helper

        name = f"constant{len(self.constants)}"
        kind = np.int64 if np.issubdtype(values.dtype, np.integer) else np.float64
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name
