"""Event displays: elements, and the candidates of each reconstruction, in the plane of eta and phi."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptmiss.elements import CLASSES, TYPES
from ptmiss.evaluation.figures import grid
from ptmiss.evaluation.study import Shown
from ptmiss.plots import label_of
from ptmiss.reconstruction import classes

TYPE_COLOURS = {1: "#0072b2", 4: "#d55e00", 5: "#009e73", 8: "#e69f00", 9: "#7b3294"}
CLASS_COLOURS = {1: "#0072b2", 2: "#009e73", 3: "#d55e00", 4: "#56b4e9", 5: "#000000", 6: "#7b3294", 7: "#e69f00"}
LEAST_PT = 0.3  # GeV: softer ones are not drawn
RANGE = (-5.3, 5.3)


def of_event(event: Shown, label: str = "") -> Figure:
    """Elements, then the candidates of PF, MLPF and the ideal targets; area is proportional to pT."""
    elements = event.elements
    own = {name: elements[name] for name in ("eta", "phi", "pt")}
    named = {code: (TYPES[code], colour) for code, colour in TYPE_COLOURS.items()}
    draws = [partial(scatter, own, elements["type"], named, f"{len(elements['pt'])} elements")]
    of_class = {code: (CLASSES[code], colour) for code, colour in CLASS_COLOURS.items()}
    for name in (name for name in ("pf", "mlpf", "targets") if name in event.candidates):
        made = event.candidates[name]
        columns = {column: made[column] for column in ("eta", "phi", "pt")}
        title = f"{label_of(name)}, {len(made['pt'])} candidates"
        draws.append(partial(scatter, columns, classes(made["pdgId"]), of_class, title))
    return grid(draws, label, "", 2)


def scatter(
    columns: Mapping[str, NDArray], kind: NDArray, named: Mapping[int, tuple[str, str]], title: str, ax: Axes
) -> None:
    """Points by kind, their area proportional to pT."""
    hard = columns["pt"] > LEAST_PT
    for code, (name, colour) in named.items():
        own = hard & (kind == code)
        area = np.clip(8 * columns["pt"][own], 4, 1500)
        ax.scatter(columns["eta"][own], columns["phi"][own], s=area, color=colour, alpha=0.5, lw=0)
        ax.scatter([], [], s=60, color=colour, label=name)
    ax.set_xlim(*RANGE)
    ax.set_ylim(-np.pi, 1.45 * np.pi)
    ax.set_xlabel(r"$\eta$")
    ax.set_ylabel(r"$\phi$")
    ax.legend(title=title, fontsize="xx-small", title_fontsize="x-small", loc="upper center", ncols=3)
