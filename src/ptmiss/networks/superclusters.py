"""The network of superclusters in numpy, from a weights file alone: what around a seed is of its electron or photon.

A window is the clusters around a seed, the seed first. Each layer lets a cluster see itself, the seed, and a mean over
the window with learned weights (attention of several heads). The network gives each cluster the probability that it is
of the seed's electron or photon, and the window the energy of that: the sum of probability times energy, times a
factor. The features of clusters are those of ptmiss.simulation.windows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ptmiss.errors import WeightsError
from ptmiss.files import AnyPath, cached_by_file
from ptmiss.networks.registry import SUPERCLUSTERS, Superclusters, weights_file
from ptmiss.networks.weights import Tensors, check_shapes, read_tensors, write_tensors
from ptmiss.segments import Offsets, event_of

FEATURES = (
    "log_et",
    "log_energy_to_seed",
    "outward",
    "dphi",
    "abs_dphi",
    "outward_of_edge",
    "log_dphi_to_bend",
    "in_moustache",
    "log_cells",
    "width",
    "seed_abs_eta",
    "seed_log_et",
    "is_seed",
)
HEADS = 4
LARGEST_SCORE = 15.0


class Answer(NamedTuple):
    """probability: (clusters,) that a cluster is of the seed's particle; energy: (windows,) of that particle, GeV."""

    probability: NDArray[np.float64]
    energy: NDArray[np.float64]


@dataclass(frozen=True)
class Network:
    """A network with so many layers of one width, as its tensors say."""

    tensors: Tensors = field(repr=False)
    name: str = SUPERCLUSTERS

    @property
    def layers(self) -> int:
        """Number of layers."""
        return sum(name.endswith("score.weight") for name in self.tensors)

    def __call__(self, features: NDArray, energy: NDArray, offsets: Offsets) -> Answer:
        """What it says of windows; features: (clusters, 13), energy: (clusters,) GeV, offsets: (windows + 1,)."""
        if len(offsets) == 1:
            return Answer(np.zeros(0), np.zeros(0))
        first, window = offsets[:-1], event_of(offsets)
        h = silu(self.dense("input", (features - self.tensors["mean"]) / self.tensors["scale"]))
        for layer in range(self.layers):
            pooled = self.attend(f"layers.{layer}", h, first, window)
            seen = np.concatenate([h, h[first][window], pooled[window]], axis=1)
            h = h + silu(self.dense(f"layers.{layer}.update", seen))
        probability = expit(self.dense("member", h)[:, 0])
        part = probability * energy
        total = np.add.reduceat(part, first)
        mean = np.add.reduceat(part[:, np.newaxis] * h, first) / total[:, np.newaxis]
        hidden = silu(self.dense("hidden", np.concatenate([h[first], mean], axis=1)))
        return Answer(probability, total * np.exp(self.dense("factor", hidden)[:, 0]))

    def attend(self, layer: str, h: NDArray, first: NDArray[np.int64], window: NDArray[np.int64]) -> NDArray:
        """(windows, width) means of the clusters' values, a part of the width for each head."""
        weight = np.exp(np.clip(self.dense(f"{layer}.score", h), -LARGEST_SCORE, LARGEST_SCORE))
        share = weight / np.add.reduceat(weight, first)[window]
        value = self.dense(f"{layer}.value", h).reshape(len(h), HEADS, -1)
        return np.add.reduceat((share[:, :, np.newaxis] * value).reshape(len(h), -1), first)

    def dense(self, name: str, x: NDArray) -> NDArray:
        """A linear layer."""
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]


def silu(x: NDArray) -> NDArray:
    """x times its logistic function."""
    return x * expit(x)


def shapes(width: int, layers: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor."""
    sizes: dict[str, tuple[int, ...]] = {"input": (width, len(FEATURES)), "member": (1, width)}
    sizes |= {"hidden": (width, 2 * width), "factor": (1, width)}
    for layer in range(layers):
        parts = {"score": (HEADS, width), "value": (width, width), "update": (width, 3 * width)}
        sizes |= {f"layers.{layer}.{name}": size for name, size in parts.items()}
    named = {f"{name}.weight": size for name, size in sizes.items()}
    named |= {f"{name}.bias": size[:1] for name, size in sizes.items()}
    return named | {"mean": (len(FEATURES),), "scale": (len(FEATURES),)}


def save(model: Superclusters, path: AnyPath, provenance: str) -> str:
    """Write the weights file, whole or not at all; returns its hash."""
    metadata = {"architecture": SUPERCLUSTERS, "name": model.name, "provenance": provenance}
    return write_tensors(path, model.tensors, metadata, {"features": json.dumps(FEATURES)})


def load(name_or_path: AnyPath = SUPERCLUSTERS) -> Network:
    """The network of a shipped model, of a folder, or of a weights file. Each is read once in a process."""
    return read(weights_file(name_or_path))


@cached_by_file
def read(path: Path) -> Network:
    """The network in a weights file."""
    tensors, metadata = read_tensors(path)
    if (kind := metadata.get("architecture")) != SUPERCLUSTERS:
        raise WeightsError(f"{path}: architecture {kind!r}, expected {SUPERCLUSTERS!r}: only it makes superclusters")
    if (stated := json.loads(metadata.get("features", "null"))) != list(FEATURES):
        raise WeightsError(f"{path}: features {stated}, expected {list(FEATURES)}")
    model = Network(tensors, metadata.get("name", path.parent.name))
    width = len(tensors.get("input.bias", ()))
    check_shapes(model.name, tensors, shapes(width, model.layers))
    return model
