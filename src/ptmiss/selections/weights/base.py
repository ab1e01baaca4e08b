"""What every weight is: a checked table of the file of weights, and a function of columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from ptmiss.typing import Array

from .columns import Columns


class Variations(NamedTuple):
    """A weight of events, (events,) each: ``nominal``, and ``up`` and ``down`` where it has them.

    note: what is to be told of how many.
    """

    nominal: Array
    up: Array | None = None
    down: Array | None = None
    note: Mapping[str, int] = {}


class Weight(BaseModel):
    """One weight of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def branches(self) -> Collection[str]:
        """The branches of events that it is made of."""
        return ()

    def sums(self) -> Collection[str]:
        """The columns of ``Runs`` that it is normalised with."""
        return ()

    def lists(self) -> Collection[str]:
        """The branches with several numbers an event, whose number ``require_lengths`` checks."""
        return ()

    def require_lengths(self, name: str, lengths: Mapping[str, int], sums: Mapping[str, int], path: str) -> None:
        """Raise where an event has another number of entries than the weight takes, or ``Runs`` has other sums.

        lengths: of the branches in ``lists``; sums: of the columns in ``sums``; by name, where they are known.
        """

    def require(self, name: str) -> None:
        """Raise where its files lack what it names; before any event is read."""

    def evaluate(self, name: str, columns: Columns) -> Variations:
        """The weight of events."""
        raise NotImplementedError
