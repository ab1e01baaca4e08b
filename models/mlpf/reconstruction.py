"""From elements to particles with a trained network, a bounded number of elements at a time.

::

    mlpf = reconstruction.load("out/mlpf")
    found = mlpf(Elements.of_events(events))
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from ptmiss.elements import PART, TYPES, Elements
from ptmiss.errors import WeightsError
from ptmiss.networks.registry import weights_file
from ptmiss.networks.weights import Tensors, check_shapes, read_tensors, write_tensors
from ptmiss.segments import Offsets

from ..training import check_device
from .attention import Groups
from .configuration import Configuration
from .inputs import packed
from .network import Network, build

ARCHITECTURE = "mlpf"


class Reconstructed(NamedTuple):
    """What elements stand for, row by row beside them, each (elements,) float32 unless said otherwise.

    kind: int8, the likeliest of ptmiss.elements.CLASSES, 0 for none. probability: (elements, 8) of each class. weight:
    1 - P(none). pt, energy: GeV, the expected ones: already multiplied with the weight. eta, phi: rad. offsets:
    (events + 1,).
    """

    kind: NDArray[np.int8]
    probability: NDArray[np.float32]
    weight: NDArray[np.float32]
    pt: NDArray[np.float32]
    eta: NDArray[np.float32]
    phi: NDArray[np.float32]
    energy: NDArray[np.float32]
    offsets: Offsets

    @property
    def particle(self) -> NDArray[np.int8]:
        """The likeliest class if there is a particle: 1 to 7."""
        return (1 + self.probability[:, 1:].argmax(axis=1)).astype(np.int8)


class MLPF:
    """A network with its name, ready to reconstruct."""

    architecture, padding = ARCHITECTURE, 0

    def __init__(self, network: Network, name: str, device: str = "cpu"):
        check_device(device)
        self.network, self.name, self.device = network.to(device).eval(), name, device

    @property
    def tensors(self) -> Tensors:
        """All weights, and what features are standardised with."""
        return {name: value.detach().cpu().numpy() for name, value in self.network.state_dict().items()}

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return self.network.parameters_trained()

    def __call__(self, elements: Elements, part: int = PART) -> Reconstructed:
        """What these elements stand for; so many of them are worked on at a time, in whole events."""
        found = [self.part(elements.events(where)) for where in elements.parts(part)]
        kind, probability, weight, pt, eta, phi, energy = map(np.concatenate, zip(*found, strict=True))
        return Reconstructed(kind, probability, weight, pt, eta, phi, energy, elements.offsets)

    @torch.inference_mode()
    def groups(self, elements: Elements) -> list[Groups]:
        """Windows or learned bins of these elements in each layer; none where all of an event see each other."""
        return self.network.groups(packed(elements, self.network.schema).to(self.device))

    @torch.inference_mode()
    def part(self, elements: Elements) -> tuple[NDArray, ...]:
        """The columns of Reconstructed for some events."""
        rows = packed(elements, self.network.schema).to(self.device)
        outputs = self.network(rows)
        probability = outputs.probability
        weight = 1 - probability[:, 0]
        pt, eta, phi, energy = outputs.momentum(rows)
        columns = (
            probability.argmax(dim=-1).to(torch.int8),
            probability,
            weight,
            pt * weight,
            eta,
            phi,
            energy * weight,
        )
        return tuple(column.cpu().numpy() for column in columns)


def save(model: MLPF, path: Path, provenance: str) -> str:
    """Write the weights file, whole or not at all; returns its hash."""
    described = {
        "architecture": ARCHITECTURE,
        "name": model.name,
        "configuration": model.network.configuration.model_dump_json(),
        "provenance": provenance,
    }
    layout = {"features": json.dumps(model.network.schema.features), "types": json.dumps(list(TYPES))}
    return write_tensors(path, model.tensors, described, layout)


def load(name_or_path: str | Path, device: str = "cpu") -> MLPF:
    """The network of a shipped model's name, of a folder, or of a weights file; read and checked once in a process."""
    return read(weights_file(name_or_path), device)


@lru_cache(maxsize=8)
def read(path: Path, device: str = "cpu") -> MLPF:
    """The network in a weights file."""
    tensors, metadata = read_tensors(path)
    if (found := metadata.get("architecture")) != ARCHITECTURE:
        raise WeightsError(
            f"{path}: architecture {found!r}, expected {ARCHITECTURE!r}: candidates are made by an MLPF alone"
        )
    network = build(configuration(path, metadata))
    check_layout(path, metadata, network)
    check_shapes(str(path), tensors, {name: tuple(value.shape) for name, value in network.state_dict().items()})
    network.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    return MLPF(network, metadata.get("name", path.parent.name), device)


def configuration(path: Path, metadata: Mapping[str, str]) -> Configuration:
    """What the file says that its network is made of."""
    try:
        return Configuration.model_validate_json(metadata.get("configuration", ""))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "configuration"
        raise WeightsError(f"{path}: {where} {first['input']!r}: {first['msg']}") from error


def check_layout(path: Path, metadata: Mapping[str, str], network: Network) -> None:
    """Raise WeightsError unless features and types are in the order that this code uses."""
    for key, expected in (("features", list(network.schema.features)), ("types", list(TYPES))):
        stated = json.loads(metadata.get(key, "null"))
        if stated != expected:
            odd = [(a, b) for a, b in zip(stated or [], expected, strict=False) if a != b]
            told = (
                f"{odd[0][0]!r} where {odd[0][1]!r} is expected" if odd else f"{len(stated or [])} of {len(expected)}"
            )
            raise WeightsError(f"{path}: {key} in another order: {told}")
