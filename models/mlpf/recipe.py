"""The recipe of an MLPF, and its training on a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ptmiss.errors import OptionError

from ..task import Task
from ..training import DecoupledSettings, Progress
from ..tuning import Choice, Range, Space
from . import finetuning, losses, monitoring
from .configuration import Configuration, preset
from .dataset import Batch, Dataset, Loader, plain
from .inputs import moments, pack
from .losses import Weights
from .monitoring import Particles
from .network import Network, Outputs, build
from .reconstruction import MLPF, load

MEASURED_EVENTS = 200  # events whose moments standardise the features
VALIDATION_BUDGET = 20_000  # elements that are processed together


SPACE: Space = {
    "rate": Range(5e-4, 8e-3),
    "decay": Range(1e-3, 0.1),
    "average": Choice((0.0, 0.99, 0.998)),
    "width": Choice((32, 64, 96)),
    "layers": Choice((2, 3, 4)),
    "budget": Choice((3000, 6000, 12_000)),
}
"""What a search varies; the loss stays the same."""
FRESH = ("width", "layers")
"""Of it, what has no effect on a network that begins with other weights."""


class Recipe(Task, DecoupledSettings):
    """Everything that a training depends on, except its events.

    preset: see configuration.PRESETS. inputs to attention: changes to the preset. loss: this project's (``ours``), the
    same with focal classification (``focal``), or a published one. term: weights of its terms, see losses.Weights; one
    for angles makes the network predict them. budget: elements in a batch. parts: number of epochs that together use
    every event once. start_from: weights to begin with, of a network that may read other features (see finetuning).
    """

    epochs: int = Field(10, ge=1)
    preset: str = "compact"
    inputs: Literal["compact", "gsf", "cms", "clic"] | None = None
    width: int | None = None
    layers: int | None = None
    heads: int | None = None
    hidden: int | None = None
    window: int | None = None
    attention: Literal["window", "exact"] | None = None
    loss: Literal["ours", "focal", "2021", "v2.2.0"] = "ours"
    term: Weights = Weights()
    budget: int = Field(6000, ge=1)
    parts: int = Field(1, ge=1)
    start_from: Path | None = None
    rate: float = Field(2e-3, gt=0)

    def configuration(self) -> Configuration:
        """The configuration of the network: that of the weights to begin with or the preset, with its changes."""
        start = None if self.start_from is None else load(self.start_from).network.configuration
        base = (start or preset(self.preset)).model_dump()
        names = finetuning.FREE if start else base
        changed = {name: getattr(self, name) for name in names if getattr(self, name, None) is not None}
        if not start:
            changed["angles"] = base["angles"] or self.term.angles > 0
        return Configuration(**{**base, **changed})

    def loss_of(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The loss of a network's outputs for a batch, a scalar."""
        if self.loss == "2021":
            return losses.loss_2021(outputs, batch)
        if self.loss == "v2.2.0":
            return losses.loss_v220(outputs, batch)
        return losses.ours(outputs, batch, self.term, focal=self.loss == "focal")

    def build_network(self, training: Dataset) -> Network:
        """A fresh network."""
        return build(self.configuration())

    def draw_batches(self, training: Dataset, network: Network) -> Loader:
        """Batches with about the same number of elements."""
        return Loader(training, network.schema, self.budget, self.seed, self.parts)

    def batch_loss(self, network: Network, batch: Batch) -> Tensor:
        """The loss of a network on a batch, a scalar."""
        return loss(network, batch, self)

    def validation(self, events: Dataset) -> Callable[[Network], dict[str, float]]:
        """A function that measures a network on events, see :func:`validate`."""
        return lambda network: validate(network, events, self)

    def begin(self, network: Network, training: Dataset, batches: Loader, progress: Progress | None) -> None:
        """See the function of the same name."""
        begin(network, training, self)

    def settings(self) -> dict[str, Any]:
        """All settings by name, those of the network from its configuration."""
        own = self.configuration()
        return {**super().settings(), "width": own.width, "layers": own.layers}

    def describe(self, sources: Any) -> dict[str, Any]:
        """Everything that a training depends on, with the whole configuration of its network."""
        return {**super().describe(sources), "network": self.configuration().model_dump(mode="json")}


def loss(network: Network, batch: Batch, recipe: Recipe) -> Tensor:
    """The loss of a network on a batch, a scalar."""
    batch = batch.to(recipe.device)
    return recipe.loss_of(network(batch.elements), batch)


def begin(network: Network, training: Dataset, recipe: Recipe) -> None:
    """Load the weights to begin with into a fresh network, and set the moments that standardise its new features."""
    new = np.ones(len(network.mean), np.bool_)
    if recipe.start_from is not None:
        new = finetuning.carry_over(load(recipe.start_from).network, network)
    if not new.any():
        return
    some = np.linspace(0, len(training) - 1, min(MEASURED_EVENTS, len(training))).astype(int)
    features = pack(training.select(some).elements, network.schema).features.numpy()
    device = network.mean.device
    for buffer, measured in zip((network.mean, network.scale), moments(features), strict=True):
        buffer.copy_(torch.where(torch.from_numpy(new).to(device), torch.from_numpy(measured).to(device), buffer))


@torch.no_grad()
def validate(network: Network, validation: Dataset, recipe: Recipe) -> dict[str, float]:
    """Loss, and widths of pTmiss and jets with respect to those of the targets."""
    total, elements = 0.0, 0
    for batch in plain(validation, network.schema, VALIDATION_BUDGET):
        n = len(batch.kind)
        total, elements = total + n * float(loss(network, batch, recipe)), elements + n
    found = MLPF(network, "in training", recipe.device)(validation.elements, VALIDATION_BUDGET)
    network.train()
    numbers = monitoring.measure(
        Particles.of(found.pt, found.eta, found.phi, np.zeros_like(found.pt), validation.offsets), true(validation)
    )
    return {"loss": total / max(elements, 1)} | numbers


def true(events: Dataset) -> Particles:
    """The particles behind the elements."""
    pt, eta, phi, energy = (events.targets[name] for name in ("pt", "eta", "phi", "energy"))
    return Particles.of(pt, eta, phi, energy, events.offsets)


def check_start(recipe: Recipe) -> None:
    """Raise OptionError if options describe a network although there are weights to begin with."""
    if recipe.start_from is None:
        return
    fixed = ("width", "layers", "heads", "hidden", "window")
    asked = ["network"] if "preset" in recipe.model_fields_set else []
    if asked := [*asked, *(name for name in fixed if getattr(recipe, name))]:
        raise OptionError(f"--start-from {recipe.start_from} determines the network: leave out --{', --'.join(asked)}")
    finetuning.check(load(recipe.start_from).network, recipe.inputs)
