"""The recipe of a flow, and its training on events."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor

from ..task import Task
from ..training import DecoupledSettings
from .events import Events, Loader
from .network import Network

FLOOR = -60.0  # log density below which an event of negative weight pushes no more
STEPS = 40  # of the last fit
VALIDATION_BATCH = 16_384


class Recipe(Task, DecoupledSettings):
    """Everything that a training depends on, except its events.

    hidden: widths of the layers of each conditioner; bins, splines: see network.
    """

    epochs: int = Field(40, ge=1)
    rate: float = Field(3e-3, gt=0)
    patience: int | None = Field(10, ge=1)
    clip: float = Field(5.0, gt=0)
    average: float = Field(0.995, ge=0, lt=1)
    batch: int = Field(512, ge=2)
    hidden: tuple[int, ...] = (32, 32)
    bins: int = Field(8, ge=2)
    splines: int = Field(1, ge=1)

    def build_network(self, training: Events) -> Network:
        """A fresh network with the scales of the events."""
        sizes = training.u.shape[1], training.context.shape[1]
        network = Network(*sizes, self.hidden, self.bins, self.splines)
        network.measure(training)
        return network

    def draw_batches(self, training: Events, network: Network) -> Loader:
        """Batches in which both samples count as much as they have events."""
        return Loader(training.balanced(), self.batch, self.seed)

    def batch_loss(self, network: Network, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        """The loss of a network on a batch, a scalar."""
        return loss(network, *batch)

    def validation(self, events: Events) -> Callable[[Network], dict[str, float]]:
        """A function that measures a network on events, see :func:`validate`."""
        held = events.balanced()
        return lambda network: validate(network, held)


def fit_difference(network: Network, events: Events) -> None:
    """Fit shift, scale and mixing of data against simulation to all events of data, the rest of the flow as it is.

    A training stops when the flow begins to know its events by heart. What differs between data and simulation is a
    small part of the loss and learnt last: by then too little of it. Of these few parameters no event can be learnt by
    heart, so that they are fitted until nothing gets better.
    """
    batch = [tensor.double() for tensor in events.balanced().select(events.data).tensors()]
    fitted = [network.difference, network.mixing]
    optimizer = torch.optim.LBFGS(fitted, max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(network, *batch)
        for parameter, gradient in zip(fitted, torch.autograd.grad(value, fitted), strict=True):
            parameter.grad = gradient
        return value

    network.double()
    optimizer.step(closure)
    network.float()


def loss(network: Network, u: Tensor, context: Tensor, switch: Tensor, weights: Tensor) -> Tensor:
    """Mean of minus the logarithm of the density, with signed weights.

    Without a floor, events of negative weight could push the density of their neighbourhood to zero for ever.
    """
    density = network.log_density(u, context, switch)
    density = torch.where(weights < 0, density.clamp(min=FLOOR), density)
    return -(weights * density).mean()


@torch.no_grad()
def validate(network: Network, events: Events) -> dict[str, float]:
    """The loss, of all events and of those of data alone."""
    tensors = events.tensors()
    sums = {"loss": 0.0, "data_loss": 0.0}
    for rows in torch.arange(len(events)).split(VALIDATION_BATCH):
        batch = [tensor[rows] for tensor in tensors]
        sums["loss"] += float(loss(network, *batch)) * len(rows)
        of_data = batch[2] > 0
        sums["data_loss"] += float(loss(network, *(part[of_data] for part in batch))) * int(of_data.sum())
    return {"loss": sums["loss"] / len(events), "data_loss": sums["data_loss"] / max(int(events.data.sum()), 1)}
