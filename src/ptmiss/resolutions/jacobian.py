"""The Jacobian peak of mT in W decays: how sharp an estimator leaves it, with paired bootstrap errors.

Three measures: the RMS of mT minus the generated mT; the width of the falling edge above the peak, the sigma of a
step ``erfc((mT - m0) / √2 sigma)`` fitted to the spectrum; and the distance from the peak to half its height on its
right, in bins of 2 GeV. The last two need no truth, and know the natural width too. CMS-JME-24-001 has half widths of
26 GeV for PF, 18 GeV for PUPPI and 16 GeV for DeepMET.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import erfc

from ptmiss import bootstrap, tables
from ptmiss.bootstrap import REPLICAS
from ptmiss.columns import Table
from ptmiss.errors import OptionError, UnknownName
from ptmiss.recoil import transverse_mass
from ptmiss.table import RecoilTable
from ptmiss.typing import Array

from .comparison import MIN_EVENTS, gain
from .replicas import add_powers, add_weights, divide, drawn_weights

BINS = np.arange(30.0, 151.0, 3.0)  # GeV
CENTRES = (BINS[1:] + BINS[:-1]) / 2
FINE_BINS = np.arange(0.0, 161.0, 2.0)  # GeV, of the half width
PEAK, END = 50.0, 130.0  # GeV: the peak is sought above, the edge is fitted from the peak to the end
MIN_BINS = 4  # of an edge: more than a step has parameters
GENERATED = "generated"


class Spectra(NamedTuple):
    """What is summed over the events of one estimator in every replica; (…, 1 + replicas) each.

    residual: sums of w, w x and w x² of mT minus the generated one, GeV. mass, variance: weights in BINS, and the
    squares of them; fine: weights in FINE_BINS.
    """

    residual: Array
    mass: Array
    variance: Array
    fine: Array

    @classmethod
    def empty(cls, replicas: int) -> Spectra:
        """Of no event."""
        lengths = (3, len(BINS) - 1, len(BINS) - 1, len(FINE_BINS) - 1)
        return cls(*(np.zeros((length, 1 + replicas)) for length in lengths))

    def fill(self, mass: Array, generated: Array, weight: Array, drawn: NDArray[np.uint8]) -> None:
        """Add events, (events,) each, GeV; drawn: (events, 1 + replicas)."""
        x = mass - generated
        add_powers(self.residual, x, weight, drawn)
        add_weights(self.mass, self.variance, np.searchsorted(BINS, mass, "right") - 1, weight, drawn)
        nowhere = np.zeros((0, self.fine.shape[1]))
        add_weights(self.fine, nowhere, np.searchsorted(FINE_BINS, mass, "right") - 1, weight, drawn)

    def numbers(self) -> dict[str, Array]:
        """(1 + replicas,) RMS, width and position of the edge, and half width, GeV."""
        total, first, second = self.residual
        mean, square = divide(first, total), divide(second, total)
        edges = np.array([falling_edge(*of_one) for of_one in zip(self.mass.T, self.variance.T, strict=True)])
        half_width = np.array([right_half_width(counts) for counts in self.fine.T])
        rms = np.sqrt(np.maximum(square - mean**2, 0))  # NaN for weights of sum 0 or less
        return {"rms": rms, "edge": edges[:, 0], "edge_at": edges[:, 1], "half_width": half_width}


def of_table(
    table: Table, references: Sequence[str] = (), *, weighted: bool = True, replicas: int = REPLICAS
) -> pd.DataFrame:
    """One row an estimator, the generated mT last, of the events of a table with a selected and a generated lepton.

    Columns ``rms`` (GeV, about the mean), ``edge`` (sigma, GeV), ``edge_at`` (m0, GeV), ``half_width`` (GeV), and
    ``rms_vs_<reference>`` and so on of all but ``edge_at``, how much smaller as a fraction; each with ``…_error``.
    ``left_out`` are events with both leptons in which an estimator's pTmiss is not finite: they count for none.
    """
    for name in references:
        if name not in table.estimators:
            raise UnknownName("estimator in the table", name, table.estimators)
    table = table.of()
    table.require("lepton_pt", "genmet_pt", "genboson_pt")
    spectra = {name: Spectra.empty(replicas) for name in (*table.estimators, GENERATED)}
    n = with_leptons = 0
    for batch in table.batches(c for c in table.columns if c.startswith(("lepton_", "met_", "gen", "weight"))):
        masses = transverse_masses(batch)
        with_leptons += int(np.count_nonzero(np.isfinite(masses[GENERATED]) & np.isfinite(batch["lepton_pt"])))
        keep = np.all([np.isfinite(mass) for mass in masses.values()], axis=0)
        masses, row = {name: mass[keep] for name, mass in masses.items()}, batch.row[keep]
        weight = batch.weight()[keep] if weighted else np.ones(len(row))
        n += len(row)
        for some, drawn in drawn_weights(row, 1 + replicas):
            for name, mass in masses.items():
                spectra[name].fill(mass[some], masses[GENERATED][some], weight[some], drawn)
    if n < MIN_EVENTS:
        raise OptionError(f"{n} events with a selected and a generated lepton, at least {MIN_EVENTS} are needed for mT")
    found = {name: one.numbers() for name, one in spectra.items()}
    return pd.DataFrame([row_of(name, n, found, references) for name in found]).assign(left_out=with_leptons - n)


def transverse_masses(table: RecoilTable) -> dict[str, Array]:
    """(events,) mT of every estimator with the selected lepton, GeV, and the generated one."""
    lepton, neutrino = table.vector("lepton"), table.vector("genmet")
    generated = transverse_mass(table.vector("genboson") - neutrino, neutrino)
    return {name: transverse_mass(lepton, table.met(name)) for name in table.estimators} | {GENERATED: generated}


def falling_edge(counts: Array, variance: Array) -> tuple[float, float]:
    """Width sigma and position m0 of the edge, GeV; NaN without a peak, and where a fit fails.

    counts, variance: sums of weights and of their squares in BINS. A bin without events has the error of one event of
    mean weight, so that a factor on all weights changes nothing.
    """
    smooth = np.where(CENTRES > PEAK, np.convolve(counts, np.ones(3) / 3, "same"), 0)
    top = int(np.argmax(smooth))
    fitted = (np.arange(len(counts)) >= top) & (CENTRES < END)
    if not smooth[top] > 0 or not counts.sum() > 0 or np.count_nonzero(fitted) < MIN_BINS:
        return np.nan, np.nan
    error = np.sqrt(np.where(variance > 0, variance, (variance.sum() / counts.sum()) ** 2)) / smooth[top]
    shape = counts[fitted] / smooth[top]
    pull = lambda p: (step(CENTRES[fitted], *p) - shape) / error[fitted]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # a step of no width, which is not the best
        found = least_squares(pull, (1.0, 85.0, 10.0), method="lm")
    return (abs(found.x[2]), found.x[1]) if found.success else (np.nan, np.nan)


def right_half_width(counts: Array) -> float:
    """From the peak of weights in FINE_BINS to half its height on the right, GeV; NaN without."""
    smooth = np.convolve(counts, np.ones(3) / 3, "same")
    top = int(np.argmax(smooth))
    below = np.flatnonzero(smooth[top:] <= smooth[top] / 2)
    if not smooth[top] > 0 or not len(below):
        return np.nan
    low, high = smooth[top + below[0]], smooth[top + below[0] - 1]
    return float((FINE_BINS[1] - FINE_BINS[0]) * (below[0] - (smooth[top] / 2 - low) / (high - low)))


def step(mass: Array, height: float, position: float, width: float) -> Array:
    """A step down at a position, blurred by a Gaussian width: events at each mass (GeV), in the shape of mass."""
    return height / 2 * erfc((mass - position) / (np.sqrt(2) * width))


def row_of(
    name: str, n: int, found: dict[str, dict[str, Array]], references: Sequence[str]
) -> dict[str, str | int | float]:
    """One estimator's numbers (GeV), with the standard deviation of the replicas (1 + draws,) as their error."""
    values = dict(found[name])
    widths = ("rms", "edge", "half_width")
    values |= {f"{k}_vs_{r}": gain(found[name][k], found[r][k]) for r in references for k in widths}
    row: dict[str, str | int | float] = {"estimator": name, "events": n}
    for key, replicas in values.items():
        row |= bootstrap.with_error(key, replicas)
    return row


def show(found: pd.DataFrame, references: Sequence[str]) -> None:
    """Print mT's RMS, edge and half width in GeV, and how much smaller than the references' they are."""
    head = [
        "mT",
        "RMS, GeV",
        "edge, GeV",
        "edge at, GeV",
        "half width, GeV",
        *(f"RMS, edge vs {r}, %" for r in references),
    ]
    lines = []
    for row in found.to_dict("records"):
        values = [tables.with_error(row, name, 2) for name in ("rms", "edge", "edge_at", "half_width")]
        gains = [" ".join(tables.percent(row, f"{name}_vs_{r}") for name in ("rms", "edge")) for r in references]
        lines.append([row["estimator"], *values, *gains])
    tables.show(head, lines)
