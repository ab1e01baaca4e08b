"""How well a classifier tells two samples apart: the area under its curve (AUC), with an error.

A small network is trained on some events and asked about the others, so that it cannot learn them by heart. 0.5 means
that it finds no difference. Weights may be negative, as those of a background that is subtracted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ptmiss.errors import OptionError
from ptmiss.typing import Array

FOLDS = 2
WIDTH, EPOCHS, BATCH, RATE, DECAY = 64, 15, 512, 2e-3, 1e-4
LEAST = 100  # events of each sample


@dataclass(frozen=True)
class Separation:
    """Area under the curve of a classifier, and its statistical error; scores: (events,) of both samples."""

    auc: float
    error: float
    scores: tuple[Array, Array]


@dataclass(frozen=True)
class Sides:
    """Events of both samples together: features (events, n), which are of the second sample, and weights."""

    features: Array
    second: NDArray[np.bool_]
    weights: Array

    @classmethod
    def of(cls, first: Array, second: Array, weights: tuple[Array, Array] | None = None) -> Sides:
        """Both samples, each with a sum of weights of one; OptionError where one has too few events."""
        given = weights or (np.ones(len(first)), np.ones(len(second)))
        for events, weight, name in zip((first, second), given, ("first", "second"), strict=True):
            if len(events) < LEAST or not weight.sum() > 0:
                raise OptionError(
                    f"the {name} sample has {len(events)} events with a sum of weights of {weight.sum():g}, a "
                    f"classifier needs {LEAST} and more than 0"
                )
        which = np.repeat([False, True], [len(first), len(second)])
        return cls(np.concatenate([first, second]), which, np.concatenate([w / w.sum() for w in given]))

    def select(self, mask: NDArray[np.bool_]) -> Sides:
        """Some of the events, (events,)."""
        return Sides(self.features[mask], self.second[mask], self.weights[mask])


def separate(
    first: Array, second: Array, weights: tuple[Array, Array] | None = None, seed: int = 1, epochs: int = EPOCHS
) -> Separation:
    """Train a classifier on each part of the events, and ask it about the other part.

    Args:
        first: (events, features) of one sample.
        second: (events, features) of the other.
        weights: (events,) of each; one if None.
        seed: of the parts and of the networks.
        epochs: of each network.

    Returns:
        The mean area over the parts, with its error. The error is that of the events that were asked about.

    Raises:
        OptionError: a sample has too few events.
    """
    sides = Sides.of(np.asarray(first, float), np.asarray(second, float), weights)
    fold = np.random.default_rng(seed).integers(FOLDS, size=len(sides.second))
    scores, areas = np.empty(len(sides.second)), []
    for number in range(FOLDS):
        seen, asked = sides.select(fold != number), sides.select(fold == number)
        scores[fold == number] = ask(train(seen, seed + number, epochs), asked.features)
        areas.append(area(scores[fold == number], asked))
    auc = float(np.mean([value for value, _ in areas]))
    error = float(np.sqrt(np.sum([spread**2 for _, spread in areas])) / FOLDS)
    return Separation(auc, error, (scores[~sides.second], scores[sides.second]))


def train(sides: Sides, seed: int = 1, epochs: int = EPOCHS) -> nn.Module:
    """A network whose output is the logarithm of the second sample's density over that of the first."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = _network(sides.features)
        optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
        columns = sides.features, sides.second, sides.weights * len(sides.weights) / 2
        x, y, w = (torch.from_numpy(np.asarray(column, np.float32)) for column in columns)
        steps = epochs * -(-len(x) // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for rows in _batches(len(x), epochs):
            loss = (w[rows] * nn.functional.softplus((1 - 2 * y[rows]) * network(x[rows])[:, 0])).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


def _batches(events: int, epochs: int) -> Iterator[Tensor]:
    for _ in range(epochs):
        yield from torch.randperm(events).split(BATCH)


class Standard(nn.Module):
    """Features less their mean, in units of their spread."""

    def __init__(self, features: Array):
        super().__init__()
        self.register_buffer("mean", torch.tensor(features.mean(axis=0), dtype=torch.float32))
        self.register_buffer("spread", torch.tensor(features.std(axis=0) + 1e-9, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """(events, features)."""
        return (x - self.mean) / self.spread  # type: ignore[operator]


def _network(features: Array) -> nn.Module:
    sizes = [features.shape[1], WIDTH, WIDTH, WIDTH]
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(Standard(features), *layers, nn.Linear(WIDTH, 1))


@torch.no_grad()
def ask(network: nn.Module, features: Array) -> Array:
    """(events,) scores of events (events, features)."""
    return network(torch.from_numpy(np.asarray(features, np.float32)))[:, 0].double().numpy()


def area(scores: Array, sides: Sides) -> tuple[float, float]:
    """Probability that an event of the second sample scores above one of the first, and its error.

    The error is that of DeLong (Biometrics 44 (1988) 837), with weights: the spread of what each event adds.
    """
    order = np.argsort(scores, kind="stable")
    values, second, weights = scores[order], sides.second[order], sides.weights[order]
    starts = np.r_[0, np.flatnonzero(np.diff(values)) + 1, len(values)]
    group = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    totals = [weights[second == side].sum() for side in (False, True)]
    below = [_mid_rank(np.where(second == side, weights, 0.0), starts)[group] / totals[side] for side in (0, 1)]
    auc = float(np.sum(weights * below[0] * second) / totals[1])
    variance = sum(
        np.sum((weights * (below[1 - side] - expected))[second == side] ** 2) / totals[side] ** 2
        for side, expected in ((1, auc), (0, 1 - auc))
    )
    return auc, float(np.sqrt(variance))


def _mid_rank(weights: Array, starts: NDArray[np.intp]) -> Array:
    """Weight below each group of equal scores, and half of that in it."""
    sums = np.add.reduceat(weights, starts[:-1])
    return np.cumsum(sums) - sums / 2
