"""What a flow is trained on: residuals of the recoil, what they depend on, and whether an event is data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptmiss.errors import OptionError
from ptmiss.typing import Array

LEAST = 2000.0  # effective events of each sample
CLAMP = 0.002  # share of events beyond either end of a column of the context, where it stays as at the end


@dataclass(frozen=True)
class Events:
    """Events of data and simulation together.

    u: (events, features) residuals, GeV; context: (events, columns); data: (events,) whether it is data; weights:
    (events,), negative ones for a background that is subtracted.
    """

    u: Array
    context: Array
    data: NDArray[np.bool_]
    weights: Array

    def __len__(self) -> int:
        return len(self.u)

    def select(self, rows: NDArray) -> Events:
        """Events by a mask or by their numbers."""
        return Events(self.u[rows], self.context[rows], self.data[rows], self.weights[rows])

    def balanced(self) -> Events:
        """Each sample with a mean weight of one, so that both count for as much as they have events."""
        weights = self.weights.copy()
        for side in (False, True):
            weights[self.data == side] *= np.count_nonzero(self.data == side) / weights[self.data == side].sum()
        return Events(self.u, self.context, self.data, weights)

    def tensors(self) -> tuple[Tensor, ...]:
        """Residuals, context, switch and weights in float32."""
        columns = self.u, self.context, self.data, self.weights
        return tuple(torch.from_numpy(np.asarray(column, np.float32)) for column in columns)

    @property
    def effective(self) -> float:
        """Effective number of events of both samples."""
        return sum(effective(self.weights[self.data == side]) for side in (False, True))

    @property
    def ranges(self) -> Array:
        """(2, columns) between which the context has nearly all simulated events."""
        return np.quantile(self.context[~self.data], [CLAMP, 1 - CLAMP], axis=0)


def join(simulation: Sequence[Array], data: Sequence[Array], names: Sequence[str] = ("simulation", "data")) -> Events:
    """Both samples, each as residuals, context and weights; OptionError where one has too few events."""
    for (_, _, weights), name in zip((simulation, data), names, strict=True):
        check(weights, name)
    u, context, weights = (np.concatenate(pair) for pair in zip(simulation, data, strict=True))
    return Events(u, context, np.repeat([False, True], [len(simulation[0]), len(data[0])]), weights)


def check(weights: Array, name: str, least: float = LEAST) -> None:
    """Raise OptionError unless a sample has enough effective events for a flow."""
    total = weights.sum()
    if not total > 0:
        raise OptionError(f"{name}: the weights of its events add up to {total:g}, expected more than 0")
    if effective(weights) < least:
        raise OptionError(f"{name}: {effective(weights):.0f} effective events, a flow needs {least:g}")


def effective(weights: Array) -> float:
    """Number of events of weight one with the same relative error."""
    return float(weights.sum() ** 2 / np.sum(weights**2))


@dataclass(frozen=True)
class Loader:
    """Batches of events, in an order that the seed and the number of the epoch decide."""

    events: Events
    batch: int
    seed: int

    def __len__(self) -> int:
        return math.ceil(len(self.events) / self.batch)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, ...]]:
        """The batches of one epoch."""
        tensors = self.events.tensors()
        order = np.random.default_rng([self.seed, number]).permutation(len(self.events))
        for rows in np.array_split(order, len(self)):
            yield tuple(tensor[rows] for tensor in tensors)
