"""The columns that weights are made of: branches of events by their names in the file, fields of selected objects."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import ColumnError, hint
from ptmiss.recoil import magnitude
from ptmiss.typing import Array

BOSON = "genboson_pt"  # GeV, as in the recoil table
SUMS = "theory_sums"  # of the metadata: what ``Runs`` says of theory weights
LENGTHS = "theory_lengths"  # of the metadata: how many of each an event has


@dataclass(frozen=True)
class Columns:
    """What weights are made of in some events: the events, and the selected objects, such as ``muons``."""

    events: Any
    objects: Mapping[str, ak.Array]

    def __len__(self) -> int:
        return len(self.events)

    def event(self, name: str) -> Array:
        """(events,) a branch with one number an event, such as ``Pileup_nTrueInt``, or ``genboson_pt`` (GeV)."""
        if name == BOSON:
            from ptmiss.truth import generated_boson  # it needs selections, which have weights

            return magnitude(generated_boson(self.events))
        return np.asarray(ak.to_numpy(self.branch(name)), np.float64)

    def branch(self, name: str) -> ak.Array:
        """A branch by its name in the file."""
        if name in self.events.fields:
            return self.events[name]
        collection, _, field = name.partition("_")
        return self.events[collection][field]

    def of_objects(self, kind: str, names: Collection[str]) -> dict[str, Array]:
        """Fields of all selected objects of a kind, (objects,) each, as float64."""
        objects = self.objects.get(kind)
        if objects is None:
            raise ColumnError(f"no {kind} are selected here; selected: {', '.join(self.objects) or 'nothing'}")
        for name in names:
            if name not in objects.fields:
                known = ", ".join(objects.fields)
                raise ColumnError(f"selected {kind} have no {name!r}{hint(name, objects.fields)}; known: {known}")
        return {name: np.asarray(ak.to_numpy(ak.flatten(objects[name])), np.float64) for name in names}

    def counts(self, kind: str) -> NDArray[np.int64]:
        """(events,) number of selected objects of a kind."""
        return np.asarray(ak.to_numpy(ak.num(self.objects[kind])), np.int64)


def require_branches(name: str, branches: Collection[str], there: Collection[str], path: str) -> None:
    """Raise ColumnError unless a file has the branches that a weight is made of."""
    for branch in branches:
        needed = "GenPart_statusFlags" if branch == BOSON else branch
        if needed not in there:
            raise ColumnError(f"weight {name!r} needs branch {needed}, which {path} does not have{hint(needed, there)}")
