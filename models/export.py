"""Networks as ONNX graphs of one event with any number of candidates or elements, as CMSSW would run them.

``deepmet.export`` and ``mlpf.export`` describe inputs and outputs. The metadata of the file have the network's name,
architecture, the SHA-256 of its weights, the features in their order, and vocabularies or classes.
"""

from __future__ import annotations

from typing import Any

from ptmiss.errors import OptionError
from ptmiss.files import AnyPath, write_atomically
from ptmiss.networks.registry import Weights
from ptmiss.networks.weights import fingerprint


def write_onnx(model: Weights, path: AnyPath) -> str:
    """Write a DeepMET or an MLPF as ONNX, whole or not at all (needs the extra onnx).

    Args:
        model: the network.
        path: the ONNX file.

    Returns:
        Names and shapes of the inputs and outputs as text.

    Raises:
        OptionError: the extra is not installed, or the network is of another kind.
    """
    try:
        import onnx
    except ImportError as error:
        raise OptionError("export to ONNX needs the extra onnx: pip install 'ptmiss[onnx]'") from error
    proto = graph(model)
    onnx.checker.check_model(proto, full_check=True)
    write_atomically(path, proto.SerializeToString())
    return " -> ".join(", ".join(map(shape, side)) for side in (proto.graph.input, proto.graph.output))


def graph(model: Any) -> Any:
    """The network as an onnx.ModelProto with its metadata."""
    from onnx import helper

    proto, metadata = draw(model)
    about = {"name": model.name, "architecture": model.architecture, "sha256": fingerprint(model.tensors)}
    helper.set_model_props(proto, {**about, **metadata})
    return proto


def draw(model: Any) -> tuple[Any, dict[str, str]]:
    """The network as an onnx.ModelProto, and the metadata about its inputs and outputs."""
    match model.architecture:
        case "deepmet":
            from .deepmet import export as deepmet

            return deepmet.graph(model), deepmet.metadata(model)
        case "mlpf":
            from .mlpf import export as mlpf

            return mlpf.graph(model), mlpf.metadata(model)
    raise OptionError(
        f"model {model.name!r} has architecture {model.architecture}; only a deepmet or an mlpf can be exported"
    )


def shape(value: Any) -> str:
    """Name and shape of an input or output."""
    sizes = [size.dim_param or str(size.dim_value) for size in value.type.tensor_type.shape.dim]
    return f"{value.name} ({', '.join(sizes)}{',' * (len(sizes) == 1)})"
