"""The networks of a triangular map as one ONNX graph: context and residuals in, corrected residuals out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ptmiss.files import AnyPath, write_atomically

from ..onnx_graph import Graph, Shape
from .dense import Dense


def graph(networks: Sequence[Dense], features: Sequence[str], context: Sequence[str]) -> Any:
    """The onnx.ModelProto of a map; all numbers are float64."""
    from onnx import helper

    g, columns = Graph(), []
    for k, network in enumerate(networks):
        own = g("Gather", "u", np.array([k]), axis=1)
        seen = g("Gather", "u", np.arange(k + 1), axis=1)
        columns.append(g("Add", own, _shift(g, network, g("Concat", "context", seen, axis=1))))
    g("Concat", *columns, axis=1, name="corrected")
    shapes: dict[str, Shape] = {"context": ["events", len(context)], "u": ["events", len(features)]}
    inputs = {name: (np.float64, shape) for name, shape in shapes.items()}
    proto = g.model("recoilflow", inputs, {"corrected": (np.float64, shapes["u"])})
    helper.set_model_props(proto, {"features": json.dumps(list(features)), "context": json.dumps(list(context))})
    return proto


def _shift(g: Graph, network: Dense, inputs: str) -> str:
    """Name of the (events, 1) shifts that a network gives."""
    x = g("Max", g("Min", inputs, network.high[np.newaxis]), network.low[np.newaxis])
    for number, (weights, biases) in enumerate(network.layers):
        x = g("Mul", x, g("Sigmoid", x)) if number else x
        x = g("Add", g("MatMul", x, np.ascontiguousarray(weights.T)), biases[np.newaxis])
    return str(x)


def write_onnx(networks: Sequence[Dense], features: Sequence[str], context: Sequence[str], path: AnyPath) -> None:
    """Write the graph of a map, whole or not at all (needs the extra onnx)."""
    import onnx

    proto = graph(networks, features, context)
    onnx.checker.check_model(proto, full_check=True)
    write_atomically(path, proto.SerializeToString())
