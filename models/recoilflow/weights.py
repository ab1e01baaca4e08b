"""A flow's file: safetensors with its weights, what it was trained on, and the order of its features and context."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from ptmiss.errors import WeightsError
from ptmiss.files import AnyPath
from ptmiss.networks.weights import check_shapes, read_tensors, write_tensors
from ptmiss.typing import Array

from .network import Network

ARCHITECTURE, VERSION = "recoilflow", "3"


@dataclass(frozen=True)
class Shape:
    """Names of the features and of the columns of the context, in their order, and sizes of the network."""

    features: tuple[str, ...]
    context: tuple[str, ...]
    hidden: tuple[int, ...]
    bins: int
    splines: int

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Shape:
        """What JSON made of one."""
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
        return cls(**values)

    def network(self) -> Network:
        """A network of this shape, without training."""
        return Network(len(self.features), len(self.context), self.hidden, self.bins, self.splines)


@dataclass(frozen=True)
class RecoilFlow:
    """A trained flow."""

    shape: Shape
    network: Network

    def correct(self, u: ArrayLike, context: ArrayLike) -> Array:
        """(events, features) corrected residuals of simulated ones, GeV; context: (events, columns)."""
        return self.network.correct(u, context)


def tensors_of(network: Network) -> dict[str, np.ndarray]:
    """Its weights and scales by name; masks follow from the shape."""
    state = network.state_dict()
    return {name: v.cpu().numpy().astype(np.float32) for name, v in state.items() if v.dtype.is_floating_point}


def save(flow: RecoilFlow, path: AnyPath, made: Mapping[str, Any]) -> str:
    """Write a flow's file, whole or not at all; return the hash of the weights."""
    about = {"architecture": ARCHITECTURE, "version": VERSION, "shape": json.dumps(asdict(flow.shape))}
    return write_tensors(path, tensors_of(flow.network), {**about, "provenance": json.dumps(made)}, {})


def load(path: AnyPath) -> RecoilFlow:
    """A flow from its file; WeightsError if the file is of something else, of another version, or damaged."""
    tensors, metadata = read_tensors(path)
    if metadata.get("architecture") != ARCHITECTURE:
        raise WeightsError(f"{path}: architecture {metadata.get('architecture')!r}, expected {ARCHITECTURE!r}")
    if metadata.get("version") != VERSION:
        raise WeightsError(f"{path}: version {metadata.get('version')!r} of a flow's file, expected {VERSION!r}")
    shape = Shape.of(json.loads(metadata["shape"]))
    network = shape.network()
    check_shapes(ARCHITECTURE, tensors, {name: values.shape for name, values in tensors_of(network).items()})
    network.load_state_dict({name: torch.from_numpy(values) for name, values in tensors.items()}, strict=False)
    return RecoilFlow(shape, network)
