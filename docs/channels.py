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

EDGES = np.array([25, 30, 40, 50, 60, 80, 100, 140, 200, 300])
CHANNELS = {"zmumu": "Z → μμ", "zee": "Z → ee", "gammajet": "γ + jets"}  # noqa: RUF001
ESTIMATORS = ("pf", "puppi", "deepmet")
QUANTITIES = {"response": "Response", "par": r"$\sigma(u_\parallel)$ (GeV)", "perp": r"$\sigma(u_\perp)$ (GeV)"}


def measure(name: str, estimator: str) -> pd.DataFrame:
    """Response, and resolutions corrected for it bin by bin (GeV), with errors, in bins of qT of an embedded table."""
    found = table.read(sample.recoil(name))
    if name.startswith("z"):
        found = found.select((found["boson_mass"] > 80) & (found["boson_mass"] < 100))
    u, weight, out = recoil(found.vector("boson"), found.met(estimator)), found["weight"], []
    for low, high in pairwise(EDGES):
        inside = (u.qt > low) & (u.qt < high)
        own, qt, par, perp = weight[inside], u.qt[inside], u.u_par[inside], u.u_perp[inside]
        n = own.sum() ** 2 / (own**2).sum()
        response = np.average(par, weights=own) / np.average(qt, weights=own)
        error = np.sqrt(np.sum((own * (par - response * qt)) ** 2)) / np.sum(own * qt)
        row = {"channel": name, "estimator": estimator, "low": low, "high": high, "n_eff": n}
        row |= {"response": response, "response_error": error}
        for axis, residual in (("par", par / response - qt), ("perp", perp / response)):
            width = np.sqrt(np.average((residual - np.average(residual, weights=own)) ** 2, weights=own))
            row |= {axis: width, f"{axis}_error": width / np.sqrt(2 * n)}
        out.append(row)
    return pd.DataFrame(out)


def chi2(rows: pd.DataFrame, other: str, estimator: str, quantity: str) -> float:
    """Sum of squared pulls of a channel against Z → μμ, over the bins."""
    own = rows[rows.estimator == estimator]
    one, two = (own[own.channel == name].reset_index() for name in ("zmumu", other))
    error = np.hypot(one[f"{quantity}_error"], two[f"{quantity}_error"])
    return float((((one[quantity] - two[quantity]) / error) ** 2).sum())


def draw(rows: pd.DataFrame) -> Figure:
    """A row of panels for each quantity, a column for each estimator."""
    with mpl.rc_context({**plots.STYLE, "font.size": 17}):
        figure = Figure(figsize=(21, 18), layout="constrained")
        grid = figure.subplots(len(QUANTITIES), len(ESTIMATORS), sharex=True, sharey="row")
        for line, (quantity, title) in zip(grid, QUANTITIES.items(), strict=True):
            for axes, estimator in zip(line, ESTIMATORS, strict=True):
                for shift, (name, label) in enumerate(CHANNELS.items()):
                    own = rows[(rows.channel == name) & (rows.estimator == estimator) & (rows.n_eff > 10)]
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


if __name__ == "__main__":
    found = pd.concat([measure(name, estimator) for name in CHANNELS for estimator in ESTIMATORS], ignore_index=True)
    plots.save(draw(found), Path(__file__).with_suffix(""), ["png"], dpi=45)
    for estimator in ESTIMATORS:
        for other in ("zee", "gammajet"):
            print(estimator, other, *(f"{q} {chi2(found, other, estimator, q):.1f}" for q in QUANTITIES))
    print(found.round(3).to_string())
