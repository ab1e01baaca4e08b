"""A DeepMET as an ONNX graph.

Inputs: ``features`` (n, 8) float32 in GeV and cm, and ``categories`` (n, 3) int64 indices in the vocabularies. Output:
``met`` (2,) float64, GeV. The graph computes in double precision, since the errors of a thousand candidates add up.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ptmiss.candidates import CATEGORIES, VOCABULARY
from ptmiss.errors import OptionError
from ptmiss.networks.deepmet import EPSILON, DeepMET
from ptmiss.networks.features import FEATURES, OVERFLOW, SCALE

from ..onnx_graph import Graph

SCALED = [4, 6, 7]


def metadata(model: DeepMET) -> dict[str, str]:
    """The metadata about the inputs."""
    return {"features": json.dumps(FEATURES), "vocabulary": json.dumps(VOCABULARY), "padding": str(model.padding)}


def graph(model: DeepMET) -> Any:
    """The network as an onnx.ModelProto; OptionError if it has sums over neighbours, which a graph cannot make."""
    if model.sees_neighbours:
        raise OptionError(f"model {model.name!r} has sums over neighbours, for which there is no ONNX graph")
    build = Graph()
    features, categories = (first(build, model, name) for name in ("features", "categories"))
    terms = contributions(build, model, features, categories)
    sums = build("ReduceSum", terms, [0], keepdims=1)
    sums = build("Add", sums, pad(build, model, features)) if model.padding else sums
    met = build("Mul", dense(build, model, "output", sums), SCALE)
    build("Squeeze", met, [0], name="met")
    inputs = {"features": (np.float32, ("n", len(FEATURES))), "categories": (np.int64, ("n", len(CATEGORIES)))}
    return build.model(model.name, inputs, {"met": (np.float64, (2,))})


def contributions(build: Graph, model: DeepMET, features: str, categories: str) -> str:
    """(n, 4) contributions of candidates, see ptmiss.networks.deepmet."""
    from onnx import TensorProto

    features = build("Cast", features, to=TensorProto.DOUBLE)
    is_scaled = np.isin(np.arange(len(FEATURES)), SCALED)
    features = build("Mul", features, np.where(is_scaled, 1 / SCALE, 1.0))
    inside = build("LessOrEqual", build("Abs", features), np.where(is_scaled, OVERFLOW, np.inf))
    features = build("Where", inside, features, np.zeros(1))
    parts = [features]
    for i, category in enumerate(CATEGORIES):
        index = build("Gather", categories, i, axis=1)
        parts.append(build("Gather", model.tensors[f"embedding.{category}"], index, axis=0))
    x = build("Concat", *parts, axis=1)
    for layer in (1, 2, 3):
        x = normalise(build, model, f"norm{layer}", build("Tanh", dense(build, model, f"dense{layer}", x)))
    weight, bias = build("Split", dense(build, model, "dense4", x), split=[1, 2], axis=1, outputs=2)
    vectors = build("Concat", bias, build("Gather", features, [6, 7], axis=1), axis=1)
    return build("Mul", build("Sub", weight, np.ones(1)), vectors)


def normalise(build: Graph, model: DeepMET, name: str, x: str) -> str:
    """A batch normalisation."""
    gamma, beta, mean, variance = (
        model.tensors[f"{name}.{part}"].astype(float) for part in ("gamma", "beta", "mean", "variance")
    )
    factor = gamma / np.sqrt(variance + EPSILON)
    return build("Add", build("Mul", x, factor), beta - factor * mean)


def dense(build: Graph, model: DeepMET, name: str, x: str) -> str:
    """A linear layer."""
    return build("Add", build("MatMul", x, model.tensors[f"{name}.kernel"]), model.tensors[f"{name}.bias"])


def first(build: Graph, model: DeepMET, name: str) -> str:
    """The candidates of an input that count: with padding at most as many as there are slots, as in CMSSW."""
    return build("Slice", name, [0], [model.padding], [0]) if model.padding else name


def pad(build: Graph, model: DeepMET, features: str) -> str:
    """(1, 4) contribution of the slots that CMSSW fills with zeros: (padding - n) times that of one."""
    from onnx import TensorProto

    n = build("Gather", build("Shape", features), 0, axis=0)
    empty = build("Cast", build("Sub", model.padding, n), to=TensorProto.DOUBLE)
    zeros, indices = np.zeros((1, len(FEATURES))), np.zeros((1, len(CATEGORIES)), np.int64)
    return build("Mul", empty, contributions(build, model, build.constant(zeros), build.constant(indices)))
