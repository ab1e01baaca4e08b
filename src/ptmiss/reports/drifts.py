"""What networks of a run read beside their training, from its manifest: a table and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ptmiss.networks.drift import LIMIT
from ptmiss.networks.sketches import CATEGORY, EDGES, INPUTS, WEIGHT
from ptmiss.plots import STYLE, colour_of, label_of, mark

TITLES = {
    "dxy": "dxy (cm), tracks",
    "dz": "dz (cm), tracks",
    "eta": r"$\eta$",
    "mass": "mass (GeV)",
    "pt": r"$p_\mathrm{T}$ (GeV)",
    "puppiWeight": "PUPPI weight",
    "phi": r"$\phi$",
    WEIGHT: "weight of the momentum",
    CATEGORY: "charge, pdgId and fromPV",
}
TICKS = 4


def table(found: Mapping[str, Any]) -> pd.DataFrame:
    """PSI of each input of a network, with errors, and the share of categories that the training never saw."""
    rows = [{"input": name, "psi": psi, "psi_error": error} for name, (psi, error) in found["psi"].items()]
    if found["unseen"]:
        rows.append({"input": "categories never seen", "share": found["unseen"][0], "share_error": found["unseen"][1]})
    return pd.DataFrame(rows)


def figure(found: Mapping[str, Any], network: str, label: str = "") -> Figure:
    """Shares of candidates in the bins of each input: of the run (points) and of the training (filled)."""
    shares = pd.DataFrame(found["shares"])
    with mpl.rc_context(STYLE):
        drawn = Figure(figsize=(27, 21), layout="constrained")
        axes = list(drawn.subplots(3, 3).flat)
        for ax, name in zip(axes, INPUTS, strict=True):
            panel(ax, shares[shares["input"] == name], name, found["psi"].get(name), network)
        axes[0].legend(fontsize="x-small", loc="upper left")
        mark(axes[0], label)
    return drawn


def panel(ax: Axes, rows: pd.DataFrame, name: str, psi: Sequence[float] | None, network: str) -> None:
    """One input, its bins side by side with the same width; those of categories only where there are any."""
    where = np.arange(len(rows)) if name == CATEGORY else rows["bin"].to_numpy()
    ax.bar(where, rows["training"], width=1, color="0.85", label="Training")
    colour = colour_of(network, [network])
    ax.errorbar(where, rows["seen"], rows["seen_error"], fmt="o", ms=7, color=colour, label=f"Run, {label_of(network)}")
    if psi:
        beyond = psi[0] > LIMIT
        text = f"PSI {psi[0]:z.3f} ± {psi[1]:.3f}"
        ax.text(
            0.97,
            0.93,
            text,
            transform=ax.transAxes,
            ha="right",
            fontsize="small",
            color="#b2182b" if beyond else "black",
        )
    ax.set_ylim(0, 1.3 * max(rows[["training", "seen"]].max().max(), 1e-6))
    ax.set_xlabel(TITLES[name])
    ax.set_ylabel("Share of candidates", fontsize="small")
    ax.minorticks_off()
    if name == CATEGORY:
        ax.set_xticks([])
        return
    edges = EDGES[name]
    chosen = np.unique(np.linspace(0, len(edges) - 1, TICKS + 1).round().astype(int))
    ax.set_xticks(chosen + 0.5, [f"{edges[i]:.3g}" for i in chosen], fontsize="x-small")


def exhibits_of(dataset: Mapping[str, Any], label: str = "") -> list[tuple[str, pd.DataFrame, Figure]]:
    """Title, table and figure of each network of a dataset that has a sketch of its training."""
    return [
        (f"{label_of(name)}: inputs beside the training", table(found), figure(found, name, label))
        for name, found in dataset.get("monitoring", {}).items()
        if found["psi"]
    ]
