"""Weights that a generator stores: scales, PDFs, the parton shower, in the layouts of NanoAOD.

Every member is divided by what ``Runs`` says that it does to the sum of weights, so variations keep the inclusive rate:
what is left is their effect on shapes and acceptance. The envelope of scales and the sum of PDF members are taken event
by event, and so are upper bounds of those of a distribution.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import awkward as ak
import numpy as np
from pydantic import Field, model_validator

from ptmiss.errors import ColumnError, CorrectionError
from ptmiss.typing import Array

from .base import Variations, Weight
from .columns import SUMS, Columns

CENTRAL = 4  # of nine scale weights: both scales as they are
SCALES = {"renormalisation": (7, 1), "factorisation": (5, 3), "both": (8, 0)}
SEVEN = (0, 1, 3, 5, 7, 8)  # without the two where one scale is doubled and the other halved
MEMBERS = {31: (1, 30), 33: (1, 30), 100: (0, 99), 101: (1, 100), 102: (0, 99), 103: (1, 100)}
"""First and last member of the sets of PDFs by their length; after the last those of alpha_s, before the first the
central one."""
MANY = 1000  # entries; no set has as many
SHOWER = ("ISR", "FSR")
SHOWER_ORDER = (("ISR", 2.0), ("FSR", 2.0), ("ISR", 0.5), ("FSR", 0.5))  # since version 7 of NanoAOD


class Theory(Weight):
    """A weight of a generator."""

    keep_rate: bool = Field(True, description="divide by the change of the sum of weights that `Runs` states")

    def stored(self) -> tuple[str, str]:
        """The branch, and the column of ``Runs`` with its sums."""
        raise NotImplementedError

    def branches(self) -> Collection[str]:
        """That of the weights."""
        return (self.stored()[0],)

    def sums(self) -> Collection[str]:
        """What ``Runs`` has to have."""
        return (self.stored()[1],) if self.keep_rate else ()

    def lists(self) -> Collection[str]:
        """That of the weights."""
        return (self.stored()[0],)

    @property
    def known(self) -> Collection[int]:
        """Numbers of entries whose order is known."""
        raise NotImplementedError

    def require_lengths(self, name: str, lengths: Mapping[str, int], sums: Mapping[str, int], path: str) -> None:
        """Raise unless the first event of a file has a known number of entries, and ``Runs`` as many sums."""
        branch, column = self.stored()
        if branch in lengths:
            self._require_number(name, [lengths[branch]], f" in {path}")
        if self.keep_rate and {branch, column} <= {*lengths, *sums} and lengths[branch] != sums[column]:
            raise _unequal(name, column, sums[column], lengths[branch])

    def _require_number(self, name: str, numbers: Sequence[int], where: str = "") -> None:
        """Raise unless events have one known number of entries."""
        if len(numbers) == 1 and numbers[0] in self.known:
            return
        known = self.known
        expected = f"{known[0]} or more" if isinstance(known, range) else " or ".join(map(str, known))
        found = ", ".join(map(str, numbers[:4]))
        raise ColumnError(f"weight {name!r}: {self.stored()[0]} has {found} entries{where}, expected {expected}")

    def members(self, name: str, columns: Columns) -> Array:
        """(events, members) weights relative to the nominal one, their rate divided out."""
        branch, sums = self.stored()
        values = columns.branch(branch)
        numbers = np.unique(ak.to_numpy(ak.num(values)))
        if not len(numbers):
            return np.ones((0, next(iter(self.known))))
        self._require_number(name, numbers.tolist())
        out = np.asarray(ak.to_numpy(ak.to_regular(values)), np.float64)
        return out / self._rates(name, sums, columns, out.shape[1])

    def _rates(self, name: str, sums: str, columns: Columns, number: int) -> Array:
        if not self.keep_rate:
            return np.ones(number)
        rates = np.asarray(columns.events.metadata[SUMS][sums], np.float64)
        if len(rates) != number:
            raise _unequal(name, sums, len(rates), number)
        return rates


class Scale(Theory):
    """The renormalisation and the factorisation scale, halved and doubled (``LHEScaleWeight``, nine or eight)."""

    kind: Literal["scale"]
    vary: Literal["envelope", "renormalisation", "factorisation", "both"] = Field(
        "envelope", description="which scale; `envelope`: the extremes of seven, in each event"
    )

    def stored(self) -> tuple[str, str]:
        """The branch, and the column of ``Runs`` with its sums."""
        return "LHEScaleWeight", "LHEScaleSumw"

    @property
    def known(self) -> Collection[int]:
        """Numbers of entries whose order is known."""
        return (9, 8)

    def evaluate(self, name: str, columns: Columns) -> Variations:
        """The weight of events."""
        members = self.members(name, columns)
        one = np.ones(len(columns))
        if members.shape[1] == 8:
            members = np.insert(members, CENTRAL, 1.0, axis=1)
        relative = _ratio(members, members[:, CENTRAL])
        if self.vary == "envelope":
            chosen = np.concatenate([relative[:, SEVEN], one[:, np.newaxis]], axis=1)
            return Variations(one, chosen.max(axis=1), chosen.min(axis=1))
        up, down = SCALES[self.vary]
        return Variations(one, relative[:, up].copy(), relative[:, down].copy())


class Pdf(Theory):
    """The parton distributions: members of ``LHEPdfWeight``, a symmetric Hessian or replicas."""

    kind: Literal["pdf"]
    method: Literal["hessian", "replicas"] = Field(
        "hessian", description="`hessian`: the members' differences in quadrature; `replicas`: their spread"
    )
    members_range: tuple[int, int] | None = Field(
        None, alias="members", description="first and last member, counted from 0; known for 31, 33 and 100 to 103"
    )
    alpha_s: bool = Field(True, description="add alpha_s in quadrature, where two members follow the last")

    @model_validator(mode="after")
    def _rising(self) -> Pdf:
        if self.members_range and not 0 <= self.members_range[0] < self.members_range[1]:
            raise ValueError(f"members {list(self.members_range)}: expected the first and the last")
        return self

    def stored(self) -> tuple[str, str]:
        """The branch, and the column of ``Runs`` with its sums."""
        return "LHEPdfWeight", "LHEPdfSumw"

    @property
    def known(self) -> Collection[int]:
        """Numbers of entries whose order is known; all with enough of them where the members are named."""
        return range(self.members_range[1] + 1, MANY) if self.members_range else MEMBERS

    def evaluate(self, name: str, columns: Columns) -> Variations:
        """The weight of events."""
        members = self.members(name, columns)
        one = np.ones(len(columns))
        first, last = self.members_range or MEMBERS[members.shape[1]]
        relative = _ratio(members, members[:, 0]) if first else members
        part = relative[:, first : last + 1]
        square = part.var(axis=1, ddof=1) if self.method == "replicas" else ((part - 1) ** 2).sum(axis=1)
        if self.alpha_s and members.shape[1] == last + 3:
            square = square + ((relative[:, last + 2] - relative[:, last + 1]) / 2) ** 2
        return Variations(one, 1 + np.sqrt(square), 1 - np.sqrt(square))


class Shower(Theory):
    """The scale of the parton shower, halved and doubled: of initial or final state radiation (``PSWeight``)."""

    kind: Literal["shower"]
    part: Literal["ISR", "FSR"] = Field(description="`ISR`, of the initial state, or `FSR`, of the final state")

    def stored(self) -> tuple[str, str]:
        """The branch, and the column of ``Runs`` with its sums."""
        return "PSWeight", "PSSumw"

    @property
    def known(self) -> Collection[int]:
        """Numbers of entries whose order is known."""
        return (4,)

    def evaluate(self, name: str, columns: Columns) -> Variations:
        """The weight of events."""
        members = self.members(name, columns)
        one = np.ones(len(columns))
        order = shower_order(columns.branch("PSWeight").__doc__ or "")
        up, down = (members[:, order.index((self.part, scale))].copy() for scale in (2.0, 0.5))
        return Variations(one, up, down)


def shower_order(title: str) -> list[tuple[str, float]]:
    """Which radiation each of the four weights of the shower varies, and by what, from the title of the branch.

    Older versions of NanoAOD have the halved scales first. Where the title says nothing they come last.
    """
    found = re.findall(r"\[\d\] is ISR=([\d.]+) FSR=([\d.]+)", title)
    order = [("ISR", float(isr)) if float(isr) != 1 else ("FSR", float(fsr)) for isr, fsr in found]
    return order if sorted(order) == sorted(SHOWER_ORDER) else list(SHOWER_ORDER)


def _unequal(name: str, column: str, number: int, expected: int) -> CorrectionError:
    return CorrectionError(f"weight {name!r}: {column} in Runs has {number} entries, expected {expected}")


def _ratio(members: Array, central: Array) -> Array:
    """(events, members) relative to the (events,) central one; 1 where that is 0."""
    below = central[:, np.newaxis]
    return np.divide(members, below, out=np.ones_like(members), where=below != 0)
