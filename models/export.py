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
from ptmiss.model import Model

OPSET = 18
SCALED = [4, 6, 7]


def write_onnx(model: Model, path: Path) -> None:
    """Write a DeepMET as ONNX, whole or not at all (needs the extra onnx)."""
    if not isinstance(model, DeepMET):
        raise OptionError(f"model {model.name!r} is a {model.architecture}, and only a DeepMET can be exported")
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
    features, categories = (first(build, model, name) for name in ("features", "categories"))
    terms = contributions(build, model, features, categories)
    sums = build("ReduceSum", terms, build.constant(np.asarray([0])), keepdims=1)
    sums = build("Add", sums, padded(build, model, features)) if model.padding else sums
    met = build("Mul", dense(build, model, "output", sums), build.constant(np.asarray(SCALE)))
    build("Squeeze", met, build.constant(np.asarray([0])), name="met")
    inputs = [
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", len(FEATURES)]),
        helper.make_tensor_value_info("categories", TensorProto.INT64, ["n", len(CATEGORIES)]),
    ]
    output = [helper.make_tensor_value_info("met", TensorProto.DOUBLE, [2])]
    made = helper.make_graph(build.nodes, model.name, inputs, output, build.constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9, producer_name="ptmiss")


def contributions(build: Graph, model: DeepMET, features: str, categories: str) -> str:
    """(n, 4) of candidates, see ptmiss.inference."""
    from onnx import TensorProto

    features = build("Cast", features, to=TensorProto.DOUBLE)
    scale = np.where(np.isin(np.arange(len(FEATURES)), SCALED), 1 / SCALE, 1.0)
    features = build("Mul", features, build.constant(scale))
    limit = np.where(np.isin(np.arange(len(FEATURES)), SCALED), OVERFLOW, np.inf)
    inside = build("LessOrEqual", build("Abs", features), build.constant(limit))
    features = build("Where", inside, features, build.constant(np.zeros(1)))
    parts = [features]
    for i, category in enumerate(CATEGORIES):
        index = build("Gather", categories, build.constant(np.asarray(i)), axis=1)
        parts.append(build("Gather", build.constant(model.tensors[f"embedding.{category}"]), index, axis=0))
    x = build("Concat", *parts, axis=1)
    for layer in (1, 2, 3):
        x = normalised(build, model, f"norm{layer}", build("Tanh", dense(build, model, f"dense{layer}", x)))
    weight, bias = build("Split", dense(build, model, "dense4", x), split=[1, 2], axis=1, outputs=2)
    momentum = build("Gather", features, build.constant(np.asarray([6, 7])), axis=1)
    vectors = build("Concat", bias, momentum, axis=1)
    return build("Mul", build("Sub", weight, build.constant(np.ones(1))), vectors)


def normalised(build: Graph, model: DeepMET, name: str, x: str) -> str:
    """A batch normalisation."""
    gamma, beta, mean, variance = (
        model.tensors[f"{name}.{part}"].astype(float) for part in ("gamma", "beta", "mean", "variance")
    )
    factor = gamma / np.sqrt(variance + EPSILON)
    return build("Add", build("Mul", x, build.constant(factor)), build.constant(beta - factor * mean))


def dense(build: Graph, model: DeepMET, name: str, x: str) -> str:
    """A linear layer."""
    product = build("MatMul", x, build.constant(model.tensors[f"{name}.kernel"]))
    return build("Add", product, build.constant(model.tensors[f"{name}.bias"]))


def first(build: Graph, model: DeepMET, name: str) -> str:
    """An input's candidates that count: with padding no more than there are slots, as in CMSSW."""
    if not model.padding:
        return name
    return build("Slice", name, *(build.constant(np.asarray([value])) for value in (0, model.padding, 0)))


def padded(build: Graph, model: DeepMET, features: str) -> str:
    """What the slots add that CMSSW fills with zeros: (padding - n) times what one adds."""
    from onnx import TensorProto

    n = build("Gather", build("Shape", features), build.constant(np.asarray(0)), axis=0)
    empty = build("Cast", build("Sub", build.constant(np.asarray(model.padding)), n), to=TensorProto.DOUBLE)
    zeros, indices = np.zeros((1, len(FEATURES))), np.zeros((1, len(CATEGORIES)), np.int64)
    return build("Mul", empty, contributions(build, model, build.constant(zeros), build.constant(indices)))


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
