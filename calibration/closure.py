"""Closure: data over simulation before and after the correction, in regions of (qT, nJets)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise, product
from typing import Any

import hist
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from ptmiss.binning import DEFAULT
from ptmiss.corrections import RAPIDITY, Corrections
from ptmiss.histograms import book_met, book_recoil, fill_met, fill_recoil
from ptmiss.recoil import recoil
from ptmiss.resolutions import moments
from ptmiss.resolutions.moments import Sums
from ptmiss.systematics import NOMINAL, shares, total

from .sources import Background, Histograms, Sample, add, less, needed

QT_EDGES = (0, 5, 10, 20, 40, np.inf)
JETS = {"0 jets": 0, "1 jet": 1, "≥ 2 jets": 2}
MIN_REGION_EVENTS = 40.0  # effective events of a region that is compared
RATIO_MINIMUM = 5.0  # GeV: below it a ratio of means says nothing
QUANTITIES = {
    "response": moments.response,
    "rms_par": lambda sums: moments.rms(sums, "par"),
    "rms_perp": lambda sums: moments.rms(sums, "perp"),
}
SHIFT = "shift_"
SPECTRA = ("u_par", "u_perp", "met", "met_phi")


@dataclass(frozen=True)
class Comparison:
    """Histograms of background-subtracted data and of simulation, as ``book_recoil`` and ``book_met`` have them.

    data, mc: before; matched: simulation weighted for pile-up alone; corrected_data, corrected_mc: after all of it,
    simulation with every systematic.
    """

    data: Histograms
    mc: Histograms
    matched: Histograms
    corrected_data: Histograms
    corrected_mc: Histograms

    @property
    def estimators(self) -> list[str]:
        """Estimators that are compared."""
        return list(self.data["moments"].axes["estimator"])

    def only(self, histogram: str) -> Comparison:
        """One kind of histogram alone."""
        return Comparison(*({histogram: getattr(self, each.name)[histogram]} for each in fields(self)))

    @property
    def systematics(self) -> list[str]:
        """Variations of the corrected simulation, without the nominal one."""
        return [name for name in self.corrected_mc["moments"].axes["systematic"] if name != NOMINAL]


def compare(data: Sample, mc: Sample, backgrounds: Sequence[Background], corrections: Corrections) -> Comparison:
    """Apply a correction to tables of events; the background has the same pile-up weights before and after."""
    before, after = (
        less(fill(data, corrections, "data", apply), _sum(backgrounds, corrections, apply)) for apply in (False, True)
    )
    raw, matched = (fill(mc, corrections, "mc", False, weigh) for weigh in (False, True))
    return Comparison(before, raw, matched, after, fill(mc, corrections, "mc", True))


def fill(
    source: Sample, corrections: Corrections, sample: str, apply: bool, weigh: bool = True
) -> dict[str, hist.Hist]:
    """Histograms of a table's recoil and pTmiss, corrected or not, as a processor fills them.

    weigh: simulation for pile-up.
    """
    out = book_recoil(corrections.estimators) | book_met(corrections.estimators)
    rapidity = [RAPIDITY] if RAPIDITY in corrections.context else []
    for events in source.batches([*needed(corrections.estimators), *rapidity]):
        boson, npv, njets = events.vector("boson"), events["npv"], events["njets"]
        weight = events["weight"] * (corrections.weight(npv) if weigh and sample != "data" else 1.0)
        mets = {name: events.met(name) for name in corrections.estimators}
        of_boson = events[RAPIDITY] if rapidity else None
        for estimator in corrections.estimators:
            for systematic in corrections.systematics(estimator) if apply and sample == "mc" else [NOMINAL]:
                met = mets[estimator]
                if apply:
                    where = boson, npv, njets, sample, systematic, None, mets, of_boson
                    met = corrections.met(estimator, met, *where)
                fill_recoil(out, estimator, recoil(boson, met), npv, njets, weight, systematic)
                fill_met(out, estimator, met, weight, systematic)
    return out


def _sum(backgrounds: Sequence[Background], corrections: Corrections, apply: bool) -> dict[str, hist.Hist]:
    filled = (fill(background.source, corrections, "background", apply) for background in backgrounds)
    return add(filled, [background.factor for background in backgrounds])


def tabulate(comparison: Comparison) -> pd.DataFrame:
    """Data over simulation of response and resolutions in each region: before, with pile-up matched alone, and after.

    Errors are statistical, of the events compared; ``systematic`` is the quadratic sum of the correction's variations,
    ``derivation`` what the statistical error of its fits has in it, and SHIFT with a variation's name what that one
    moves. Regions with fewer than MIN_REGION_EVENTS effective events are left out.
    """
    rows = [row for estimator in comparison.estimators for row in _rows(comparison, estimator)]
    return pd.DataFrame(rows)


def _rows(comparison: Comparison, estimator: str) -> Iterator[dict[str, Any]]:
    before = [moments.sums(h["moments"], estimator) for h in (comparison.data, comparison.mc, comparison.matched)]
    after = moments.sums(comparison.corrected_data["moments"], estimator)
    varied = {
        name: moments.sums(comparison.corrected_mc["moments"], estimator, name)
        for name in (NOMINAL, *comparison.systematics)
    }
    for (jets, number), (low, high) in product(JETS.items(), pairwise(QT_EDGES)):
        where = (DEFAULT.qt_range(low, high)[0], slice(None), number)
        here = [sums.part(where) for sums in before]
        events = min(float(np.nan_to_num(moments.n_effective(sums))) for sums in here)
        if events >= MIN_REGION_EVENTS:
            parts = {name: sums.part(where) for name, sums in varied.items()}
            region = {"estimator": estimator, "njets": jets, "qt_low": low, "qt_high": high, "events": round(events)}
            yield from _quantities(region, here, after.part(where), parts)


def _quantities(
    region: Mapping[str, Any], before: Sequence[Sums], data: Sums, mc: Mapping[str, Sums]
) -> Iterator[dict[str, Any]]:
    for quantity in QUANTITIES:
        if quantity == "response" and region["qt_low"] < RATIO_MINIMUM:
            continue
        recorded, simulated, weighted = before
        found = {"before": _ratio(quantity, recorded, simulated), "matched": _ratio(quantity, recorded, weighted)}
        found["after"] = _ratio(quantity, data, mc[NOMINAL])
        value = found["after"][0]
        shifts = {name: _ratio(quantity, data, sums)[0] - value for name, sums in mc.items() if name != NOMINAL}
        numbers = {
            f"{when}{part}": v for when, pair in found.items() for part, v in zip(("", "_error"), pair, strict=True)
        }
        parts = {"systematic": quadratic(shifts), "derivation": by_source(shifts).get("statistical", 0.0)}
        moved = {SHIFT + name: shift for name, shift in shifts.items()}
        yield {**region, "quantity": quantity, **numbers, **parts, **moved}


def _ratio(quantity: str, data: Sums, mc: Sums) -> tuple[float, float]:
    (above, above_error), (below, below_error) = QUANTITIES[quantity](data), QUANTITIES[quantity](mc)
    value = above / below
    return float(value), float(np.abs(value) * np.hypot(above_error / above, below_error / below))


SOURCES = {
    "statistical": "stat_",
    "smoothing": "smoothing",
    "Gaussians": "gaussians",
    "nJets": "njets_inclusive",
    "context": "context",
    "method": "method",
    "background": "background_",
}
"""Systematics that make one source of uncertainty, by the beginning of their names."""


def by_source(shifts: Mapping[str, Any]) -> dict[str, Any]:
    """Size of each source of uncertainty, that of all its systematics."""
    groups = {
        source: {name: shift for name, shift in shifts.items() if name.startswith(start)}
        for source, start in SOURCES.items()
    }
    return {source: total(group) for source, group in groups.items() if group}


def quadratic(shifts: Mapping[str, Any]) -> Any:
    """The quadratic sum of all sources of uncertainty."""
    return np.sqrt(sum(np.square(size) for size in by_source(shifts).values()))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Chi2 of all regions against 1 for each estimator and quantity: before, with pile-up matched, and after.

    ``before`` and ``matched`` have the errors of the events alone. ``after`` has the statistical error of the
    derivation as well, and ``total`` all variations; both with the covariance between regions, since a variation moves
    them all at once. ``total`` has no probability: variations that are no draws make it too large.
    """
    rows = []
    for (estimator, quantity), part in table.groupby(["estimator", "quantity"], sort=False):
        chi2s = {when: _chi2(part[when], np.diag(part[f"{when}_error"] ** 2)) for when in ("before", "matched")}
        events = np.diag(part["after_error"] ** 2)
        statistical = events + covariance(part, lambda name: name.startswith(SOURCES["statistical"]))
        chi2s |= {"after": _chi2(part["after"], statistical)}
        row = {"estimator": estimator, "quantity": quantity, "regions": len(part)}
        for name, value in chi2s.items():
            row |= {f"chi2_{name}": value, f"p_{name}": float(chi2.sf(value, len(part)))}
        row["chi2_total"] = _chi2(part["after"], events + covariance(part, lambda _: True))
        rows.append(row | {f"mean_{when}": _weigh(part, when) for when in ("before", "after")})
    return pd.DataFrame(rows)


def covariance(part: pd.DataFrame, which: Callable[[str], bool]) -> NDArray[np.float64]:
    """(regions, regions) what some variations of the correction share; up and down are one systematic."""
    columns = [str(column) for column in part if str(column).startswith(SHIFT)]
    names = [column for column in columns if which(column.removeprefix(SHIFT))]
    shifts = part[names].to_numpy()
    return np.asarray((shifts * list(shares(names).values())) @ shifts.T)


def _chi2(ratios: pd.Series, covariance: NDArray[np.float64]) -> float:
    away = ratios.to_numpy() - 1
    return float(away @ np.linalg.solve(covariance, away))


def _weigh(part: pd.DataFrame, when: str) -> float:
    return float(np.average(part[when], weights=part[f"{when}_error"] ** -2))
