"""A calibration as correctionlib JSON, schema v2: the file that ``ptmiss.corrections`` and plain correctionlib evaluate.

Of each estimator: ``<name>_u_par`` and ``<name>_u_perp`` with inputs (qt, njets, u, systematic), ``<name>_xy`` (sample,
axis, npv), ``<name>_response`` (sample, kind, qt); of all ``npv_weight`` (npv). What it was made of is JSON in the
description of the set. Edges are lists, since correctionlib's uniform binning can miss its upper edge.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from correctionlib import schemav2 as cs

from ptmiss.corrections import AXES, NOMINAL, PILEUP, SAMPLES, SCHEMA
from ptmiss.histograms import QT_STORED
from ptmiss.provenance import provenance

from .binning import Cell
from .calibrate import Calibration
from .pileup import PileUp
from .quantile_corrections import QuantileCorrection
from .quantiles import QuantileMap
from .response import KINDS, Response
from .xy import Shift

DIGITS = 5  # decimals of a knot, GeV


def variable(name: str, kind: str, description: str) -> cs.Variable:
    """An input or an output."""
    return cs.Variable(name=name, type=kind, description=description)  # type: ignore[arg-type]


QT = variable("qt", "real", "transverse momentum of the boson (GeV), from 0")
NJETS = variable("njets", "int", "number of jets, from 0")
NPV = variable("npv", "real", "number of reconstructed primary vertices")
SAMPLE = variable("sample", "string", "data or mc")


def correction_set(calibration: Calibration) -> cs.CorrectionSet:
    """All corrections, and how they were made."""
    out = [quantile_correction(derivation) for derivation in calibration.derivations.values()]
    for estimator in calibration.estimators:
        out.append(xy_correction(estimator, {s: calibration.shifts[s][estimator] for s in SAMPLES}))
        out.append(response_correction(estimator, {s: calibration.responses[s][estimator] for s in SAMPLES}))
    if calibration.pileup is not None:
        out.append(pileup_weight(calibration.pileup))
    return cs.CorrectionSet(schema_version=2, description=json.dumps(metadata(calibration)), corrections=out)


def metadata(calibration: Calibration) -> dict[str, Any]:
    """How the corrections were made: inputs and their hashes, versions, binning, every fit."""
    fits = [row for derivation in calibration.derivations.values() for row in fit_rows(derivation)]
    derivations = list(calibration.derivations.values())
    return provenance(
        schema=SCHEMA,
        estimators=calibration.estimators,
        systematics=systematics(derivations[0]),
        xy_first=calibration.xy_first,
        inputs=dict(calibration.made),
        binning={d.name: [[*cell.qt, *cell.njets_bins] for cell in d.cells] for d in derivations},
        fits=fits,
    )


def systematics(derivation: QuantileCorrection) -> list[str]:
    """Names of the variations, ``nominal`` first."""
    return [NOMINAL, *(name for name in derivation.maps if name != NOMINAL)]


def fit_rows(derivation: QuantileCorrection) -> list[dict[str, Any]]:
    """One row for each fit: where, of what, how good, and its parameters (GeV)."""
    rows = []
    for sample, fits in derivation.fits.items():
        cells = derivation.cells_of(sample.partition("_")[2])
        for cell, fit in zip(cells, fits, strict=True):
            row: dict[str, Any] = {
                "estimator": derivation.estimator,
                "component": derivation.component,
                "sample": sample,
            }
            row |= {"qt_low": cell.qt[0], "qt_high": cell.qt[1], "njets": cell.jets, "bins_merged": cell.merged}
            row |= {"status": fit.status, "accurate": fit.accurate, "n_effective": round(fit.n_effective, 1)}
            row |= {"chi2": round(fit.chi2, 2), "ndof": fit.ndof, "mean": round(fit.law.mean, 4)}
            row |= {"rms": round(fit.law.rms, 4), "parameters": [float(f"{p:.6g}") for p in fit.parameters]}
            rows.append(row)
    return rows


def quantile_correction(derivation: QuantileCorrection) -> cs.Correction:
    """(qt, njets, u, systematic) to the corrected u; u_par loses qT before the map and gets it back after it."""
    par = derivation.component == "par"
    expression = "y+[0]+[1]*(x-[2])" if par else "[0]+[1]*(x-[2])"
    variables = ["u", "qt"] if par else ["u"]

    by_systematic = {
        name: by_cell(derivation.cells_of(name), [pieces(part, "u") for part in derivation.maps[name]], "njets", "qt")
        for name in systematics(derivation)
    }
    data: Any = category("systematic", by_systematic)
    if par:
        rule = cs.Formula(nodetype="formula", expression="x-y", parser="TFormula", variables=["u", "qt"])
        data = cs.Transform(nodetype="transform", input="u", rule=rule, content=data)
    symbol = "parallel to minus the boson" if par else "across it"
    return cs.Correction(
        name=derivation.name,
        description=f"hadronic recoil of {derivation.estimator} {symbol}: simulation to data",
        version=1,
        inputs=[
            QT,
            NJETS,
            variable("u", "real", f"u_{derivation.component} of simulation (GeV)"),
            variable("systematic", "string", ", ".join(by_systematic)),
        ],
        output=variable("u", "real", f"corrected u_{derivation.component} (GeV)"),
        generic_formulas=[
            cs.Formula(nodetype="formula", expression=expression, parser="TFormula", variables=variables)
        ],
        data=data,
    )


def by_cell(cells: Sequence[Cell], contents: Sequence[Any], njets: str, qt: str) -> cs.Binning:
    """Binnings in nJets, then in qT; the last bins hold what is above."""
    rows = [list(group) for _, group in groupby(zip(cells, contents, strict=True), key=lambda pair: pair[0].njets_bins)]
    inner = [
        binning(qt, [*(cell.qt[0] for cell, _ in row), row[-1][0].qt[1]], [content for _, content in row])
        for row in rows
    ]
    bounds = [row[0][0].njets_bins for row in rows]
    return binning(njets, [*(first - 0.5 for first, _ in bounds), bounds[-1][1] - 0.5], inner)


def binning(name: str, edges: Sequence[float], content: Sequence[Any]) -> cs.Binning:
    """A binning whose outer bins go on beyond its range."""
    return cs.Binning(
        nodetype="binning", input=name, edges=[float(e) for e in edges], content=list(content), flow="clamp"
    )


def category(name: str, content: Mapping[str, Any]) -> cs.Category:
    """A choice by name; an unknown one is an error of correctionlib."""
    items = [cs.CategoryItem(key=key, value=value) for key, value in content.items()]
    return cs.Category(nodetype="category", input=name, content=items)


def pieces(quantile_map: QuantileMap, name: str) -> cs.Binning:
    """A map as straight pieces ``[0] + [1] (x - [2])``, the tails with slopes of their own.

    Slopes are rounded down, so that rounding cannot make the map fall from one piece to the next.
    """
    x = np.round(quantile_map.x, DIGITS - 2)
    y = np.round(quantile_map(x), DIGITS)
    slopes = np.floor(np.diff(y) / np.diff(x) * 1e6) / 1e6
    tails = ((0, quantile_map.low_slope), (-1, quantile_map.high_slope))
    first, last = ((y[end], round(slope, 6), x[end]) for end, slope in tails)
    inner = [straight(*piece) for piece in zip(y[:-1], slopes, x[:-1], strict=True)]
    edges: list[Any] = ["-inf", *(float(edge) for edge in x), "inf"]
    content: list[Any] = [straight(*first), *inner, straight(*last)]
    return cs.Binning(nodetype="binning", input=name, edges=edges, content=content, flow="clamp")


def straight(value: float, slope: float, start: float) -> cs.FormulaRef:
    """``value + slope (x - start)``."""
    return cs.FormulaRef(nodetype="formularef", index=0, parameters=[float(value), float(slope), float(start)])


def xy_correction(estimator: str, shifts: Mapping[str, Shift]) -> cs.Correction:
    """(sample, axis, npv) to the mean pTmiss component."""

    def line(shift: Shift, axis: str) -> cs.Formula:
        fitted = getattr(shift, axis)
        expression = f"{float(fitted.intercept):.9g}+({float(fitted.slope):.9g})*x"
        return cs.Formula(nodetype="formula", expression=expression, parser="TFormula", variables=["npv"])

    by_sample = {
        sample: category("axis", {axis: line(shift, axis) for axis in AXES}) for sample, shift in shifts.items()
    }
    return cs.Correction(
        name=f"{estimator}_xy",
        description=f"mean pTmiss of {estimator}, to be subtracted",
        version=1,
        inputs=[SAMPLE, variable("axis", "string", "x or y"), NPV],
        output=variable("mean", "real", "mean component of pTmiss (GeV)"),
        data=category("sample", by_sample),
    )


def response_correction(estimator: str, responses: Mapping[str, Response]) -> cs.Correction:
    """(sample, kind, qt) to the response; 1 where there is none."""
    by_sample = {
        sample: category(
            "kind", {kind: binning("qt", QT_STORED, list(map(float, measured.correction(kind)))) for kind in KINDS}
        )
        for sample, measured in responses.items()
    }
    return cs.Correction(
        name=f"{estimator}_response",
        description=f"<u_par>/<qT> of {estimator}, to divide u by: of qT > 150 GeV, or of each bin above 10 GeV",
        version=1,
        inputs=[SAMPLE, variable("kind", "string", "plateau or bin"), QT],
        output=variable("response", "real", "response"),
        data=category("sample", by_sample),
    )


def pileup_weight(pileup: PileUp) -> cs.Correction:
    """(npv) to the weight of simulation."""
    return cs.Correction(
        name=PILEUP,
        description="weight that gives simulation the data's distribution of primary vertices",
        version=1,
        inputs=[NPV],
        output=variable("weight", "real", "event weight"),
        data=binning("npv", list(pileup.edges), list(map(float, pileup.weights))),
    )


def compressed(corrections: cs.CorrectionSet) -> bytes:
    """The set as gzip JSON; the same set gives the same bytes."""
    return gzip.compress(corrections.model_dump_json(exclude_unset=True).encode(), mtime=0)
