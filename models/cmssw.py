"""DeepMET weights from a released CMSSW graph, a TensorFlow GraphDef, which is read as plain protobuf.

TensorFlow is not needed. The field numbers are those of ``graph.proto``, ``node_def.proto``, ``attr_value.proto`` and
``tensor.proto`` in its tensorflow/core/framework.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import FileError, WeightsError
from ptmiss.files import AnyPath, as_path
from ptmiss.networks.deepmet import DeepMET

PADDING = 4500  # slots of the CMSSW producer for Phase 1
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FLOAT = 1  # DT_FLOAT

Message = Mapping[int, list[int | bytes]]

NAMES = (
    {f"embedding{i}/embeddings": f"embedding.{name}" for i, name in enumerate(("charge", "pdgId", "fromPV"))}
    | {f"dense_{i}/{part}": f"dense{i}.{part}" for i in (1, 2, 3, 4) for part in ("kernel", "bias")}
    | {
        f"batch_normalization_{i}/{theirs}": f"norm{i}.{ours}"
        for i in (1, 2, 3)
        for theirs, ours in (
            ("gamma", "gamma"),
            ("beta", "beta"),
            ("moving_mean", "mean"),
            ("moving_variance", "variance"),
        )
    }
    | {f"output/{part}": f"output.{part}" for part in ("kernel", "bias")}
)


def read_deepmet(path: AnyPath, padding: int = PADDING) -> DeepMET:
    """Read the DeepMET of a released graph.

    Args:
        path: the file, a frozen TensorFlow GraphDef.
        padding: number of slots to which CMSSW pads an event with zeros.

    Returns:
        The network, ready for inference.

    Raises:
        FileError: there is no such file.
        WeightsError: the file is no GraphDef, or the graph no DeepMET.
    """
    path = as_path(path)
    if not path.is_file():
        raise FileError(f"no such graph file: {path}")
    try:
        found = dict(constants(path.read_bytes()))
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise WeightsError(f"{path} is not a TensorFlow GraphDef: {error}") from error
    missing = NAMES.keys() - found.keys()
    if missing:
        raise WeightsError(f"{path} is not a DeepMET graph: it has no {', '.join(sorted(missing))}")
    return DeepMET({ours: found[theirs] for theirs, ours in NAMES.items()}, padding, name=path.stem)


def constants(graph: bytes) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Name and value, an array of any shape, of every float constant in a GraphDef."""
    for node_bytes in fields(graph).get(1, []):
        node = fields(_bytes(node_bytes))
        if node.get(2) != [b"Const"]:
            continue
        attributes = dict(map(entry, node[5]))
        if _int(attributes["dtype"].get(6, [0])[0]) == FLOAT:
            yield _bytes(node[1][0]).decode(), tensor(fields(_bytes(attributes["value"][8][0])))


def entry(item: int | bytes) -> tuple[str, Message]:
    """Key and value of one entry of a node's map of attributes."""
    pair = fields(_bytes(item))
    return _bytes(pair[1][0]).decode(), fields(_bytes(pair[2][0]))


def tensor(message: Message) -> NDArray[np.float32]:
    """The array of a TensorProto of floats, in its shape. The values are packed, listed, or one for all entries."""
    dimensions = [_int(fields(_bytes(d)).get(1, [0])[0]) for d in fields(_bytes(message.get(2, [b""])[0])).get(2, [])]
    content = b"".join(_bytes(part) for part in message.get(4, []) or message.get(5, []))
    values = np.frombuffer(content, "<f4")
    size = int(np.prod(dimensions))
    if len(values) not in (1, size):
        raise ValueError(f"a tensor of shape {dimensions} has {len(values)} values")
    return np.ascontiguousarray(np.broadcast_to(values, size) if len(values) != size else values).reshape(dimensions)


def fields(message: bytes) -> dict[int, list[int | bytes]]:
    """Fields of a protobuf message by number, in order of appearance."""
    out: dict[int, list[int | bytes]] = {}
    position = 0
    while position < len(message):
        key, position = varint(message, position)
        value: int | bytes
        match key & 7:
            case 0:
                value, position = varint(message, position)
            case 1 | 2 | 5 as wire:
                length, position = (8, position) if wire == FIXED64 else (4, position)
                if wire == BYTES:
                    length, position = varint(message, position)
                value, position = message[position : position + length], position + length
                if position > len(message):
                    raise ValueError("it ends in the middle of a field")
            case wire:
                raise ValueError(f"wire type {wire} at byte {position}")
        out.setdefault(key >> 3, []).append(value)
    return out


def varint(message: bytes, position: int) -> tuple[int, int]:
    """A variable-length integer and the position after it."""
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if not byte & 0x80:
            return value, position
        if shift > 63:
            raise ValueError(f"an integer of more than 64 bits at byte {position}")


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("a number where a message should be")
    return value


def _int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise TypeError("a message where a number should be")
    return value
