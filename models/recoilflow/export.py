"""ONNX graphs of a triangular map, of the networks that learnt it or of the flow itself.

Context (events, columns) and residuals ``u`` (events, features) in, ``corrected`` residuals out; float64, GeV.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ptmiss.files import AnyPath, write_atomically

from ..onnx_graph import Graph, Shape
from .dense import Dense

if TYPE_CHECKING:
    from .weights import RecoilFlow


def graph(networks: Sequence[Dense], features: Sequence[str], context: Sequence[str]) -> Any:
    """The onnx.ModelProto of the networks of a map."""
    g, columns = Graph(), []
    for k, network in enumerate(networks):
        own = g("Gather", "u", np.array([k]), axis=1)
        seen = g("Gather", "u", np.arange(k + 1), axis=1)
        columns.append(g("Add", own, _shift(g, network, g("Concat", "context", seen, axis=1))))
    g("Concat", *columns, axis=1, name="corrected")
    return _model(g, features, context)


def flow_graph(flow: RecoilFlow) -> Any:
    """The onnx.ModelProto of a flow."""
    from .flow_graph import add_map

    g = Graph()
    add_map(g, copy.deepcopy(flow.network).double(), "u", "context", name="corrected")
    return _model(g, flow.shape.features, flow.shape.context)


def _model(g: Graph, features: Sequence[str], context: Sequence[str]) -> Any:
    from onnx import helper

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


def write_onnx(proto: Any, path: AnyPath) -> None:
    """Write a graph, whole or not at all (needs the extra onnx)."""
    import onnx

    onnx.checker.check_model(proto, full_check=True)
    write_atomically(path, proto.SerializeToString())
