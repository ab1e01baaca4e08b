"""An MLPF as an ONNX graph: all networks but that of 2021.

Attention over whole events is ``com.microsoft.MultiHeadAttention``, which onnxruntime computes block by block: memory
is linear in n, and no other runtime knows it. Attention in windows is made of standard operators.

Inputs, for the n elements of one event in any order: ``features`` (n, F) float32 as the schema in the file's metadata
names them; ``scale`` (n, 2) float32, pt and energy in GeV; ``direction`` (n, 2) float32, eta and phi at the beam;
``position`` (n, 2) float32, eta and phi on the calorimeter, or the direction again for what never gets there; where
windows or types matter also ``types`` (n,) int64, the number of PFElement_type. ptmiss.models.mlpf.inputs makes all of
them; the order along the space-filling curves is found in the graph. Outputs: ``probability`` (n, 8) float32 of each
class; ``momentum`` (n, 4) float32: pt (GeV), eta, phi, energy (GeV), pt and energy already multiplied by 1 - P(none).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ptmiss.elements import CLASSES
from ptmiss.errors import OptionError

from ..onnx_graph import Graph, Shape
from .graph_layers import GraphLayers
from .layers import Layers
from .published_layers import PublishedLayers
from .reconstruction import MLPF

LAYERS = {"transformer": Layers, "graph": GraphLayers, "published-v2.2.0": PublishedLayers}


def metadata(model: MLPF) -> dict[str, str]:
    """The metadata about inputs and outputs."""
    network = model.network
    return {
        "configuration": network.configuration.model_dump_json(),
        "features": json.dumps(network.schema.features),
        "classes": json.dumps(CLASSES),
    }


def graph(model: MLPF) -> Any:
    """The network as an onnx.ModelProto."""
    network, build = model.network, Graph(np.float32)
    inputs: dict[str, tuple[type, Shape]] = {"features": (np.float32, ("n", len(network.schema.features)))}
    inputs |= dict.fromkeys(("scale", "direction", "position"), (np.float32, ("n", 2)))
    inputs |= {"types": (np.int64, ("n",))}
    layers_of(model)(build, model).all()
    used = {name for node in build.nodes for name in node.input}
    outputs = {"probability": (np.float32, ("n", len(CLASSES))), "momentum": (np.float32, ("n", 4))}
    return build.model(model.name, {name: kind for name, kind in inputs.items() if name in used}, outputs)


def layers_of(model: MLPF) -> type[Layers]:
    """The class that draws a network."""
    kind = model.network.configuration.network
    if kind not in LAYERS:
        raise OptionError(f"model {model.name!r} is a {kind} network; only {', '.join(LAYERS)} can be exported")
    return LAYERS[kind]
