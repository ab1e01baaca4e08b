"""Laws of the residual that are smooth in qT: each parameter of the Gaussians a polynomial of qT and of nJets.

The polynomials are Legendre's in log(1 + qT / SCALE), from 0 to the highest qT that has events; above it the law stays
as it is. Terms with nJets multiply them by the number of the class of nJets and by one for the last class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import ArrayLike

from ptmiss.typing import Array, Mask

from .gaussians import Mixture, mixture

SCALE = 60.0  # GeV
DEGREE = 4  # the highest of the polynomials


@dataclass(frozen=True)
class Basis:
    """The functions that a parameter is a sum of; top: GeV, the qT above which nothing changes; classes: of nJets."""

    top: float
    classes: int

    @cached_property
    def terms(self) -> list[tuple[int, int]]:
        """Degree in qT and number of the function of nJets of each term; the constant comes first."""
        return [(degree, jets) for jets, degree in product(range(self.classes), range(DEGREE + 1))]

    def __call__(self, qt: ArrayLike, jets: ArrayLike) -> Array:
        """(rows, terms) at these qT (GeV) and classes of nJets."""
        qt, jets = np.asarray(qt, float), np.asarray(jets)
        x = 2 * np.log1p(np.minimum(qt, self.top) / SCALE) / np.log1p(self.top / SCALE) - 1
        of_jets = np.stack([np.ones(len(qt)), jets, jets == self.classes - 1])[: self.classes]
        return np.concatenate([legvander(x, DEGREE) * part[:, np.newaxis] for part in of_jets], axis=1)

    def open(self, free: Mask) -> Mask:
        """Terms (parameters, terms) that may join those that are free: each needs the simpler ones first."""
        out = np.zeros_like(free)
        for number, (degree, jets) in enumerate(self.terms):
            simpler = [(degree - 1, jets)] if degree else []
            simpler += [(degree, jets - 1)] if jets else []
            out[:, number] = ~free[:, number] & free[:, [self.terms.index(term) for term in simpler]].all(axis=1)
        return out


@dataclass(frozen=True)
class Law:
    """Gaussians whose parameters are sums over a basis.

    coefficients, free: (parameters, terms), zero where a term is not free; covariance: of the free ones, in the order
    of ``coefficients[free]``.
    """

    basis: Basis
    coefficients: Array
    free: Mask
    covariance: Array

    @property
    def n(self) -> int:
        """Number of Gaussians."""
        return (len(self.coefficients) + 1) // 3

    def at(self, qt: ArrayLike, jets: ArrayLike) -> Mixture:
        """The Gaussians at these qT (GeV) and classes of nJets."""
        return mixture(self.basis(qt, jets) @ self.coefficients.T)

    def move(self, step: Array) -> Law:
        """The law with its free coefficients moved by a step (free,)."""
        coefficients = self.coefficients.copy()
        coefficients[self.free] += step
        return replace(self, coefficients=coefficients)
