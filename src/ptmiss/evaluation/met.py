"""pTmiss of each estimator against the generated one, the sum of the hard collision's neutrinos."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ptmiss import bootstrap
from ptmiss.bootstrap import Draws
from ptmiss.estimators.reconstruction import TARGETS
from ptmiss.recoil import magnitude
from ptmiss.typing import Array, Vector

NPV_EDGES = (0, 5, 10, 15, 20, 25, 30, 35, 40, 50, 80)
GENERATED_EDGES = (10, 20, 40, 60, 80, 100, 200)
TAILS = (30, 50, 80, 120)  # GeV
MIN_EVENTS = 50  # events: a bin with fewer has no row
ORACLE = "oracle"
GAINS = {"half_width": "half_width_oracle_gain", "half_width_corrected": "half_width_corrected_oracle_gain"}
"""Widths, and the column with the share of what the oracle gains in each."""


def reference(name: str) -> str:
    """What an estimator is compared to: ``puppi`` for those with PUPPI weights, else ``pf``."""
    return "puppi" if name.endswith("puppi") else "pf"


def table(met: Mapping[str, Vector], generated: Vector, npv: NDArray, drawn: Draws) -> pd.DataFrame:
    """Widths of the difference to the generated vector, its tails and the slope, inclusively and in bins of nPV.

    bias_x, bias_y: GeV; rms, half_width: GeV, of both components together; slope: <pTmiss truth> / <truth²>; tail_30:
    share of events with a difference beyond 30 GeV; half_width_vs_reference, rms_vs_reference: ratios, paired (see
    :func:`reference`); half_width_oracle_gain: share of what the oracle's is below PF's, for those compared with PF.
    response, half_width_corrected and its share of the oracle's gain: see :func:`corrected`; of tables with targets.
    """
    cells = [("inclusive", 0.0, np.inf, np.ones(len(npv), bool))]
    cells += [("npv", low, high, (npv >= low) & (npv < high)) for low, high in pairwise(NPV_EDGES)]
    rows = []
    for axis, low, high, cell in cells:
        if axis == "npv" and np.count_nonzero(cell) < MIN_EVENTS:
            continue
        found = {name: measures(vector[cell], generated[cell], drawn[:, cell]) for name, vector in met.items()}
        for name, vector in met.items() if TARGETS in met else ():
            found[name] |= corrected(vector[cell], met[TARGETS][cell], generated[cell], drawn[:, cell])
        for name, values in found.items():
            row = {"estimator": name, "axis": axis, "low": low, "high": high, "events": int(cell.sum())}
            for what, replicas in values.items():
                row |= bootstrap.with_error(what, replicas)
            for what in ("rms", "half_width") if reference(name) in found else ():
                below = found[reference(name)][what]
                ratio = np.divide(values[what], below, out=np.full(len(drawn), np.nan), where=below > 0)
                row |= bootstrap.with_error(f"{what}_vs_reference", ratio)
            if {ORACLE, reference(name)} <= found.keys() and reference(name) == "pf":
                for what in values.keys() & GAINS:
                    row |= bootstrap.with_error(GAINS[what], oracle_gain(found, name, what))
            rows.append(row)
    return bootstrap.frame(rows, "axis")


def oracle_gain(found: Mapping[str, Mapping[str, Array]], name: str, width: str) -> Array:
    """(draws,) share of what the oracle gains over PF in a width that an estimator has."""
    pf, oracle, own = (found[one][width] for one in ("pf", ORACLE, name))
    return np.divide(pf - own, pf - oracle, out=np.full(len(pf), np.nan), where=pf != oracle)


def corrected(met: Vector, ideal: Vector, generated: Vector, drawn: Draws) -> dict[str, Array]:
    """Replicas (draws,) of the response, and of the half width about the generated vector at response one, GeV.

    The response is the slope of pTmiss on that of ideal targets, taken anew in each replica. Without the correction an
    estimator gains by holding back: the generated vector is small, and what is drawn towards zero is nearer to it.
    """
    along, square = ((a * ideal).sum(axis=1) for a in (met, ideal))
    bottom = drawn @ square
    response = np.divide(drawn @ along, bottom, out=np.full(len(drawn), np.nan), where=bottom > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = met / response[:, np.newaxis, np.newaxis] - generated
    event = np.repeat(np.arange(len(met)), 2)
    width = bootstrap.half_width(difference.reshape(len(drawn), -1), drawn, event)
    return {"response": response, "half_width_corrected": width}


def measures(met: Vector, generated: Vector, drawn: Draws) -> dict[str, Array]:
    """Replicas (draws,) of what :func:`table` has of one estimator in one bin; GeV.

    met, generated: (events, 2), GeV; drawn: (draws, events)."""
    difference = np.asarray(met - generated, np.float64)
    total = drawn.sum(axis=1)
    mean = drawn @ difference / total[:, np.newaxis]
    variance = drawn @ (difference**2) / total[:, np.newaxis] - mean**2
    rms = np.sqrt(np.maximum(variance, 0).mean(axis=1))  # of equal events it may be below zero, by rounding
    event = np.repeat(np.arange(len(met)), 2)
    along, square = ((a * generated).sum(axis=1) for a in (met, generated))
    bottom = drawn @ square
    slope = np.divide(drawn @ along, bottom, out=np.full(len(drawn), np.nan), where=bottom > 0)
    size = magnitude(difference)
    tails = {f"tail_{cut}": drawn @ (size > cut) / total for cut in TAILS}
    return {
        "bias_x": mean[:, 0],
        "bias_y": mean[:, 1],
        "rms": rms,
        "half_width": bootstrap.half_width(difference.ravel(), drawn, event),
        "slope": slope,
        **tails,
    }


def responses(met: Mapping[str, Vector], generated: Vector, drawn: Draws) -> pd.DataFrame:
    """Median and IQR/median of the size of pTmiss over the generated size, in bins of the latter (GeV)."""
    true, rows = magnitude(generated), []
    for low, high in pairwise(GENERATED_EDGES):
        cell = np.flatnonzero((true >= low) & (true < high))
        if len(cell) < MIN_EVENTS:
            continue
        for name, vector in met.items():
            found = bootstrap.response(magnitude(vector[cell]) / true[cell], drawn, cell)
            row = {"estimator": name, "low": low, "high": high, "events": len(cell)}
            row |= bootstrap.with_error("response", found.median)
            rows.append(row | bootstrap.with_error("resolution", found.resolution))
    return bootstrap.frame(rows, "response")


def distribution(met: Mapping[str, Vector], generated: Vector, drawn: Draws) -> pd.DataFrame:
    """Share of events in bins of pTmiss of 10 GeV, and above their lower edge; the truth as ``generated``."""
    edges, rows = np.arange(0, 210, 10), []
    for name, vector in {**met, "generated": generated}.items():
        size = magnitude(vector)
        for low, high in pairwise(edges):
            inside, beyond = (size >= low) & (size < high), size >= low
            row = {"estimator": name, "low": low, "high": high, "events": int(inside.sum())}
            for what, mask in (("share", inside), ("beyond", beyond)):
                row |= bootstrap.with_error(what, drawn @ mask / drawn.sum(axis=1))
            rows.append(row)
    return bootstrap.frame(rows)
