"""The network of superclusters in torch, with the layers of ptmiss.networks.superclusters."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ptmiss.networks.registry import Superclusters
from ptmiss.networks.superclusters import FEATURES, HEADS, LARGEST_SCORE

from .dataset import DPHI, Batch, Dataset

LEAST_SCALE = 1e-3


class Outputs(NamedTuple):
    """logit: (clusters,) of the probability; log_energy: (windows,) logarithm of the energy in GeV."""

    logit: Tensor
    log_energy: Tensor


class Layer(nn.Module):
    """A cluster sees itself, the seed, and what the window says in the mean."""

    def __init__(self, width: int):
        super().__init__()
        self.score, self.value = nn.Linear(width, HEADS), nn.Linear(width, width)
        self.update = nn.Linear(3 * width, width)

    def forward(self, h: Tensor, window: Tensor, first: Tensor) -> Tensor:
        """(clusters, width) new values."""
        weight = self.score(h).clamp(-LARGEST_SCORE, LARGEST_SCORE).exp()
        share = weight / add(weight, window, len(first))[window]
        value = self.value(h).view(len(h), HEADS, -1)
        pooled = add((share[:, :, None] * value).flatten(1), window, len(first))
        return h + silu(self.update(torch.cat([h, h[first][window], pooled[window]], dim=1)))


class Network(nn.Module):
    """The network; mean and scale standardise the features."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.input = nn.Linear(len(FEATURES), width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(layers))
        self.member = nn.Linear(width, 1)
        self.hidden, self.factor = nn.Linear(2 * width, width), nn.Linear(width, 1)
        nn.init.zeros_(self.factor.weight)
        nn.init.zeros_(self.factor.bias)
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("scale", torch.ones(len(FEATURES)))

    def measure(self, events: Dataset) -> None:
        """Take mean and scale from windows; both signs of dphi are equally likely."""
        features = torch.from_numpy(events.features)
        self.mean.copy_(features.mean(dim=0))
        self.mean[DPHI] = 0
        self.scale.copy_(features.std(dim=0).clamp(min=LEAST_SCALE))

    def forward(self, batch: Batch) -> Outputs:
        """What it says of windows."""
        window, first = batch.window, batch.first
        h = silu(self.input((batch.features - self.mean) / self.scale))
        for layer in self.layers:
            h = layer(h, window, first)
        logit = self.member(h)[:, 0]
        part = torch.sigmoid(logit) * batch.energy
        total = add(part, window, len(first))
        mean = add(part[:, None] * h, window, len(first)) / total[:, None]
        factor = self.factor(silu(self.hidden(torch.cat([h[first], mean], dim=1))))[:, 0]
        return Outputs(logit, total.log() + factor)

    def model(self, name: str) -> Superclusters:
        """Its weights."""
        return Superclusters({key: value.detach().numpy() for key, value in self.state_dict().items()}, 0, name)


def add(values: Tensor, window: Tensor, windows: int) -> Tensor:
    """(windows, …) sums over the clusters of each window."""
    return values.new_zeros((windows, *values.shape[1:])).index_add(0, window, values)
