"""Event displays in eta and phi: elements, candidates of each reconstruction, and attention in MLPF."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptmiss.elements import CLASSES, TYPES
from ptmiss.estimators.reconstruction import classes
from ptmiss.evaluation.study import Shown
from ptmiss.plots import TYPE_COLOURS, grid, label_of

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
    return grid(draws, label, "", 2, shared=False)


def of_groups(event: Shown, label: str = "") -> Figure:
    """Elements by the window or learned bin that they are in, a panel a layer."""
    draws = [partial(members, event, i) for i in range(len(event.groups))]
    return grid(draws, label, "", min(len(draws), 3), shared=False)


def members(event: Shown, layer: int, ax: Axes) -> None:
    """One layer's windows or bins by colour, on the calorimeter; for a graph each element's strongest edge."""
    groups, elements = event.groups[layer], event.elements
    reached = (elements["caloEta"] != 0) | (elements["caloPhi"] != 0)
    eta, phi = (np.where(reached, elements[f"calo{x}"], elements[x.lower()]) for x in ("Eta", "Phi"))
    pairs = strongest(groups.edges, groups.strength)
    pairs = pairs[np.abs(phi[pairs[:, 0]] - phi[pairs[:, 1]]) < np.pi]  # not across the border of the picture
    ax.plot(eta[pairs].T, phi[pairs].T, color="0.6", lw=0.6, zorder=1)
    area = np.clip(12 * elements["pt"], 20, 900)
    ax.scatter(eta, phi, s=area, c=groups.number % 10, cmap="tab10", vmin=0, vmax=10, alpha=0.8, lw=0, zorder=2)
    ax.set_xlim(*RANGE)
    ax.set_ylim(-np.pi, np.pi)
    ax.set_xlabel(r"$\eta$ at the calorimeter")
    ax.set_ylabel(r"$\phi$ at the calorimeter")
    told = "bins, each element's strongest edge" if len(groups.edges) else "windows"
    count = len(np.unique(groups.number))
    ax.set_title(f"Layer {layer + 1}: {count} {told}", fontsize="x-small", loc="left")


def strongest(edges: NDArray, strength: NDArray) -> NDArray:
    """(k, 2) the edges (m, 2) that are the strongest of at least one of their ends."""
    order = np.argsort(-strength, kind="stable")
    _, first = np.unique(edges[order].ravel(), return_index=True)
    return edges[order[np.unique(first // 2)]]


def scatter(
    columns: Mapping[str, NDArray], kind: NDArray, named: Mapping[int, tuple[str, str]], title: str, ax: Axes
) -> None:
    """Points by kind, their area proportional to pT; columns pt (GeV), eta, phi (rad) and kind have shape (points,)."""
    hard = columns["pt"] > LEAST_PT
    for code, (name, colour) in named.items():
        own = hard & (kind == code)
        area = np.clip(8 * columns["pt"][own], 4, 1500)
        ax.scatter(columns["eta"][own], columns["phi"][own], s=area, color=colour, alpha=0.5, lw=0)
        ax.scatter([], [], s=60, color=colour, label=name)
    ax.set_xlim(*RANGE)
    ax.set_ylim(-np.pi, np.pi)
    ax.set_xlabel(r"$\eta$")
    ax.set_ylabel(r"$\phi$ (rad)")
    above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderpad": 0}
    ax.legend(
        title=title,
        fontsize="xx-small",
        title_fontsize="x-small",
        alignment="left",
        ncols=3,
        columnspacing=0.8,
        handletextpad=0,
        **above,
    )
