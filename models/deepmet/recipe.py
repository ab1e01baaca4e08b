"""How a DeepMET is trained: the recipe, and its run from event files to a weights file.

The measurement's recipe (CMS-JME-24-001): Z → μμ and top pairs with two leptons, leptons removed at random, squared loss
with a term that balances the response. Ours begins on the PUPPI weights, turns each event in phi, and has an unbiased
form of the balance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ptmiss.comparison import QT_ABOVE, Events
from ptmiss.networks.registry import load_model
from ptmiss.networks.weights import check_shapes, fingerprint
from ptmiss.recoil import recoil

from ..training import Progress, Settings, Training
from . import dataset, losses
from .dataset import Batch, Dataset, Loader
from .network import PUPPI, Inputs, Name, Network

VALIDATION_BATCH = 64
ADDED = ("context.", "standard.")  # what weights files do not have, and begins as if it were not there
WARM_RATE, WARM_MEASURE = 1.5e-3, 100


class Recipe(Settings):
    """All that a training depends on beside its events.

    balance: weight C of the response term, 0 for the resolution tune; warm: steps on PUPPI weights before the first
    epoch; start_from: weights file to begin from, in place of that.
    """

    network: Name = "cmssw-v1"
    puppi: bool = True
    biases: bool = True
    loss: Literal["squared", "huber", "weighted"] = "squared"
    balance: float = Field(0.0, ge=0)
    form: losses.Form = "unbiased"
    remove_leptons: bool = True
    batch: int = Field(16, ge=2)
    warm: int = Field(300, ge=0)
    start_from: Path | None = None

    def of(self, predicted: Tensor, target: Tensor) -> Tensor:
        """The loss of (events, 2) pTmiss in GeV."""
        distance = {"squared": losses.squared, "huber": losses.huber, "weighted": losses.weighted}[self.loss]
        if not self.balance:
            return distance(predicted, target)
        return distance(predicted, target) + self.balance * losses.balance(predicted, target, self.form)


def train(
    training: Dataset,
    validation: Dataset,
    recipe: Recipe,
    directory: Path,
    sources: Any,
    progress: Progress | None = None,
) -> tuple[Network, Training]:
    """Train a network in a directory, or go on where it stopped; returns the best network and the training."""
    torch.manual_seed(recipe.seed)
    network = Network(recipe.network, Inputs(recipe.puppi, recipe.biases))
    loader = Loader(training, recipe.batch, recipe.seed, recipe.remove_leptons)
    run = Training(
        network,
        loader,
        loss=lambda net, batch: recipe.of(net(batch.to(recipe.device)), batch.target.to(recipe.device)),
        validate=lambda net: validate(net, validation, recipe),
        settings=recipe,
        directory=directory,
        configuration=configuration(recipe, sources),
        start=lambda net: begin(net, loader, recipe),
        progress=progress,
    )
    return network, run


def configuration(recipe: Recipe, sources: Any) -> dict[str, Any]:
    """All that a training depends on; weights to begin from by their hash."""
    start = recipe.start_from and fingerprint(load_model(recipe.start_from).tensors)
    return {**recipe.model_dump(mode="json"), "start_from": start, "events": sources}


def begin(network: Network, loader: Loader, recipe: Recipe) -> None:
    """Set a fresh network to the weights to start from, or let it learn PUPPI's."""
    if recipe.start_from is not None:
        tensors = load_model(recipe.start_from).tensors
        ours = network.state_dict()
        shapes = {name: tuple(value.shape) for name, value in ours.items() if not name.startswith(ADDED)}
        check_shapes(str(recipe.start_from), tensors, shapes)
        network.load(tensors)
        return
    optimizer = torch.optim.Adam(network.parameters(), WARM_RATE)
    for step, batch in enumerate(endless(loader, recipe.warm)):
        batch = batch.to(recipe.device)
        if step in (0, WARM_MEASURE):
            network.measure_moments(batch)
        weight = network.candidates(batch)[:, 0] - 1
        loss = nn.functional.mse_loss(weight, batch.features[:, PUPPI])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def endless(loader: Loader, steps: int) -> Iterator[Batch]:
    """So many batches, of epochs that no training will see."""
    epochs = range(10**6, 10**6 + steps)
    return islice((batch for number in epochs for batch in loader.epoch(number)), steps)


def validate(network: Network, validation: Dataset, recipe: Recipe) -> dict[str, float]:
    """Loss, and widths of the recoil where the true pTmiss is above 20 GeV, the leading leptons left out."""
    predicted, target = answers(network, dataset.plain(validation, VALIDATION_BATCH), recipe.device)
    loss = recipe.of(torch.from_numpy(predicted), torch.from_numpy(target))
    high = np.hypot(*target.T) > QT_ABOVE
    if not high.any():
        return {"loss": float(loss)}
    return {"loss": float(loss)} | measured(predicted[high], target[high])


def measured(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Response and response-corrected widths of pTmiss about its target, GeV."""
    u = recoil(target, predicted - target)
    found = Events.of(u.qt, np.ones(len(target)), replicas=0).widths(u)
    return {"response": float(found.response[0])} | dict(
        zip(("rms_par", "rms_perp"), found.rms[0].tolist(), strict=True)
    )


@torch.no_grad()
def answers(network: Network, batches: Iterable[Batch], device: str) -> tuple[np.ndarray, np.ndarray]:
    """(events, 2) predictions and targets, GeV."""
    pairs = [(network(b.to(device)).cpu().numpy(), b.target.numpy()) for b in batches]
    return np.concatenate([p for p, _ in pairs]), np.concatenate([t for _, t in pairs])
