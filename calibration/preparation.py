"""What comes before the fits: XY lines and the pile-up weights of simulation.

Residuals, moments and responses are taken after both, of tables and of runs alike. Tables are prepared here. A run
keeps no events, so it has to be prepared when it is filled: a first run gives lines and weights, a second one applies
them (``--corrections``) and says in its manifest which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ptmiss.corrections import AXES, SAMPLES
from ptmiss.errors import OptionError

from . import pileup as pileups
from . import xy
from .pileup import PileUp
from .sources import Sample
from .xy import Shift


@dataclass(frozen=True)
class Preparation:
    """XY lines by sample (``data``, ``mc``) and estimator; pileup: None where simulation is not weighted."""

    shifts: Mapping[str, Mapping[str, Shift]]
    pileup: PileUp | None

    @property
    def record(self) -> dict[str, Any]:
        """As JSON, for a correction file and for the manifest of a run that it is applied in."""
        lines = {
            sample: {estimator: {axis: _coefficients(shift, axis) for axis in AXES} for estimator, shift in by.items()}
            for sample, by in self.shifts.items()
        }
        weights = self.pileup and {"edges": self.pileup.edges.tolist(), "weights": self.pileup.weights.tolist()}
        return {"xy": lines, "pileup": weights}


def _coefficients(shift: Shift, axis: str) -> list[float]:
    line = getattr(shift, axis)
    return [line.intercept, line.slope]


def before_xy(samples: Sequence[Sample]) -> bool:
    """Whether these are runs without corrections: their recoil was taken before XY."""
    return all(sample.table is None and sample.corrections is None for sample in samples)


def derive(data: Sample, mc: Sample, estimators: Sequence[str], pileup: bool = True) -> Preparation:
    """From pTmiss and vertices as they come, of tables or of runs."""
    profiles = {"data": data.met_xy(estimators), "mc": mc.met_xy(estimators)}
    names = {"data": data.name, "mc": mc.name}
    shifts = {s: {name: xy.shift(profile, name, names[s]) for name in estimators} for s, profile in profiles.items()}
    return Preparation(shifts, pileups.match(profiles["mc"], profiles["data"]) if pileup else None)


def of(data: Sample, simulated: Sequence[Sample], estimators: Sequence[str], pileup: bool = True) -> Preparation:
    """What residuals of these samples are taken after; simulated: the signal, then backgrounds.

    Of tables it is derived. Of runs it is what they were filled with: OptionError unless that is the same in all.
    """
    samples = [data, *simulated]
    if len({sample.table is None for sample in samples}) > 1:
        raise OptionError(f"{', '.join(s.name for s in samples)}: expected recoil tables alone, or runs alone")
    if data.table is not None:
        return derive(data, simulated[0], estimators, pileup)
    _require_prepared(samples, pileup)
    applied, fitted = data.corrections or {}, derive(data, simulated[0], estimators, pileup=False).shifts
    shifts = {s: {name: _move(fitted[s][name], applied["xy"][s][name]) for name in estimators} for s in SAMPLES}
    weights = applied["pileup"]
    return Preparation(shifts, weights and PileUp(np.array(weights["edges"]), np.array(weights["weights"])))


def _move(shift: Shift, coefficients: Mapping[str, Sequence[float]]) -> Shift:
    """Lines that were applied, beside the points of this run."""
    lines = {axis: getattr(shift, axis) for axis in AXES}
    return Shift(
        **{a: replace(line, intercept=coefficients[a][0], slope=coefficients[a][1]) for a, line in lines.items()}
    )


def _require_prepared(samples: Sequence[Sample], pileup: bool) -> None:
    for sample in samples:
        if sample.corrections is None:
            raise OptionError(f"{sample.name} was run without --corrections: its recoil is before XY")
        if sample.corrections["sha256"] != (samples[0].corrections or {})["sha256"]:
            raise OptionError(f"{samples[0].name} and {sample.name} were run with other --corrections")
        if sample.corrections["maps"]:
            raise OptionError(
                f"the recoil of {sample.name} was mapped: expected runs with --corrections of XY lines and pile-up "
                "alone, as calibrate derives them from runs without"
            )
        if sample.corrections["pileup"] and not pileup:
            raise OptionError(f"{sample.name} was weighted for pile-up when it was run: --no-pileup comes too late")
