"""Weights out of branches: prefiring of the trigger, the sign of the generator's weight, a formula of the user's."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np
from pydantic import Field

from ptmiss.errors import CorrectionError
from ptmiss.selections.formulas import Formula, FormulaText
from ptmiss.typing import Array

from .base import Variations, Weight
from .columns import Columns


class Prefiring(Weight):
    """The share of events that did not prefire the trigger (2016 to 2018)."""

    kind: Literal["prefiring"]
    branch: str = Field("L1PreFiringWeight", description="branches, without `_Nom`, `_Up` and `_Dn`")

    def branches(self) -> Collection[str]:
        """All three."""
        return [f"{self.branch}_{ending}" for ending in ("Nom", "Up", "Dn")]

    def evaluate(self, name: str, columns: Columns) -> Variations:
        """The weight of events."""
        nominal, up, down = (columns.event(branch) for branch in self.branches())
        return Variations(nominal, up, down)


class Sign(Weight):
    """Every event counts 1 or -1: the sign of ``genWeight`` takes its place."""

    kind: Literal["sign"]

    def branches(self) -> Collection[str]:
        """That of the generator's weight."""
        return ("genWeight",)

    def evaluate(self, name: str, columns: Columns) -> Variations:
        """The weight of events."""
        size = np.abs(columns.event("genWeight"))
        return Variations(np.divide(1.0, size, out=np.zeros_like(size), where=size > 0))


class FormulaWeight(Weight):
    """A formula over branches, and over ``genboson_pt`` (GeV)."""

    kind: Literal["formula"]
    formula: FormulaText = Field(description="the weight, such as `1 + 0.001 * Pileup_nTrueInt`")
    up: FormulaText = Field("", description="the weight varied up")
    down: FormulaText = Field("", description="the weight varied down")

    @property
    def formulas(self) -> list[Formula]:
        """The nominal one, and its variations."""
        return [Formula(text) for text in (self.formula, self.up, self.down) if text]

    def branches(self) -> Collection[str]:
        """Those in the formulas."""
        return list(dict.fromkeys(name for formula in self.formulas for name in formula.names))

    def evaluate(self, name: str, columns: Columns) -> Variations:
        """The weight of events."""
        given = {branch: columns.event(branch) for branch in self.branches()}
        nominal, up, down = (
            self._values(name, text, given, len(columns)) for text in (self.formula, self.up, self.down)
        )
        assert nominal is not None
        return Variations(nominal, up, down)

    def _values(self, name: str, text: str, given: dict[str, Array], number: int) -> Array | None:
        if not text:
            return None
        values = np.broadcast_to(Formula(text)(given), number).copy()
        if bad := np.count_nonzero(~np.isfinite(values)):
            raise CorrectionError(f"weight {name!r}: {bad} of {number} events have no value of {text!r}")
        return values
