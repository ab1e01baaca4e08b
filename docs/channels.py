"""Response and resolution of one recoil in three channels: docs/channels.png and its numbers, from the sample."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ptmiss import plots, sample, table
from ptmiss.recoil import recoil

LEAST = 10  # effective events in a bin
TINY = np.finfo(float).tiny
EDGES = np.array([25, 30, 40, 50, 60, 80, 100, 140, 200, 300])
CHANNELS = {"zmumu": "Z → μμ", "zee": "Z → ee", "gammajet": "γ + jets"}  # noqa: RUF001
ESTIMATORS = ("pf", "puppi", "deepmet")
QUANTITIES = {"response": "Response", "par": r"$\sigma(u_\parallel)$ (GeV)", "perp": r"$\sigma(u_\perp)$ (GeV)"}


def channel(name: str) -> table.RecoilTable:
    """The events of an embedded table; lepton pairs with the mass of a Z."""
    found = table.read(sample.recoil(name))
    return found.select((found["boson_mass"] > 80) & (found["boson_mass"] < 100)) if name.startswith("z") else found


def measure(name: str, found: table.RecoilTable, estimator: str) -> pd.DataFrame:
    """Response, and resolutions corrected for it bin by bin (GeV), with errors, in bins of qT."""
    u, weight, out = recoil(found.vector("boson"), found.met(estimator)), found["weight"], []
    for low, high in pairwise(EDGES):
        inside = (u.qt > low) & (u.qt < high)
        own, qt, par, perp = weight[inside], u.qt[inside], u.u_par[inside], u.u_perp[inside]
        n = own.sum() ** 2 / max((own**2).sum(), TINY)
        if n <= LEAST:
            continue
        response = np.average(par, weights=own) / np.average(qt, weights=own)
        error = np.sqrt(np.sum((own * (par - response * qt)) ** 2)) / np.sum(own * qt)
        row = {"channel": name, "estimator": estimator, "low": low, "high": high, "n_eff": n}
        row |= {"response": response, "response_error": error}
        for axis, residual in (("par", par / response - qt), ("perp", perp / response)):
            width = np.sqrt(np.average((residual - np.average(residual, weights=own)) ** 2, weights=own))
            row |= {axis: width, f"{axis}_error": width / np.sqrt(2 * n)}
        out.append(row)
    return pd.DataFrame(out)


def chi2(rows: pd.DataFrame, other: str, estimator: str, quantity: str) -> tuple[float, int]:
    """Sum of squared pulls of a channel against Z → μμ, over the bins that both have, and their number."""
    own = rows[rows.estimator == estimator]
    one, two = (own[own.channel == name].set_index("low") for name in ("zmumu", other))
    error = np.hypot(one[f"{quantity}_error"], two[f"{quantity}_error"])
    pulls = ((one[quantity] - two[quantity]) / error).dropna()
    return float((pulls**2).sum()), len(pulls)


def draw(rows: pd.DataFrame) -> Figure:
    """A row of panels for each quantity, a column for each estimator."""
    with mpl.rc_context({**plots.STYLE, "font.size": 17}):
        figure = Figure(figsize=(21, 18), layout="constrained")
        grid = figure.subplots(len(QUANTITIES), len(ESTIMATORS), sharex=True, sharey="row")
        for line, (quantity, title) in zip(grid, QUANTITIES.items(), strict=True):
            for axes, estimator in zip(line, ESTIMATORS, strict=True):
                for shift, (name, label) in enumerate(CHANNELS.items()):
                    own = rows[(rows.channel == name) & (rows.estimator == estimator)]
                    centre = np.sqrt(own.low * own.high) * (1 + 0.02 * (shift - 1))
                    axes.errorbar(centre, own[quantity], own[f"{quantity}_error"], fmt="os^"[shift], label=label)
                axes.set(xscale="log", title=plots.label_of(estimator) if quantity == "response" else "")
            line[0].set_ylabel(title)
        for axes in grid[-1]:
            axes.set_xlabel(r"$q_\mathrm{T}$ (GeV)")
            axes.set_xticks([30, 50, 100, 200], ["30", "50", "100", "200"], minor=False)
            axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        grid[0][0].legend()
        plots.mark(grid[0][0], "CMS-like simulation (13 TeV)")
    return figure


def of_all(tables: dict[str, table.RecoilTable]) -> pd.DataFrame:
    """The measurements of several tables, by every estimator."""
    return pd.concat([measure(name, tables[name], each) for name in tables for each in ESTIMATORS], ignore_index=True)


def tell(rows: pd.DataFrame, others: list[str]) -> None:
    """Print χ² of the others against zmumu, and all rows."""
    for estimator in ESTIMATORS:
        for other in others:
            found = {quantity: chi2(rows, other, estimator, quantity) for quantity in QUANTITIES}
            print(estimator, other, *(f"{name} {value:.1f} of {bins}" for name, (value, bins) in found.items()))
    print(rows.round(3).to_string())


if __name__ == "__main__":
    tables = {name: channel(name) for name in CHANNELS}
    rows = of_all(tables)
    plots.save(draw(rows), Path(__file__).with_suffix(""), ["png"], dpi=45)
    tell(rows, ["zee", "gammajet"])
