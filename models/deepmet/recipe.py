"""The recipe of a DeepMET, and its training on a dataset.

The measurement (CMS-JME-24-001) trains on Z → μμ and top pairs with two leptons. It removes leptons at random, and has
a squared loss with a term that balances the response. This recipe also begins with PUPPI weights, rotates each event in
phi, and has an unbiased form of the balance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ptmiss.networks.registry import load_model
from ptmiss.networks.weights import check_shapes, fingerprint
from ptmiss.recoil import recoil
from ptmiss.resolutions.comparison import QT_ABOVE, compare

from ..task import Task
from ..training import Average, Progress
from ..tuning import Choice, Range, Space
from . import dataset, losses
from .dataset import Batch, Dataset, Loader
from .network import PUPPI, Inputs, Name, Network

VALIDATION_BATCH = 64
ADDED = ("context.", "latents.", "attention.", "standard.")
"""Parts that weights files may lack; they begin without any effect."""
WARM_RATE, WARM_MEASURE = 1.5e-3, 100


SPACE: Space = {
    "rate": Range(3e-4, 6e-3),
    "batch": Choice((8, 16, 32, 64)),
    "schedule": Choice(("cosine", "cyclic")),
    "average": Choice((0.0, 0.99, 0.998)),
    "warm": Choice((100, 300)),
}
"""What a search varies; the loss stays the same."""
FRESH = ("warm",)
"""Of it, what has no effect on a network that begins with other weights."""


class Recipe(Task):
    """Everything that a training depends on, except its events.

    balance: weight C of the response term, 0 for the resolution tune. warm: training steps towards PUPPI weights before
    the first epoch. start_from: weights file to begin with instead. average: share of the average of the parameters
    over steps that a step keeps, 0 for no average.
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
    average: float = Field(0.0, ge=0, lt=1)

    def make_average(self, network: nn.Module) -> Average | None:
        """An exponential average of the parameters, if wanted."""
        return Average(network, self.average) if self.average else None

    def loss_of(self, predicted: Tensor, target: Tensor) -> Tensor:
        """The loss of predicted and true pTmiss, (events, 2) each, GeV."""
        distance = {"squared": losses.squared_loss, "huber": losses.huber_loss, "weighted": losses.weighted_loss}[
            self.loss
        ]
        if not self.balance:
            return distance(predicted, target)
        return distance(predicted, target) + self.balance * losses.balance(predicted, target, self.form)

    def build_network(self, training: Dataset) -> Network:
        """A fresh network."""
        return Network(self.network, Inputs(self.puppi, self.biases))

    def draw_batches(self, training: Dataset, network: Network) -> Loader:
        """Batches of events, turned in phi."""
        return Loader(training, self.batch, self.seed, self.remove_leptons)

    def batch_loss(self, network: Network, batch: Batch) -> Tensor:
        """The loss of a network on a batch, a scalar."""
        return self.loss_of(network(batch.to(self.device)), batch.target.to(self.device))

    def validation(self, events: Dataset) -> Callable[[Network], dict[str, float]]:
        """A function that measures a network on events, see :func:`validate`."""
        return lambda network: validate(network, events, self)

    def begin(self, network: Network, training: Dataset, batches: Loader, progress: Progress | None) -> None:
        """See the function of the same name."""
        begin(network, batches, self, progress)

    def describe(self, sources: Any) -> dict[str, Any]:
        """Everything that a training depends on, with the hash of the weights to begin with."""
        start = self.start_from and fingerprint(load_model(self.start_from).tensors)
        return {**super().describe(sources), "start_from": start}


def begin(network: Network, loader: Loader, recipe: Recipe, progress: Progress | None = None) -> None:
    """Load the weights to begin with into a fresh network, or train it to give PUPPI weights."""
    if recipe.start_from is not None:
        tensors = load_model(recipe.start_from).tensors
        ours = network.state_dict()
        kept = {name: value for name, value in ours.items() if name in tensors or not name.startswith(ADDED)}
        shapes = {name: tuple(value.shape) for name, value in kept.items()}
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
        if progress:
            progress(f"warm start: loss {float(loss.detach()):.4g}", step + 1, recipe.warm)


def endless(loader: Loader, steps: int) -> Iterator[Batch]:
    """A number of batches from epochs that no training reaches."""
    epochs = range(10**6, 10**6 + steps)
    return islice((batch for number in epochs for batch in loader.epoch(number)), steps)


def validate(network: Network, validation: Dataset, recipe: Recipe) -> dict[str, float]:
    """Loss, and widths of the recoil for a true pTmiss above 20 GeV, without the leading leptons."""
    predicted, target = answers(network, dataset.plain(validation, VALIDATION_BATCH), recipe.device)
    loss = recipe.loss_of(torch.from_numpy(predicted), torch.from_numpy(target))
    high = np.hypot(*target.T) > QT_ABOVE
    if not high.any():
        return {"loss": float(loss)}
    return {"loss": float(loss)} | measure(predicted[high], target[high])


def measure(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Response and response-corrected widths (GeV) of pTmiss about its target, each (events, 2), GeV."""
    u = recoil(target, predicted - target)
    row = compare({"network": u}, np.ones(len(target)), replicas=0).iloc[0]
    return {name: float(row[name]) for name in ("response", "rms_par", "rms_perp")}


@torch.no_grad()
def answers(network: Network, batches: Iterable[Batch], device: str) -> tuple[np.ndarray, np.ndarray]:
    """(events, 2) predictions and targets, GeV."""
    pairs = [(network(b.to(device)).cpu().numpy(), b.target.numpy()) for b in batches]
    return np.concatenate([p for p, _ in pairs]), np.concatenate([t for _, t in pairs])
