"""A trained network that makes particles of elements, a bounded number at a time.

::

    mlpf = reconstruction.load("out/mlpf")
    found = mlpf(Elements.of_events(events))
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError

from ptmiss.elements import PART, TYPES, Elements, Prediction
from ptmiss.errors import OptionError, WeightsError
from ptmiss.files import AnyPath, cached_by_file
from ptmiss.networks.registry import weights_file
from ptmiss.networks.weights import Tensors, check_shapes, read_tensors, write_tensors

from ..training import check_device
from .attention import Groups
from .configuration import Configuration
from .inputs import pack
from .network import Network, build

ARCHITECTURE = "mlpf"


class MLPF:
    """A network with its name, ready to reconstruct."""

    architecture, padding = ARCHITECTURE, 0

    def __init__(self, network: Network, name: str, device: str = "cpu"):
        check_device(device)
        self.network, self.name, self.device = network.to(device).eval(), name, device

    @property
    def tensors(self) -> Tensors:
        """All weights, and the moments that standardise features, by name; each has the shape of its layer."""
        return {name: value.detach().cpu().numpy() for name, value in self.network.state_dict().items()}

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return self.network.count_parameters()

    @property
    def latents(self) -> int:
        """Number of latents of each element; 0 if it gives none."""
        return self.network.latents

    def __call__(self, elements: Elements, part: int = PART, latents: bool = False) -> Prediction:
        """The particles behind these elements, with the network's latents if wanted.

        Whole events with about ``part`` elements are processed together.
        """
        found = [self.part(elements.events(where), latents) for where in elements.parts(part)]
        *columns, seen = zip(*found, strict=True)
        joined = Prediction(*map(np.concatenate, columns))
        return joined._replace(latents=np.concatenate(seen)) if latents else joined

    @torch.inference_mode()
    def groups(self, elements: Elements) -> list[Groups]:
        """Windows or learned bins of these elements in each layer; empty if all elements of an event see each other."""
        return self.network.groups(pack(elements, self.network.schema).to(self.device))

    @torch.inference_mode()
    def part(self, elements: Elements, latents: bool = False) -> Prediction:
        """The same for a few events, all at once: columns (elements,)."""
        rows = pack(elements, self.network.schema).to(self.device)
        outputs = self.network(rows)
        probability = outputs.probability
        weight = 1 - probability[:, 0]
        pt, eta, phi, energy = outputs.momentum(rows)
        columns = (probability.argmax(dim=-1).to(torch.int8), pt * weight, eta, phi, energy * weight, probability)
        found = Prediction(*(column.cpu().numpy() for column in columns))
        if not latents:
            return found
        if outputs.latents is None:
            raise OptionError(f"MLPF {self.name!r} gives no latents: a network {self.network.configuration.network!r}")
        return found._replace(latents=outputs.latents.half().cpu().numpy())


def save(model: MLPF, path: AnyPath, provenance: str) -> str:
    """Write the weights file, whole or not at all; returns its hash."""
    metadata = {
        "architecture": ARCHITECTURE,
        "name": model.name,
        "configuration": model.network.configuration.model_dump_json(),
        "provenance": provenance,
    }
    layout = {"features": json.dumps(model.network.schema.features), "types": json.dumps(list(TYPES))}
    return write_tensors(path, model.tensors, metadata, layout)


def load(name_or_path: AnyPath, device: str = "cpu") -> MLPF:
    """Load the network of a shipped model, of a folder, or of a weights file. Each is read once in a process."""
    return read(weights_file(name_or_path), device)


@cached_by_file
def read(path: Path, device: str = "cpu") -> MLPF:
    """The network in a weights file."""
    tensors, metadata = read_tensors(path)
    if (found := metadata.get("architecture")) != ARCHITECTURE:
        raise WeightsError(f"{path}: architecture {found!r}, expected {ARCHITECTURE!r}: only an MLPF makes candidates")
    network = build(configuration(path, metadata))
    check_layout(path, metadata, network)
    check_shapes(str(path), tensors, {name: tuple(value.shape) for name, value in network.state_dict().items()})
    network.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    return MLPF(network, metadata.get("name", path.parent.name), device)


def configuration(path: Path, metadata: Mapping[str, str]) -> Configuration:
    """The configuration of the network in a weights file's metadata."""
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
            difference = (
                f"{odd[0][0]!r} where {odd[0][1]!r} is expected" if odd else f"{len(stated or [])} of {len(expected)}"
            )
            raise WeightsError(f"{path}: {key} in another order: {difference}")
