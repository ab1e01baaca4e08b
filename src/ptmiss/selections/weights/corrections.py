"""Weights looked up in files of correctionlib: pile-up, and factors of events or of the selected objects."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FilePath

from ptmiss.corrections import lookups
from ptmiss.corrections.lookups import Lookup
from ptmiss.errors import CorrectionError, OptionError
from ptmiss.selections.formulas import Formula
from ptmiss.typing import Array

from .base import Variations, Weight
from .columns import Columns

Inputs = dict[str, str]


class Looked(Weight):
    """A weight out of a file of correctionlib."""

    file: FilePath = Field(description="file of correctionlib, JSON or gzipped JSON; from where the file of weights is")
    correction: str = Field("", description="its name in the file; may be left out where the file has only one")
    clamp: bool = Field(False, description="take the nearest bin for values outside of the binning, and count them")

    @property
    def lookup(self) -> Lookup:
        """The correction, read once in each process."""
        found = lookups.load(str(self.file))
        if not self.correction and len(found.lookups) > 1:
            raise OptionError(
                f"{self.file} has {len(found.lookups)} corrections: expected correction, one of "
                f"{', '.join(found.lookups)}"
            )
        return found[self.correction or next(iter(found.lookups))]

    def outside_note(
        self, name: str, given: Mapping[str, Any], events: NDArray[np.intp], number: int
    ) -> Mapping[str, int]:
        """A note on events outside of the binning, whose index is (values,); CorrectionError unless clamped."""
        outside = np.broadcast_to(self.lookup.outside(given), len(events))
        count = len(np.unique(events[outside]))
        if count and not self.clamp:
            reason = f"weight {name!r}: {count} of {number} events"
            full = {
                key: value if isinstance(value, str) else np.broadcast_to(value, len(events))
                for key, value in given.items()
            }
            try:
                self.lookup.require_inside(full, outside, reason)
            except CorrectionError as error:
                raise CorrectionError(f"{error}; clamp = true takes the nearest bin") from None
        return {f"event outside of the range of weight {name!r}: the nearest bin": count} if count else {}


class Pileup(Looked):
    """Weights of the pile-up in the format of CMS's luminosity group, whatever its inputs are called."""

    kind: Literal["pileup"]
    branch: str = Field("Pileup_nTrueInt", description="branch of the mean number of interactions")
    up: str = Field("up", description="the upward variation in the file")
    down: str = Field("down", description="the downward variation in the file")
    nominal: str = Field("nominal", description="the nominal weight in the file")

    def branches(self) -> Collection[str]:
        """That of the number of interactions."""
        return (self.branch,)

    @property
    def names(self) -> tuple[str, str]:
        """Of the inputs: the number of interactions, and the variation."""
        inputs = self.lookup.inputs
        found = [[name for name, kind in inputs.items() if (kind == "string") is text] for text in (False, True)]
        if [len(names) for names in found] != [1, 1]:
            raise CorrectionError(
                f"{self.lookup.name} in {self.file} has inputs {', '.join(inputs)}: expected a number "
                "of interactions and a variation; a weight of kind 'correction' has any inputs"
            )
        return found[0][0], found[1][0]

    def require(self, name: str) -> None:
        """Raise where the file has no such correction or variation."""
        for value in (self.nominal, self.up, self.down):
            self.lookup.require({self.names[1]: value})

    def evaluate(self, name: str, columns: Columns) -> Variations:
        """The weight of events."""
        real, variation = self.names
        given = {real: columns.event(self.branch)}
        note = self.outside_note(name, {**given, variation: self.nominal}, np.arange(len(columns)), len(columns))
        nominal, up, down = (
            self.lookup({**given, variation: key}, clamp=True) for key in (self.nominal, self.up, self.down)
        )
        return Variations(nominal, up, down, note)


class Correction(Looked):
    """A factor for every event, or the product of those of its selected objects."""

    kind: Literal["correction"]
    objects: Literal["", "muons", "electrons", "photons", "jets"] = Field(
        "", description="the selected objects whose factors are multiplied; one factor an event if it is not there"
    )
    inputs: Inputs = Field(
        description="each input of the correction: a value of a category, or a formula over fields of the objects, "
        "or over branches of the event"
    )
    up: Inputs = Field({}, description="inputs that have another value for the upward variation")
    down: Inputs = Field({}, description="inputs that have another value for the downward variation")

    @property
    def formulas(self) -> dict[str, Formula]:
        """Of the inputs that are numbers."""
        kinds = self.lookup.inputs
        return {name: Formula(text) for name, text in self.inputs.items() if kinds.get(name) != "string"}

    @property
    def names(self) -> list[str]:
        """The columns of events or objects that it is made of."""
        return list(dict.fromkeys(name for formula in self.formulas.values() for name in formula.names))

    def branches(self) -> Collection[str]:
        """Those of events."""
        return () if self.objects else self.names

    def require(self, name: str) -> None:
        """Raise where the file has no such correction, input, era or variation, or a formula is none."""
        lookup, _ = self.lookup, self.formulas
        lookup.require(dict.fromkeys(self.inputs, np.zeros(0)))
        if missing := [each for each in lookup.inputs if each not in self.inputs]:
            raise OptionError(f"weight {name!r} needs input {missing[0]!r} of {lookup.name} in {self.file}")
        for values in (self.inputs, self.inputs | self.up, self.inputs | self.down):
            lookup.require(
                {key: value for key, value in values.items() if lookup.inputs.get(key, "string") == "string"}
            )
        _ = self.names  # its formulas are read
        if varied := [each for each in (*self.up, *self.down) if lookup.inputs[each] != "string"]:
            raise OptionError(f"weight {name!r} varies {varied[0]!r}, a number: expected a category")

    def evaluate(self, name: str, columns: Columns) -> Variations:
        """The weight of events."""
        number = len(columns)
        if self.objects:
            numbers = columns.of_objects(self.objects, self.names)
            events = np.repeat(np.arange(number), columns.counts(self.objects))
        else:
            numbers, events = {each: columns.event(each) for each in self.names}, np.arange(number)
        values = {key: formula(numbers) for key, formula in self.formulas.items()}
        given: dict[str, Any] = {**self.inputs, **values}
        note = self.outside_note(name, given, events, number) if len(events) else {}
        nominal, up, down = (
            _product(np.broadcast_to(self.lookup({**given, **other}, clamp=True), len(events)), events, number)
            if other is not None
            else None
            for other in ({}, self.up or None, self.down or None)
        )
        assert nominal is not None
        return Variations(nominal, up, down, note)


def _product(factors: Array, events: NDArray[np.intp], number: int) -> Array:
    """(events,) products of the factors of each event; 1 where there are none. events: (factors,) index, sorted."""
    out = np.ones(number)
    np.multiply.at(out, events, factors)
    return out
