"""A whole calibration: pile-up weights, XY lines, responses and quantile corrections of every estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ptmiss.calibration import quantile_corrections, response, xy
from ptmiss.calibration.binning import MIN_CELL_EVENTS
from ptmiss.calibration.pileup import PileUp, matched
from ptmiss.calibration.quantile_corrections import QuantileCorrection, Residuals
from ptmiss.calibration.response import Response
from ptmiss.calibration.sources import Background, Sample, check, less, summed
from ptmiss.calibration.xy import Shift
from ptmiss.errors import OptionError

SAMPLES = ("data", "mc")


@dataclass(frozen=True)
class Calibration:
    """What was derived.

    shifts, responses: by sample (``data``, ``mc``) and estimator; derivations: by name, ``puppi_u_par`` for one;
    pileup: None where simulation was not weighted; xy_first: whether the recoil was taken after the XY correction (of
    tables) or before it (of runs); made: what it was derived from, for JSON; residuals: the histograms behind the fits.
    """

    shifts: Mapping[str, Mapping[str, Shift]]
    responses: Mapping[str, Mapping[str, Response]]
    derivations: Mapping[str, QuantileCorrection]
    pileup: PileUp | None
    xy_first: bool
    made: Mapping[str, Any]
    residuals: Residuals

    @property
    def estimators(self) -> list[str]:
        """Estimators that are calibrated."""
        return list(self.shifts["mc"])


def derive(
    data: Sample,
    mc: Sample,
    backgrounds: Sequence[Background],
    estimators: Sequence[str],
    *,
    minimum: float = MIN_CELL_EVENTS,
    pileup: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Calibration:
    """Derive the calibration of these estimators; minimum: effective events of each cell."""
    check(data, mc, estimators)
    simulated = [mc, *(b.source for b in backgrounds)]
    for source in (data, *simulated):
        if (source.table is None) != (data.table is None):
            raise OptionError(f"{data.name} and {source.name}: expected recoil tables alone, or runs alone")
    tables = data.table is not None
    raw = {"data": data.histograms(estimators), "mc": mc.histograms(estimators)}
    weigh = matched(raw["mc"]["met_xy"], raw["data"]["met_xy"]) if pileup and tables else None
    shifts = {s: {e: xy.shift(raw[s]["met_xy"], e) for e in estimators} for s in SAMPLES}
    after = data.histograms(estimators, shifts["data"])
    prepared = [source.histograms(estimators, shifts["mc"], weigh) for source in simulated]
    background = summed(prepared[1:], [b.factor for b in backgrounds])
    residuals = Residuals(after["residuals"], prepared[0]["residuals"], background.get("residuals"))
    subtracted = less(after, background)
    responses = {
        s: {e: response.measure(h["moments"], e) for e in estimators}
        for s, h in (("data", subtracted), ("mc", prepared[0]))
    }
    enough(residuals, estimators, minimum, {"mc": mc.name, "data": data.name})
    derivations: dict[str, QuantileCorrection] = {}
    for estimator in estimators:
        for derivation in quantile_corrections.derive(residuals, estimator, minimum):
            derivations[derivation.name] = derivation
            progress(derivation.name)
    made = {
        "data": data.record,
        "mc": mc.record,
        "backgrounds": [{**b.source.record, "factor": b.factor} for b in backgrounds],
        "minimum": minimum,
        "pileup": weigh is not None,
    }
    return Calibration(shifts, responses, derivations, weigh, tables, made, residuals)


def enough(residuals: Residuals, estimators: Sequence[str], minimum: float, names: Mapping[str, str]) -> None:
    """Raise OptionError unless each sample has enough effective events for one cell."""
    for estimator in estimators:
        for sample, yields in zip(("mc", "data"), residuals.yields(estimator), strict=True):
            total = yields.weights.sum()
            effective = total**2 / yields.squares.sum() if total > 0 else 0.0
            if effective < minimum:
                raise OptionError(
                    f"{names[sample]}: {effective:.0f} effective events with a finite {estimator} recoil, "
                    f"a calibration needs {minimum:g} (--minimum)"
                )
