"""A triangular map taught to small dense networks, one for each component, so that it can be applied without torch.

The network of a component sees the context and the residuals of that component and of those before it, and gives by how
much the component moves. Inputs stay at the ends of their ranges beyond them, so that the shift is carried on there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from ptmiss.typing import Array

REACH = 6.0  # spreads of a residual inside which the map is taught
CORE, FAR = 2.0, 5.0  # spreads
CORE_ERROR, FAR_ERROR = 0.05, 0.5  # GeV, of the network inside of CORE and at FAR
STRETCH = (1.0, 1.0, 1.6, 2.4)  # of residuals about their mean, for the tails
ROWS, BATCH, RATE = 120_000, 2048, 4e-3

Map = Callable[[Array, Array], Array]
"""(events, features) residuals and (events, columns) context to moved residuals, GeV."""


@dataclass(frozen=True)
class Student:
    """A dense network with SiLU between its layers: weights (out, in) and biases (out,), float64.

    low, high: (inputs,) ranges of its inputs, first the context, then residuals (GeV), its own the last. Scales are in
    the first and last layers.
    """

    layers: tuple[tuple[Array, Array], ...]
    low: Array
    high: Array

    def __call__(self, inputs: Array) -> Array:
        """(events,) shift of the last input, GeV."""
        x = np.clip(inputs, self.low, self.high)
        for number, (weights, biases) in enumerate(self.layers):
            x = x if not number else x / (1 + np.exp(-x))
            x = x @ weights.T + biases
        return x[:, 0]

    def slope(self, inputs: Array, step: float = 0.1) -> Array:
        """(events,) growth of the moved component with itself, over a step in GeV."""
        moved = inputs.copy()
        moved[:, -1] += step
        return 1 + (self(moved) - self(inputs)) / step

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(weights.size + biases.size for weights, biases in self.layers)


def sample(u: Array, context: Array, rows: int, seed: int) -> tuple[Array, Array]:
    """Residuals (rows, features) and context to teach with: those of events, and stretched about their mean."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(u), size=rows)
    stretch = rng.choice(STRETCH, size=(rows, 1)) * rng.uniform(0.9, 1.1, size=(rows, u.shape[1]))
    mean, spread = u.mean(axis=0), u.std(axis=0)
    moved = mean + (u[chosen] - mean) * stretch
    return np.clip(moved, mean - REACH * spread, mean + REACH * spread), context[chosen]


def tolerance(pulls: Array) -> Array:
    """Error of a network that is wanted at so many spreads from the mean, GeV."""
    share = np.clip((np.abs(pulls) - CORE) / (FAR - CORE), 0, 1.4)
    return CORE_ERROR + share * (FAR_ERROR - CORE_ERROR)


@dataclass(frozen=True)
class Lesson:
    """Inputs (rows, inputs) of a student, shifts (rows,) that it should give, and their tolerances; GeV."""

    inputs: Array
    shift: Array
    tolerance: Array
    low: Array
    high: Array


def lessons(u: Array, moved: Array, context: Array, own: Array | None = None) -> Iterator[Lesson]:
    """What each component's student learns; own: the last input of each if that is not u, (rows, features)."""
    own = u if own is None else own
    mean, spread = u.mean(axis=0), u.std(axis=0)
    low, high = mean - REACH * spread, mean + REACH * spread
    for k in range(u.shape[1]):
        inputs = np.column_stack([context, u[:, :k], own[:, k]])
        pulls = (u[:, : k + 1] - mean[: k + 1]) / spread[: k + 1]
        ends = (np.r_[side(context, axis=0), edge[: k + 1]] for side, edge in ((np.min, low), (np.max, high)))
        yield Lesson(inputs, moved[:, k] - own[:, k], tolerance(np.abs(pulls).max(axis=1)), *ends)


def teach(lesson: Lesson, hidden: tuple[int, ...], epochs: int, seed: int = 1) -> Student:
    """A student that has had its lesson."""
    mean, spread = lesson.inputs.mean(axis=0), lesson.inputs.std(axis=0) + 1e-9
    scale = float(np.sqrt(np.mean(lesson.shift**2))) + 1e-6
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = [lesson.inputs.shape[1], *hidden, 1]
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        parts = [part for layer in layers for part in (layer, nn.SiLU())][:-1]
        columns = (lesson.inputs - mean) / spread, lesson.shift / scale, (scale / lesson.tolerance) ** 2
        x, y, w = (torch.from_numpy(column.astype(np.float32)) for column in columns)
        _fit(nn.Sequential(*parts), x, y, w / w.mean(), epochs)
    weights = [[p.detach().double().numpy() for p in (layer.weight, layer.bias)] for layer in layers]
    weights[0] = [weights[0][0] / spread, weights[0][1] - weights[0][0] @ (mean / spread)]
    weights[-1] = [part * scale for part in weights[-1]]
    return Student(tuple((w, b) for w, b in weights), lesson.low, lesson.high)


def _fit(network: nn.Module, x: Tensor, y: Tensor, w: Tensor, epochs: int) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.0, fused=True)
    steps = epochs * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH):
            loss = (w[rows] * (network(x[rows])[:, 0] - y[rows]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
