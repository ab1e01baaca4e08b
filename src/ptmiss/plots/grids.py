"""Panels side by side, with one legend for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import STYLE, mark

LEGEND_COLUMNS = 5


def grid(
    draws: Sequence[Callable[[Axes], None]], label: str, title: str, columns: int, size: float = 8, shared: bool = True
) -> Figure:
    """A figure of panels, so many in a row; shared: with one legend below all of them."""
    rows = max(-(-len(draws) // columns), 1)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.1 * size * columns, size * rows), layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for draw, ax in zip(draws, axes, strict=False):
            draw(ax)
        for ax in axes[len(draws) :]:
            ax.set_axis_off()
        if shared:
            mark(axes[0], label)
            legend(figure, axes)
        if text := title if shared else ", ".join(filter(None, (label, title))):
            figure.suptitle(text, fontsize="medium")
    return figure


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend of all panels, below them: each name once."""
    found: dict[str, Any] = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    if found:
        columns = min(len(found), LEGEND_COLUMNS)
        figure.legend(handles=list(found.values()), labels=list(found), loc="outside lower center", ncols=columns)
