"""The figure of a training's log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from ptmiss.plots import QUANTITIES, STYLE, save

QUANTITIES_DRAWN = {name: QUANTITIES[name] for name in ("rms_par", "rms_perp", "response")}


def draw(log: pd.DataFrame, stem: Path, shown: Mapping[str, str] = QUANTITIES_DRAWN) -> list[Path]:
    """Draw the losses and the quantities of the validation against the epoch; returns the files.

    shown: titles of the quantities' axes by column; those without a number in any epoch are left out.
    """
    panels = [name for name in shown if name in log and log[name].notna().any()]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9 * (1 + len(panels)), 8), layout="constrained")
        losses, *others = figure.subplots(1, 1 + len(panels), squeeze=False)[0]
        for column, name in (("train_loss", "training"), ("loss", "validation")):
            losses.plot(log["epoch"], log[column], marker="o", label=name)
        losses.set(xlabel="Epoch", ylabel="Loss", yscale="log")
        losses.legend()
        for ax, name in zip(others, panels, strict=True):
            ax.plot(log["epoch"], log[name], marker="o", color="C1")
            ax.set(xlabel="Epoch", ylabel=shown[name])
        for ax in figure.axes:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.xaxis.set_minor_locator(NullLocator())
        return save(figure, stem, ["png"])
