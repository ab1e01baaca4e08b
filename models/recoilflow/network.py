"""The flow: a triangular neural spline flow of the residuals of all estimators, given the context and the switch.

Every transform has the same order of features, so the map from a residual to a normal score, and that from simulation
to data, are triangular: a component depends on itself and on those before it, and grows with itself. Such a map between
two laws exists and is unique (Rosenblatt, Ann. Math. Stat. 23 (1952) 470). That of the first component is the quantile
map which a calibration of one component at a time has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from zuko.distributions import DiagNormal
from zuko.flows import Flow, MaskedAutoregressiveTransform
from zuko.lazy import UnconditionalDistribution
from zuko.transforms import MonotonicAffineTransform, MonotonicRQSTransform

from ptmiss.typing import Array

from .events import Events

CHUNK = 50_000  # events that are corrected at once


class Network(nn.Module):
    """A flow of some features with some columns of context.

    hidden: widths of the layers of each conditioner; bins: of each spline; splines: how many follow each other, after
    one transform that shifts and scales. difference: (2, features, 2), by how much data are shifted and scaled against
    simulation, as lines in the first column of the context, which is qT. mixing: (features, features), how much more of
    the components before it is added to each one of data; only what is below the diagonal counts. One half of all
    differences is of data, and minus one half of simulation. common, common_mixing: the same for both, so that what the
    flow lacks for both is no difference.
    """

    u_mean: Tensor
    u_spread: Tensor
    context_mean: Tensor
    context_spread: Tensor
    ranges: Tensor

    def __init__(self, features: int, context: int, hidden: tuple[int, ...], bins: int, splines: int):
        super().__init__()
        affine = {"univariate": MonotonicAffineTransform, "shapes": [(), ()]}
        spline = {"univariate": MonotonicRQSTransform, "shapes": [(bins,), (bins,), (bins - 1,)]}
        parts = [
            MaskedAutoregressiveTransform(features, context + 1, hidden_features=hidden, activation=nn.SiLU, **kind)
            for kind in (affine, *[spline] * splines)
        ]
        base = UnconditionalDistribution(DiagNormal, torch.zeros(features), torch.ones(features), buffer=True)
        self.flow = Flow(parts, base)
        self.difference = nn.Parameter(torch.zeros(2, features, 2))
        self.mixing = nn.Parameter(torch.zeros(features, features))
        self.common = nn.Parameter(torch.zeros(2, features, 2))
        self.common_mixing = nn.Parameter(torch.zeros(features, features))
        for name, size in (("u", features), ("context", context)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_spread", torch.ones(size))
        self.register_buffer("ranges", torch.zeros(2, context))
        for part in parts:
            self._start_without_switch(part)

    @staticmethod
    @torch.no_grad()
    def _start_without_switch(part: Any) -> None:
        """The last input of a conditioner has no weight at first: the map begins as the identity."""
        part.hyper[0].weight[:, -1] = 0.0

    @torch.no_grad()
    def scale_switch(self, factor: float) -> None:
        """Let data and simulation differ by so much of what they do, in all that depends on the switch."""
        for part in self.flow.transform.transforms:
            part.hyper[0].weight[:, -1] *= factor
        self.scale_difference(factor)

    @torch.no_grad()
    def scale_difference(self, factor: float) -> None:
        """Let shift, scale and mixing differ by so much of what they do."""
        for part in (self.difference, self.mixing):
            part.mul_(factor)

    def measure(self, events: Events) -> None:
        """Take means, spreads and ranges from events."""
        self.ranges.copy_(torch.from_numpy(events.ranges))
        low, high = events.ranges
        for name, values in (("u", events.u), ("context", np.clip(events.context, low, high))):
            getattr(self, f"{name}_mean").copy_(torch.from_numpy(values.mean(axis=0)))
            getattr(self, f"{name}_spread").copy_(torch.from_numpy(values.std(axis=0) + 1e-6))

    def given(self, context: Tensor, switch: Tensor) -> Tensor:
        """(events, columns + 1) what the conditioners see, in units of spreads and inside of the ranges.

        The last is one half for data, where the switch is 1, and minus one half for simulation.
        """
        clamped = torch.minimum(torch.maximum(context, self.ranges[0]), self.ranges[1])
        return torch.cat([(clamped - self.context_mean) / self.context_spread, switch[:, None] - 0.5], dim=1)

    def moved(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """(events, features) shift and logarithm of the scale, lines in qT."""
        switch = given[:, -1:]
        terms = torch.cat([torch.ones_like(switch), given[:, :1]], dim=1)
        parts = zip(self.common, self.difference, strict=True)
        shift, scale = (terms @ both.T + switch * (terms @ part.T) for both, part in parts)
        return shift, scale

    def mixed(self, switch: float) -> Tensor:
        """(features, features) matrix, ones on its diagonal, that changes the correlations of the components."""
        mixing = self.common_mixing + (switch - 0.5) * self.mixing
        return torch.eye(len(mixing), dtype=mixing.dtype) + mixing.tril(-1)

    def alone(self, u: Tensor, switch: float) -> Tensor:
        """(events, features) components before they are mixed."""
        return torch.linalg.solve_triangular(self.mixed(switch), u.T, upper=False, unitriangular=True).T

    def log_density(self, u: Tensor, context: Tensor, switch: Tensor) -> Tensor:
        """(events,) logarithm of the density of standardised residuals."""
        given = self.given(context, switch)
        shift, scale = self.moved(given)
        plain = ((u - self.u_mean) / self.u_spread - shift) * torch.exp(-scale)
        plain = torch.where(switch[:, None] > 0, self.alone(plain, 1.0), self.alone(plain, 0.0))
        return self.flow(given).log_prob(plain) - scale.sum(dim=1)

    def move(self, u: Tensor, context: Tensor) -> Tensor:
        """(events, features) what simulated residuals become: to their scores, and back as those of data."""
        of_mc, of_data = (self.given(context, torch.full((len(u),), side, dtype=u.dtype)) for side in (0.0, 1.0))
        shift, scale = self.moved(of_mc)
        plain = self.alone(((u - self.u_mean) / self.u_spread - shift) * torch.exp(-scale), 0.0)
        scores = self.flow(of_mc).transform(plain)
        shift, scale = self.moved(of_data)
        plain = self.flow(of_data).transform.inv(scores) @ self.mixed(1.0).T
        return (plain * torch.exp(scale) + shift) * self.u_spread + self.u_mean

    @torch.no_grad()
    def correct(self, u: ArrayLike, context: ArrayLike) -> Array:
        """(events, features) corrected residuals, GeV, of simulated ones, with their context (events, columns)."""
        self.double()
        parts = (torch.from_numpy(np.asarray(array, np.float64)).split(CHUNK) for array in (u, context))
        moved = [self.move(*part) for part in zip(*parts, strict=True)]
        self.float()
        return torch.cat(moved).numpy() if moved else np.empty(np.shape(u))
