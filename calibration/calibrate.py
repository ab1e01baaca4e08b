"""A whole calibration: pile-up weights, XY lines, responses and quantile corrections of every estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ptmiss import processes
from ptmiss.calibration import preparation, quantile_corrections, response
from ptmiss.calibration.binning import MIN_CELL_EVENTS
from ptmiss.calibration.preparation import Preparation
from ptmiss.calibration.quantile_corrections import QuantileCorrection
from ptmiss.calibration.residuals import Residuals
from ptmiss.calibration.response import Response
from ptmiss.calibration.sources import Background, Sample, add, check, check_binning, less
from ptmiss.errors import OptionError
from ptmiss.histograms import COMPONENTS
from ptmiss.progress import Callback, log


@dataclass(frozen=True)
class Calibration:
    """What was derived.

    preparation: XY lines and pile-up weights; responses: by sample (``data``, ``mc``) and estimator; derivations: by
    name, ``puppi_u_par`` for one; made: what it was derived from, for JSON.
    """

    preparation: Preparation
    responses: Mapping[str, Mapping[str, Response]]
    derivations: Mapping[str, QuantileCorrection]
    made: Mapping[str, Any]

    @property
    def estimators(self) -> list[str]:
        """Estimators that are calibrated."""
        return list(self.preparation.shifts["mc"])


def derive(
    data: Sample,
    mc: Sample,
    backgrounds: Sequence[Background],
    estimators: Sequence[str],
    *,
    minimum: float = MIN_CELL_EVENTS,
    pileup: bool = True,
    workers: int = 1,
    progress: Callback = lambda *_: None,
) -> Calibration:
    """Derive the calibration of these estimators.

    minimum: effective events of each cell; workers: processes that fit, a component of an estimator each.

    All residuals, moments and responses are taken after XY and pile-up weights, of tables and of runs.
    """
    check(data, mc, estimators)
    check_binning([data, mc, *(b.source for b in backgrounds)])
    simulated = [mc, *(b.source for b in backgrounds)]
    first = preparation.of(data, simulated, estimators, pileup)
    after = data.histograms(estimators, first.shifts["data"])
    prepared = [source.histograms(estimators, first.shifts["mc"], first.pileup) for source in simulated]
    background = add(prepared[1:], [b.factor for b in backgrounds], ("residuals", "moments"))
    residuals = Residuals(after["residuals"], prepared[0]["residuals"], background.get("residuals"))
    subtracted = less(after, background)
    responses = {
        s: {e: response.measure(h["moments"], e) for e in estimators}
        for s, h in (("data", subtracted), ("mc", prepared[0]))
    }
    enough(residuals, estimators, minimum, {"mc": mc.name, "data": data.name})
    derivations: dict[str, QuantileCorrection] = {}
    wanted = [(residuals, name, component, minimum) for name in estimators for component in COMPONENTS]
    progress("fits", 0, len(wanted))
    for derivation in processes.each(fitted, wanted, workers):
        derivations[derivation.name] = derivation
        log.info("fits of %s are done", derivation.name)
        progress(f"fits: {derivation.name}", len(derivations), len(wanted))
    made = {
        "data": data.record,
        "mc": mc.record,
        "backgrounds": [{**b.source.record, "factor": b.factor} for b in backgrounds],
        "minimum": minimum,
        "pileup": first.pileup is not None,
    }
    return Calibration(first, responses, derivations, made)


def fitted(wanted: tuple[Residuals, str, str, float]) -> QuantileCorrection:
    """The correction of one component of one estimator, of what ``derive_component`` takes."""
    return quantile_corrections.derive_component(*wanted)


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
