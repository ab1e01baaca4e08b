"""What systematics make of response and resolution; ptmiss.systematics says how large each is.

Each variation is measured like the nominal sums, its response correction included. The half widths have none, for
spectra are kept of the nominal events alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import hist
import numpy as np

from ptmiss.histograms import COMPONENTS
from ptmiss.systematics import NOMINAL, total

from .moments import Sums, ratio, sums, variance
from .responses import correction


@dataclass(frozen=True)
class Systematics:
    """The sums of one estimator by variation, ``nominal`` among them, before and after the response correction."""

    raw: Mapping[str, Sums] = field(default_factory=dict)
    corrected: Mapping[str, Sums] = field(default_factory=dict)

    def row(self, where: tuple[slice, Any, Any]) -> dict[str, float]:
        """``<quantity>_systematic`` of response and RMS over part of the grid: an index over (qt, npv, njets)."""
        if not self.raw:
            return {}
        found = {name: values(raw.part(where), self.corrected[name].part(where)) for name, raw in self.raw.items()}
        return {f"{what}_systematic": size({name: v[what] for name, v in found.items()}) for what in found[NOMINAL]}


def systematics(moments: hist.Hist, estimator: str, kind: str) -> Systematics:
    """All variations of an estimator in the histogram, with their own response corrections; empty if it has none."""
    names = variations(moments, estimator)
    if not names:
        return Systematics()
    raw = {name: sums(moments, estimator, name).of_order(1) for name in (NOMINAL, *names)}
    every = {name: correction(sums(moments, estimator, name), kind).value for name in raw}
    return Systematics(raw, {name: raw[name].correct(r) for name, r in every.items()})


def variations(moments: hist.Hist, estimator: str) -> list[str]:
    """Names of an estimator's variations in the histogram; those that only others have are empty."""
    names = [name for name in moments.axes["systematic"] if name != NOMINAL]
    return [name for name in names if sums(moments, estimator, name)().any()]


def values(raw: Sums, corrected: Sums) -> dict[str, float]:
    """Response, and RMS in GeV, of sums over events."""
    found = {"response": float(ratio(raw(par=1), raw(qt=1)))}
    for component in COMPONENTS:
        square = float(variance(corrected, component)[1])
        found[f"rms_{component}"] = float(np.sqrt(square)) if square >= 0 else np.nan
    return found


def size(found: Mapping[str, float]) -> float:
    """The size of all systematics of one number, by variation."""
    return float(total({name: value - found[NOMINAL] for name, value in found.items() if name != NOMINAL}))


def complete(moments: hist.Hist, names: Iterable[str]) -> hist.Hist:
    """Moments with these variations, in their order: nominal for each estimator that does not have one."""
    axis = hist.axis.StrCategory([NOMINAL, *names], name="systematic", label="systematic", growth=True)
    whole = hist.Hist(axis, *list(moments.axes)[1:], storage=moments.storage_type())
    for estimator in moments.axes["estimator"]:
        own = {NOMINAL, *variations(moments, estimator)}
        for name in axis:
            source = moments[{"systematic": name if name in own else NOMINAL, "estimator": estimator}]
            whole[{"systematic": name, "estimator": estimator}] = source.view(flow=True)
    return whole
