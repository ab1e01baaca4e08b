"""A triangular map taught to small dense networks, one for each component, so that it can be applied without torch.

The network of a component sees the context and the residuals of that component and of those before it, and gives by how
much the component moves. Inputs stay at the ends of their ranges beyond them, so that the shift is carried on there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from ptmiss.typing import Array

from .dense import Dense

REACH = 6.0  # spreads of a residual inside which the map is taught
CORE, FAR = 2.0, 5.0  # spreads
CORE_ERROR, FAR_ERROR = 0.05, 0.2  # GeV, aimed at inside of CORE and at FAR
STRETCH = (1.0, 1.5, 2.2, 3.0)  # of residuals about their mean, for the tails
TOGETHER = 0.3  # share of the rows in which all components are stretched alike
ROWS, BATCH, RATE = 120_000, 2048, 4e-3


def sample(u: Array, context: Array, rows: int, seed: int) -> tuple[Array, Array]:
    """Residuals (rows, features) and context to teach with: those of events, and stretched about their mean."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(u), size=rows)
    mean, spread = u.mean(axis=0), u.std(axis=0)
    moved = mean + (u[chosen] - mean) * _stretch(rng, rows, u.shape[1])
    return np.clip(moved, mean - REACH * spread, mean + REACH * spread), context[chosen]


def _stretch(rng: np.random.Generator, rows: int, features: int) -> Array:
    """(rows, features) factors: of all components, of one alone, or none."""
    factor, kind = rng.choice(STRETCH, size=rows), rng.random(rows)
    one = np.arange(features) == rng.integers(features, size=rows)[:, np.newaxis]
    return np.where((kind < TOGETHER)[:, np.newaxis] | one, factor[:, np.newaxis], 1.0)


def tolerance(pulls: Array) -> Array:
    """Error of a network that is aimed at, so many spreads from the mean, GeV."""
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
    low, high = u.min(axis=0), u.max(axis=0)
    mean, spread = (low + high) / 2, (high - low) / (2 * REACH)
    for k in range(u.shape[1]):
        inputs = np.column_stack([context, u[:, :k], own[:, k]])
        pulls = (u[:, : k + 1] - mean[: k + 1]) / spread[: k + 1]
        ends = (np.r_[side(context, axis=0), edge[: k + 1]] for side, edge in ((np.min, low), (np.max, high)))
        yield Lesson(inputs, moved[:, k] - own[:, k], tolerance(np.abs(pulls).max(axis=1)), *ends)


def teach(lesson: Lesson, hidden: tuple[int, ...], epochs: int, seed: int = 1) -> Dense:
    """A network that has had its lesson."""
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
    return Dense(tuple((w, b) for w, b in weights), lesson.low, lesson.high)


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
