"""The recipe of a flow, and its training on events."""

from __future__ import annotations

import copy
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
SHARES = tuple(i / 10 for i in range(11))  # of what depends on the switch


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


def finish(network: Network, events: Events, held: Events) -> None:
    """Settle after a training by how much data and simulation differ.

    Held-out events decide how much of what depends on the switch is kept, from none to all: what was learnt by heart is
    not. Then shift, scale and mixing are fitted to all events, and kept as far as they are significant.
    """
    keep_of_switch(network, held)
    gain = fit_difference(network, events)
    shrink_difference(network, gain * events.effective)


def keep_of_switch(network: Network, held: Events) -> float:
    """Scale all that depends on the switch by the share, from 0 to 1, with the least loss of held-out events."""
    start = copy.deepcopy(network.state_dict())

    def measured(share: float) -> float:
        network.load_state_dict(start)
        network.scale_switch(share)
        return validate(network, held)["loss"]

    best = min(SHARES, key=measured)
    network.load_state_dict(start)
    network.scale_switch(best)
    return best


def shrink_difference(network: Network, gain: float) -> None:
    """Multiply shift, scale and mixing by 1 - (p - 2) / T, not below 0, as of James and Stein.

    p: number of these parameters. T: twice the gain of the log likelihood over none of them, which is about p on
    average for two samples of one law. So a difference of such samples goes, and one of many errors stays.
    """
    features = len(network.mixing)
    parameters = network.difference.numel() + features * (features - 1) // 2
    factor = max(0.0, 1 - (parameters - 2) / max(2 * gain, 1e-9))
    network.scale_difference(factor)


def fit_difference(network: Network, events: Events) -> float:
    """Fit shift, scale and mixing of both samples, and those of data against simulation, the rest of the flow as it is.

    A training stops when the flow begins to know its events by heart. What differs between data and simulation is a
    small part of the loss and learnt last: by then too little of it. Of these few parameters no event can be learnt by
    heart, so that they are fitted until nothing gets better. Returns the gain of the loss over no such difference.
    """
    batch = [tensor.double() for tensor in events.balanced().tensors()]
    fitted = [network.difference, network.mixing, network.common, network.common_mixing]
    optimizer = torch.optim.LBFGS(fitted, max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(network, *batch)
        for parameter, gradient in zip(fitted, torch.autograd.grad(value, fitted), strict=True):
            parameter.grad = gradient
        return value

    network.double()
    optimizer.step(closure)
    fit = copy.deepcopy(network)
    fit.scale_difference(0.0)
    with torch.no_grad():
        gain = float(loss(fit, *batch) - loss(network, *batch))
    network.float()
    return gain


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
