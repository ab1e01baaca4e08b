"""The events of the samples of a calibration, after XY and pile-up weights, as what a flow is trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ptmiss.calibration.preparation import Preparation
from ptmiss.calibration.sources import Background, Sample
from ptmiss.calibration.xy import Shift
from ptmiss.errors import OptionError
from ptmiss.histograms import COMPONENTS
from ptmiss.recoil import recoil
from ptmiss.table import RecoilTable
from ptmiss.typing import Array

from .backgrounds import NEGATIVE, subtract

if TYPE_CHECKING:
    from ptmiss.models.recoilflow.events import Events

COLUMNS = {"qt": "boson_pt", "njets": "njets", "npv": "npv", "boson_rapidity": "boson_rapidity"}
"""What the map may depend on, and its column in a recoil table."""
CONTEXT = ("qt", "njets", "npv")


def features(estimators: Sequence[str]) -> list[str]:
    """Names of the components of the recoil, in the order of the flow."""
    return [f"{estimator}_u_{component}" for estimator in estimators for component in COMPONENTS]


def check_context(context: Sequence[str], samples: Sequence[Sample]) -> None:
    """Raise OptionError unless every sample has every column of the context, qT the first."""
    for name in context:
        if name not in COLUMNS:
            raise OptionError(f"--context {name}: expected some of {', '.join(COLUMNS)}")
        for sample in samples:
            if COLUMNS[name] not in sample.events.data.column_names:
                raise OptionError(
                    f"{sample.name} has no column {COLUMNS[name]}, "
                    f"which --context {','.join(context)} needs in every sample"
                )
    if not context or context[0] != "qt":
        raise OptionError(f"--context {','.join(context)}: expected qt, the first")


def events_of(
    data: Sample,
    mc: Sample,
    backgrounds: Sequence[Background],
    preparation: Preparation,
    estimators: Sequence[str],
    context: Sequence[str] = CONTEXT,
    factor: float = 1.0,
    subtraction: str = NEGATIVE,
) -> Events:
    """All events, those of data without backgrounds.

    factor: of the background; subtraction: how it is taken off, see backgrounds.WAYS. Raises OptionError where a sample
    has too few events, or weights below zero.
    """
    from ptmiss.models.recoilflow.events import join

    check_context(context, [data, mc, *(b.source for b in backgrounds)])
    shifts, weigh = preparation.shifts, preparation.pileup
    simulated = columns(mc.events, shifts["mc"], estimators, context, weigh)
    others = []
    for background in backgrounds:
        u, given, weight = columns(background.source.events, shifts["mc"], estimators, context, weigh)
        others.append((u, given, factor * background.factor * weight))
    recorded = subtract(columns(data.events, shifts["data"], estimators, context), others, subtraction)
    return join(simulated, recorded, (mc.name, f"{data.name} less background" if backgrounds else data.name))


def columns(
    events: RecoilTable,
    shifts: Mapping[str, Shift],
    estimators: Sequence[str],
    context: Sequence[str],
    weigh: Callable[[Any], Array] | None = None,
) -> tuple[Array, Array, Array]:
    """Residuals (events, 2 estimators), context (events, columns) and weights of the events with all of them finite."""
    given = np.column_stack([np.asarray(events[COLUMNS[name]], np.float64) for name in context])
    weight = events["weight"] * (weigh(events["npv"]) if weigh else 1.0)
    u = residuals({name: events.met(name) - shifts[name](events["npv"]) for name in estimators}, events)
    good = np.isfinite(u).all(axis=1) & np.isfinite(given).all(axis=1)
    return u[good], given[good], np.asarray(weight, np.float64)[good]


def residuals(mets: Mapping[str, Array], events: RecoilTable) -> Array:
    """(events, 2 estimators) u_par - qT and u_perp of each estimator, GeV; mets: (events, 2) pTmiss after XY."""
    boson = events.vector("boson")
    recoils = [recoil(boson, met) for met in mets.values()]
    return np.column_stack([part for u in recoils for part in (u.u_par - u.qt, u.u_perp)])
