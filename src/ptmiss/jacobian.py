"""The Jacobian peak of mT in W decays: how sharp an estimator leaves it, with paired bootstrap errors.

Two measures: the RMS of mT minus the generated mT, and the width of the falling edge above the peak, the sigma of a step
``erfc((mT - m0) / √2 sigma)`` fitted to the spectrum. The edge needs no truth, and knows the natural width too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import rich
import rich.table
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import erfc

from ptmiss.comparison import MIN_EVENTS, REPLICAS
from ptmiss.errors import OptionError, UnknownName
from ptmiss.recoil import transverse_mass
from ptmiss.table import RecoilTable

BINS = np.arange(30.0, 151.0, 3.0)  # GeV
CENTRES = (BINS[1:] + BINS[:-1]) / 2
PEAK, END = 50.0, 130.0  # GeV: the peak is sought above, the edge is fitted from the peak to the end
GENERATED = "generated"

Array = NDArray[np.float64]


def of_table(
    table: RecoilTable, references: Sequence[str] = (), *, weighted: bool = True, replicas: int = REPLICAS
) -> pd.DataFrame:
    """One row an estimator, the generated mT last, of the events of a table with a selected and a generated lepton.

    Columns ``rms`` (GeV, about the mean), ``edge`` (sigma, GeV), ``edge_at`` (m0, GeV), and ``rms_vs_<reference>``
    ``edge_vs_<reference>``, how much smaller as a fraction; each with ``…_error``.
    """
    for name in references:
        if name not in table.estimators:
            raise UnknownName("estimator in the table", name, table.estimators)
    lepton, neutrino = table.vector("lepton"), table.vector("genmet")
    generated = transverse_mass(table.vector("genboson") - neutrino, neutrino)
    masses = {name: transverse_mass(lepton, table.met(name)) for name in table.estimators} | {GENERATED: generated}
    keep = np.all([np.isfinite(mass) for mass in masses.values()], axis=0)
    n = int(np.count_nonzero(keep))
    if n < MIN_EVENTS:
        raise OptionError(f"{n} events with a selected and a generated lepton, at least {MIN_EVENTS} are needed for mT")
    draws = np.random.default_rng(0).poisson(1, (replicas + 1, n)).astype(np.float64)
    draws[0] = 1
    draws *= table["weight"][keep] if weighted else 1
    found = {name: measured(mass[keep], generated[keep], draws) for name, mass in masses.items()}
    return pd.DataFrame([row(name, n, found, references) for name in found])


def measured(mass: Array, generated: Array, draws: Array) -> dict[str, Array]:
    """RMS, width and position of the edge, GeV, in each draw."""
    residual = mass - generated
    mean, square = (draws @ power / draws.sum(axis=1) for power in (residual, residual**2))
    edges = np.array([falling_edge(mass, weight) for weight in draws])
    return {"rms": np.sqrt(np.maximum(square - mean**2, 0)), "edge": edges[:, 0], "edge_at": edges[:, 1]}


def falling_edge(mass: Array, weight: Array) -> tuple[float, float]:
    """Width sigma and position m0 of the edge, GeV; NaN where a fit fails."""
    counts = np.histogram(mass, BINS, weights=weight)[0]
    variance = np.histogram(mass, BINS, weights=weight**2)[0]
    smooth = np.where(CENTRES > PEAK, np.convolve(counts, np.ones(3) / 3, "same"), 0)
    top = int(np.argmax(smooth))
    fitted = (np.arange(len(counts)) >= top) & (CENTRES < END)
    error = np.sqrt(np.where(variance > 0, variance, variance.max() / counts.max()))
    pull = lambda p: (step(CENTRES[fitted], *p) - counts[fitted]) / error[fitted]
    found = least_squares(pull, (smooth[top], 85.0, 10.0), method="lm")
    return (abs(found.x[2]), found.x[1]) if found.success else (np.nan, np.nan)


def step(mass: Array, height: float, position: float, width: float) -> Array:
    """A step down, blurred."""
    return height / 2 * erfc((mass - position) / (np.sqrt(2) * width))


def row(
    name: str, n: int, found: dict[str, dict[str, Array]], references: Sequence[str]
) -> dict[str, str | int | float]:
    """One estimator's numbers, with the standard deviation of the draws as their error."""
    values = dict(found[name])
    values |= {f"{k}_vs_{r}": 1 - found[name][k] / found[r][k] for r in references for k in ("rms", "edge")}
    numbers = {key: float(value[0]) for key, value in values.items()}
    errors = {f"{key}_error": float(np.nanstd(value[1:])) for key, value in values.items()}
    return {"estimator": name, "events": n, **numbers, **errors}


def show(found: pd.DataFrame, references: Sequence[str]) -> None:
    """Print mT's RMS and edge in GeV, and how much smaller than the references' they are."""
    grid = rich.table.Table(box=None, pad_edge=False)
    heads = ["mT", "RMS, GeV", "edge, GeV", "edge at, GeV"]
    for i, head in enumerate([*heads, *(f"RMS, edge vs {reference}, %" for reference in references)]):
        grid.add_column(head, justify="right" if i else "left")
    for one in found.to_dict("records"):
        values = [f"{one[key]:.2f}±{one[f'{key}_error']:.2f}" for key in ("rms", "edge", "edge_at")]
        gains = [
            " ".join(
                f"{100 * one[key]:+.0f}±{100 * one[f'{key}_error']:.0f}" for key in (f"rms_vs_{r}", f"edge_vs_{r}")
            )
            for r in references
        ]
        grid.add_row(one["estimator"], *values, *gains)
    rich.print(grid)
