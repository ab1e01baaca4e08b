"""All weights of some events, multiplied in one place by coffea's ``Weights``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import ColumnError
from ptmiss.events import event_weight, without_weight
from ptmiss.systematics import DOWN, UP
from ptmiss.truth import is_data
from ptmiss.typing import Array

from .base import Weight
from .branches import Sign
from .columns import LENGTHS, SUMS, Columns, require_branches

Weights = Mapping[str, Weight]  # by their names
NO_WEIGHT = "event with a generator weight that is no finite number: counts nothing"
NO_NUMBER = "event with a weight that is no finite number: counts nothing"


@dataclass(frozen=True)
class EventWeights:
    """The product of all weights of events, (events,), and with each varied, by ``<name>_up`` and ``<name>_down``.

    A weight that is only varied up has as its other variation the mirror in the ratio, as coffea has it.
    """

    nominal: Array
    varied: Mapping[str, Array]
    notes: dict[str, int]

    def __getitem__(self, mask: NDArray[np.bool_]) -> EventWeights:
        return EventWeights(self.nominal[mask], {name: w[mask] for name, w in self.varied.items()}, self.notes)


def evaluate(
    weights: Weights, events: Any, objects: Mapping[str, ak.Array], factor: Array | None = None
) -> EventWeights:
    """The weights of events, the generator's among them; data have that alone.

    objects: the selected objects by their kind, such as ``muons``; factor: (events,) another weight without variations.
    """
    from coffea.analysis_tools import Weights as Product  # compiles for seconds when it is imported

    product, columns = Product(len(events)), Columns(events, objects)
    notes = {NO_WEIGHT: bad} if (bad := without_weight(events)) else {}
    product.add("generator", event_weight(events))
    if factor is not None:
        product.add("factor", factor)
    for name, weight in {} if is_data(events) else weights.items():
        found = weight.evaluate(name, columns)
        product.add(name, found.nominal, found.up, found.down)
        notes |= found.note
    nominal, notes[NO_NUMBER] = finite(product.weight(), 0.0)
    varied = {}
    for name in sorted(product.variations):
        varied[systematic(name)], bad = finite(product.weight(name), nominal)
        notes[f"event with {systematic(name)} that is no finite number: has the nominal weight"] = bad
    return EventWeights(nominal, varied, {what: n for what, n in notes.items() if n})


def finite(weight: Array, instead: Array | float) -> tuple[Array, int]:
    """(events,) weights with another in place of each that is no finite number, and how many these are."""
    good = np.isfinite(weight)
    return np.where(good, weight, instead), int(np.count_nonzero(~good))


def systematic(variation: str) -> str:
    """The name of a systematic, as histograms have it, of coffea's variation: ``pileup_up`` of ``pileupUp``."""
    up = variation.endswith("Up")
    return variation.removesuffix("Up") + UP if up else variation.removesuffix("Down") + DOWN


def require(weights: Weights, there: Collection[str], path: str, metadata: Mapping[str, Any]) -> None:
    """Raise unless the weights' own files, and a file of simulation with these branches, have all that is needed."""
    if metadata.get("kind") == "data":
        return
    for name, weight in weights.items():
        weight.require(name)
        require_branches(name, weight.branches(), there, path)
        sums = {column: len(values) for column, values in metadata.get(SUMS, {}).items()}
        weight.require_lengths(name, metadata.get(LENGTHS, {}), sums, path)
        for column in weight.sums():
            if column not in metadata.get(SUMS, {}):
                raise ColumnError(
                    f"weight {name!r} needs {column} in `Runs` of all files of dataset {metadata.get('dataset')!r}; "
                    "keep_rate = false does without, and changes the rate"
                )


def lists(weights: Weights) -> list[str]:
    """The branches with several numbers an event, of which weights take a certain number."""
    return sorted({branch for weight in weights.values() for branch in weight.lists()})


def sums(weights: Weights) -> list[str]:
    """The columns of ``Runs`` that weights are normalised with."""
    return sorted({column for weight in weights.values() for column in weight.sums()})


def generator_weight(weights: Weights, events: Any) -> Array:
    """(events,) what a cross section is normalised to: the generator's weight, or its sign."""
    weight = event_weight(events)
    return np.sign(weight) if has_sign(weights) and not is_data(events) else weight


def has_sign(weights: Weights) -> bool:
    """Whether the sign of the generator's weight takes its place."""
    return any(isinstance(weight, Sign) for weight in weights.values())
