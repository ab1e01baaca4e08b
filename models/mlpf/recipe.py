"""How an MLPF is trained: the recipe, and its run from events to weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ptmiss.errors import OptionError

from ..training import DecoupledSettings, Progress, Training
from . import losses, monitoring
from .configuration import Configuration, preset
from .dataset import Batch, Dataset, Loader, plain
from .inputs import moments, packed
from .losses import Weights
from .monitoring import Particles
from .network import Network, Outputs, build
from .reconstruction import MLPF, load

MEASURED_EVENTS = 200  # that say how features are standardised
VALIDATION_BUDGET = 20_000  # elements at a time


class Recipe(DecoupledSettings):
    """All that a training depends on beside its events.

    preset: see presets; width to attention: what is other than there. loss: ours, with focal classification in place of
    the weighted one, or a published one; term: weights of its terms that are other than usual, see losses.Weights; one for
    angles asks for a network that predicts them. budget: elements in a batch; parts: epochs that
    together see every event once. init: weights to begin from.
    """

    preset: str = "compact"
    inputs: Literal["compact", "cms", "clic"] | None = None
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
    init: Path | None = None
    rate: float = Field(2e-3, gt=0)

    def configuration(self) -> Configuration:
        """The network that is trained: that of the weights to begin from, or the preset with what is other."""
        if self.init is not None:
            return load(self.init).network.configuration
        base = preset(self.preset).model_dump()
        changed = {name: getattr(self, name) for name in base if getattr(self, name, None) is not None}
        changed["angles"] = base["angles"] or self.term.angles > 0
        return Configuration(**{**base, **changed})

    def of(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The loss of what a network says of a batch."""
        if self.loss == "2021":
            return losses.published_2021(outputs, batch)
        if self.loss == "v2.2.0":
            return losses.published_v220(outputs, batch)
        return losses.ours(outputs, batch, self.term, focal=self.loss == "focal")


def train(
    training: Dataset,
    validation: Dataset,
    recipe: Recipe,
    directory: Path,
    sources: Any,
    progress: Progress | None = None,
) -> tuple[Network, Training]:
    """A fresh network and its training in a directory, which goes on where it stopped."""
    torch.manual_seed(recipe.seed)
    configuration = recipe.configuration()
    network = build(configuration)
    run = Training(
        network,
        Loader(training, network.schema, recipe.budget, recipe.seed, recipe.parts),
        loss=lambda net, batch: loss(net, batch, recipe),
        validate=lambda net: validate(net, validation, recipe),
        settings=recipe,
        directory=directory,
        configuration={
            **recipe.model_dump(mode="json"),
            "network": configuration.model_dump(mode="json"),
            "events": sources,
        },
        start=lambda net: begin(net, training, recipe),
        progress=progress,
    )
    return network, run


def loss(network: Network, batch: Batch, recipe: Recipe) -> Tensor:
    """The loss of a network on a batch."""
    batch = batch.to(recipe.device)
    return recipe.of(network(batch.elements), batch)


def begin(network: Network, training: Dataset, recipe: Recipe) -> None:
    """Take the weights to begin from, or learn how features are standardised."""
    if recipe.init is not None:
        network.load_state_dict(load(recipe.init).network.state_dict())
        return
    some = np.linspace(0, len(training) - 1, min(MEASURED_EVENTS, len(training))).astype(int)
    features = packed(training.select(some).elements, network.schema).features.numpy()
    mean, scale = (torch.from_numpy(x).to(network.mean.device) for x in moments(features))
    network.mean.copy_(mean)
    network.scale.copy_(scale)


@torch.no_grad()
def validate(network: Network, validation: Dataset, recipe: Recipe) -> dict[str, float]:
    """Loss, and pTmiss and jets against those of the targets."""
    total, elements = 0.0, 0
    for batch in plain(validation, network.schema, VALIDATION_BUDGET):
        n = len(batch.kind)
        total, elements = total + n * float(loss(network, batch, recipe)), elements + n
    found = MLPF(network, "in training", recipe.device)(validation.elements, VALIDATION_BUDGET)
    network.train()
    numbers = monitoring.measured(
        Particles.of(found.pt, found.eta, found.phi, np.zeros_like(found.pt), found.offsets), true(validation)
    )
    return {"loss": total / max(elements, 1)} | numbers


def true(events: Dataset) -> Particles:
    """What the elements stand for."""
    pt, eta, phi, energy = (events.targets[name] for name in ("pt", "eta", "phi", "energy"))
    return Particles.of(pt, eta, phi, energy, events.offsets)


def check_init(recipe: Recipe) -> None:
    """Raise OptionError if a network is asked for beside weights to begin from."""
    asked = [n for n in ("inputs", "width", "layers", "heads", "hidden", "window", "attention") if getattr(recipe, n)]
    if recipe.init is not None and asked:
        raise OptionError(f"--init {recipe.init} says what the network is made of; leave out --{', --'.join(asked)}")
