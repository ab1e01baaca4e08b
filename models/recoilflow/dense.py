"""Small dense networks that give by how much a component of the recoil moves, in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptmiss.typing import Array


@dataclass(frozen=True)
class Dense:
    """A dense network with SiLU between its layers: weights (out, in) and biases (out,), float64.

    low, high: (inputs,) ranges, beyond which an input stays at the end: first the context, then residuals (GeV), its
    own the last. Scales are in the first and last layers.
    """

    layers: tuple[tuple[Array, Array], ...]
    low: Array
    high: Array

    def __call__(self, inputs: Array) -> Array:
        """(events,) shift of the last input, GeV; inputs: (events, inputs)."""
        x = np.clip(inputs, self.low, self.high)
        for number, (weights, biases) in enumerate(self.layers):
            x = (x if not number else x / (1 + np.exp(-x))) @ weights.T + biases
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
