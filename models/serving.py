"""A Triton model repository of a network: ``NAME/config.pbtxt`` and ``NAME/VERSION/model.onnx``.

``packed`` is the graph of ``ptmiss models export-onnx``, one event of any number of candidates or elements a request.
``cms-4500`` and ``cms-12500`` are CMS's layout of DeepMET: batches of events in so many slots, inputs ``input``
(dxy, dz, η, mass, pt, PUPPI weight, px, py; momenta in units of 50 GeV) and ``input_cat0`` to ``input_cat2`` (charge,
pdgId, fromPV as indices), all float32, and output ``output/BiasAdd``, pTmiss in units of 50 GeV. Slots of zeros count
in a model with that padding, as they do in CMS's software; a model without padding has none: they are masked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ptmiss import results
from ptmiss.errors import OptionError, UnknownName
from ptmiss.files import AnyPath, as_path
from ptmiss.models import export
from ptmiss.models.deepmet.export import dense, normalise
from ptmiss.models.onnx_graph import Graph
from ptmiss.networks.deepmet import DeepMET
from ptmiss.networks.features import FEATURES
from ptmiss.networks.registry import Weights

LAYOUTS = {"packed": 0, "cms-4500": 4500, "cms-12500": 12500}
LARGEST_BATCH = 100
TYPES = {1: "TYPE_FP32", 7: "TYPE_INT64", 11: "TYPE_FP64"}
"""Triton's names of ONNX's types."""


def write(model: Weights, output: AnyPath, layout: str = "packed", version: int = 1) -> Path:
    """Write a model repository into a directory; returns the model's folder in it.

    Raises:
        UnknownName: there is no such layout.
        OptionError: the extra onnx is not installed, or the layout is not for this network.
    """
    if layout not in LAYOUTS:
        raise UnknownName("layout", layout, LAYOUTS)
    slots = LAYOUTS[layout]
    proto = cms(model, slots) if slots else export.graph(model)
    name = model.name if not slots else f"{model.name}_{slots}"
    with results.replacing_directory(as_path(output)) as temporary:
        folder = temporary / name / str(version)
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(proto.SerializeToString())
        (temporary / name / "config.pbtxt").write_text(configuration(name, proto, LARGEST_BATCH if slots else 0))
    return as_path(output) / name


def configuration(name: str, proto: Any, batch: int) -> str:
    """Triton's description of a graph; batch: largest batch, 0 for none."""
    parts = [f'name: "{name}"', 'backend: "onnxruntime"', f"max_batch_size: {batch}"]
    for side, values in (("input", proto.graph.input), ("output", proto.graph.output)):
        described = []
        for value in values:
            kind = value.type.tensor_type
            sizes = [size.dim_value or -1 for size in kind.shape.dim][1 if batch else 0 :]
            dims = ", ".join(map(str, sizes))
            described.append(f'  {{ name: "{value.name}" data_type: {TYPES[kind.elem_type]} dims: [ {dims} ] }}')
        parts.append(f"{side} [\n" + ",\n".join(described) + "\n]")
    return "\n".join(parts) + "\n"


def cms(model: Any, slots: int) -> Any:
    """A DeepMET in CMS's layout as an onnx.ModelProto."""
    from onnx import TensorProto

    if not isinstance(model, DeepMET) or model.sees_neighbours:
        raise OptionError(f"model {model.name!r} is no DeepMET of candidates alone, and has no layout of CMS")
    if model.padding not in (0, slots):
        raise OptionError(f"model {model.name!r} has {model.padding} slots: take the layout cms-{model.padding}")
    build = Graph()
    features, *categories = (
        build("Cast", name, to=kind)
        for name, kind in [("input", TensorProto.DOUBLE), *((f"input_cat{i}", TensorProto.INT64) for i in range(3))]
    )
    parts = [features]
    for name, index in zip(("charge", "pdgId", "fromPV"), categories, strict=True):
        parts.append(build("Gather", model.tensors[f"embedding.{name}"], build("Squeeze", index, [2]), axis=0))
    x = build("Concat", *parts, axis=2)
    for layer in (1, 2, 3):
        x = normalise(build, model, f"norm{layer}", build("Tanh", dense(build, model, f"dense{layer}", x)))
    weight, bias = build("Split", dense(build, model, "dense4", x), split=[1, 2], axis=2, outputs=2)
    vectors = build("Concat", bias, build("Gather", features, [6, 7], axis=2), axis=2)
    terms = build("Mul", build("Sub", weight, np.ones(1)), vectors)
    if not model.padding:
        size = build("ReduceSum", build("Abs", features), [2], keepdims=1)
        terms = build("Mul", terms, build("Cast", build("Greater", size, np.zeros(1)), to=TensorProto.DOUBLE))
    met = dense(build, model, "output", build("ReduceSum", terms, [1], keepdims=0))
    build("Cast", met, to=TensorProto.FLOAT, name="output/BiasAdd")
    inputs: dict[str, Any] = {"input": (np.float32, ("batch", slots, len(FEATURES)))}
    inputs |= {f"input_cat{i}": (np.float32, ("batch", slots, 1)) for i in range(3)}
    return build.model(model.name, inputs, {"output/BiasAdd": (np.float32, ("batch", 2))})
