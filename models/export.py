"""Networks as ONNX graphs: one event of any number of candidates or elements, as CMSSW would run it.

What goes in and out is said where each graph is made: deepmet.export and mlpf.export. The file's metadata say what the network
is: name, architecture, SHA-256 of the weights, features in their order, and vocabularies or classes.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from ptmiss.errors import OptionError
from ptmiss.files import write_atomically
from ptmiss.networks.registry import Weights
from ptmiss.networks.weights import fingerprint

EXPORTED = ("deepmet", "mlpf")


def write_onnx(model: Weights, path: Path) -> str:
    """Write a DeepMET or an MLPF as ONNX, whole or not at all (needs the extra onnx); returns what goes in and out."""
    try:
        import onnx
    except ImportError as error:
        raise OptionError("export to ONNX needs the extra onnx: pip install 'ptmiss[onnx]'") from error
    proto = graph(model)
    onnx.checker.check_model(proto, full_check=True)
    write_atomically(path, proto.SerializeToString())
    told = [", ".join(map(shape, side)) for side in (proto.graph.input, proto.graph.output)]
    return " -> ".join(told)


def graph(model: Any) -> Any:
    """The network as an onnx.ModelProto with its metadata."""
    from onnx import helper

    if model.architecture not in EXPORTED:
        raise OptionError(
            f"model {model.name!r} is a {model.architecture}, and only a DeepMET or an MLPF can be exported"
        )
    export = import_module(f".{model.architecture}.export", __package__)
    proto = export.graph(model)
    about = {"name": model.name, "architecture": model.architecture, "sha256": fingerprint(model.tensors)}
    helper.set_model_props(proto, {**about, **export.described(model)})
    return proto


def shape(value: Any) -> str:
    """Name and shape of an input or output."""
    sizes = [size.dim_param or str(size.dim_value) for size in value.type.tensor_type.shape.dim]
    return f"{value.name} ({', '.join(sizes)}{',' * (len(sizes) == 1)})"
