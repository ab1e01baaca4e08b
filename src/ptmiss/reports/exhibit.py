"""What a page is made of: sections with facts and exhibits, each a figure and the numbers in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from ptmiss.reports.svg import Drawing


@dataclass(frozen=True)
class Exhibit:
    """A figure, or none, and its table.

    title: what it shows, in a line; caption: what that means; group: the sub-heading under which it stands.
    """

    title: str
    table: pd.DataFrame
    figure: Figure | Drawing | None = None
    caption: str = ""
    group: str = ""


@dataclass(frozen=True)
class Section:
    """One source. facts: how it was made, as names and values; warnings: what a reader has to know first.

    about: how many events of what, selected how; headline: numbers of the summary, see ptmiss.reports.summary.
    """

    title: str
    kind: str
    exhibits: Sequence[Exhibit] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    text: str = ""
    about: str = ""
    headline: pd.DataFrame | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.exhibits and not self.text
