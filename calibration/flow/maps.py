"""The joint map of all estimators, as networks for each component: the nominal one, and variations of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ptmiss.models.recoilflow.dense import Dense
from ptmiss.systematics import NOMINAL
from ptmiss.typing import Array

from .samples import features


@dataclass(frozen=True)
class JointMap:
    """A triangular map of the residuals of all estimators.

    estimators, context: in the order of the inputs. nominal: a network for each component; variations: by name,
    networks whose last input is what the nominal one corrected, the others as they came.
    """

    estimators: tuple[str, ...]
    context: tuple[str, ...]
    nominal: Sequence[Dense]
    variations: Mapping[str, Sequence[Dense]]

    @property
    def systematics(self) -> list[str]:
        """Names of all maps, the nominal one first."""
        return [NOMINAL, *self.variations]

    @property
    def features(self) -> list[str]:
        """Names of the components, in their order."""
        return features(self.estimators)

    def __call__(self, u: Array, context: Array, systematic: str = NOMINAL) -> Array:
        """(events, features) corrected residuals, GeV; context: (events, columns)."""
        out = u + _shifts(self.nominal, u, u, context)
        return out if systematic == NOMINAL else out + _shifts(self.variations[systematic], u, out, context)


def _shifts(networks: Sequence[Dense], u: Array, own: Array, context: Array) -> Array:
    columns = [network(np.column_stack([context, u[:, :k], own[:, k]])) for k, network in enumerate(networks)]
    return np.stack(columns, axis=1)
