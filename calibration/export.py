"""A calibration as correctionlib JSON, schema v2: the file that ``ptmiss.corrections`` and plain correctionlib
evaluate.

Of each estimator: ``<name>_u_par`` and ``<name>_u_perp`` with inputs (qt, njets, u, systematic), ``<name>_xy`` (sample,
axis, npv), ``<name>_response`` (sample, kind, qt); of all ``npv_weight`` (npv). What it was made of is JSON in the
description of the set. Edges are lists, since correctionlib's uniform binning can miss its upper edge.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from correctionlib import schemav2 as cs

from ptmiss.corrections import AXES, CONTENT, PILEUP, SAMPLES, SCHEMA, content_digest
from ptmiss.files.provenance import provenance
from ptmiss.systematics import NOMINAL
from ptmiss.typing import Array

from .calibrate import Calibration
from .fits import goodness
from .gaussians import names
from .pileup import PileUp
from .preparation import Preparation
from .quantile_corrections import QuantileCorrection
from .quantiles import Surface
from .response import KINDS, Response
from .xy import Shift

DIGITS = 4  # decimals of a shift, GeV


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
    return whole(metadata(calibration), [*out, *other_corrections(calibration)])


def other_corrections(calibration: Calibration) -> list[cs.Correction]:
    """All but the maps of the recoil."""
    by_estimator = {e: {s: calibration.responses[s][e] for s in SAMPLES} for e in calibration.estimators}
    responses = [response_correction(estimator, measured) for estimator, measured in by_estimator.items()]
    return [*responses, *first_corrections(calibration.preparation)]


def preparation_set(preparation: Preparation, made: Mapping[str, Any]) -> cs.CorrectionSet:
    """XY lines and pile-up weights alone, for the next runs of a calibration; made: what they were derived from."""
    names = list(preparation.shifts["mc"])
    about = {"schema": SCHEMA, "estimators": names, "systematics": [NOMINAL], **preparation.record}
    return whole({**first_facts(), **about, "inputs": dict(made)}, first_corrections(preparation))


def first_corrections(preparation: Preparation) -> list[cs.Correction]:
    """What is applied before the maps."""
    names = preparation.shifts["mc"]
    out = [xy_correction(name, {s: preparation.shifts[s][name] for s in SAMPLES}) for name in names]
    return out if preparation.pileup is None else [*out, pileup_weight(preparation.pileup)]


def whole(made: Mapping[str, Any], corrections: list[cs.Correction]) -> cs.CorrectionSet:
    """A set with how it was made, and a hash of its corrections, which ptmiss.corrections checks."""
    bare = cs.CorrectionSet(schema_version=2, corrections=corrections)
    sha256 = content_digest(json.loads(bare.model_dump_json(exclude_unset=True)))
    return bare.model_copy(update={"description": describe({**made, CONTENT: sha256})})


def describe(made: Mapping[str, Any]) -> str:
    """The description of a set: a sentence for readers, and how it was made, as JSON in a line of its own."""
    names = ", ".join(made.get("estimators", ()))
    return f"Hadronic recoil of {names}, derived by ptmiss {made['ptmiss']}; the line below is for programs.\n" + (
        json.dumps(made, separators=(",", ":"))
    )


def first_facts() -> dict[str, Any]:
    """What began the work: version, time and command; a manifest has more."""
    return {name: value for name, value in provenance().items() if name in ("ptmiss", "created", "command")}


def metadata(calibration: Calibration) -> dict[str, Any]:
    """How the corrections were made, as far as applying them needs it, with inputs and their hashes."""
    return {
        **first_facts(),
        "schema": SCHEMA,
        "estimators": calibration.estimators,
        "systematics": next(iter(calibration.derivations.values())).systematics,
        **calibration.preparation.record,
        "inputs": dict(calibration.made),
    }


def details(calibration: Calibration) -> dict[str, Any]:
    """Binning of each map, what is absent of it, and how much of the statistical error its variations hold."""
    derivations = list(calibration.derivations.values())
    return {
        "binning": {d.name: {"qt": d.nominal.qt.tolist(), "njets": d.classes} for d in derivations},
        "absent": {d.name: dict(d.absent) for d in derivations if d.absent},
        "statistical_held": {d.name: round(d.held, 4) for d in derivations},
    }


def law_rows(derivation: QuantileCorrection) -> list[dict[str, Any]]:
    """One row for each coefficient of each law: of what parameter and which term, its value and its error."""
    rows = []
    for (variation, pair), sample in product(derivation.fits.items(), ("mc", "data")):
        if sample == "mc" and variation.startswith("background"):  # that of the nominal map
            continue
        law = pair.of(sample).law
        errors = np.zeros_like(law.coefficients)
        errors[law.free] = np.sqrt(np.diag(law.covariance))
        where = {"estimator": derivation.estimator, "component": derivation.component}
        for i, k in np.argwhere(law.free):
            degree, jets = law.basis.terms[k]
            term = {"parameter": names(law.n)[i], "degree": degree, "njets_term": jets}
            value, error = (float(f"{part[i, k]:.6g}") for part in (law.coefficients, errors))
            rows.append({**where, "fit": variation, "sample": sample, **term, "value": value, "error": error})
    return rows


def fit_rows(derivation: QuantileCorrection) -> list[dict[str, Any]]:
    """One row per cell and sample: events, how well the smooth law describes them, its mean and RMS (GeV)."""
    rows = []
    for sample, cell in product(("mc", "data"), derivation.cells):
        counts, law = derivation.part(sample, cell), derivation.at(sample, cell)
        value, ndof = goodness(counts, derivation.law(sample))
        row: dict[str, Any] = {"estimator": derivation.estimator, "component": derivation.component, "sample": sample}
        row |= {"qt_low": cell.qt[0], "qt_high": cell.qt[1], "njets": cell.jets, "qt": derivation.centre(cell)}
        row |= {"n_effective": round(counts.n_effective, 1), "chi2": round(value, 2), "ndof": ndof}
        row |= {"mean": round(float(law.mean[0]), 4), "rms": round(float(law.rms[0]), 4)}
        rows.append(row)
    return rows


def quantile_correction(derivation: QuantileCorrection) -> cs.Correction:
    """(qt, njets, u, systematic) to the corrected u.

    u_par loses qT first and gets it back at the end. The nominal map comes first, for all systematics alike; each of
    them is a map of what the nominal one corrected.
    """
    par = derivation.component == "par"
    last = "x+y" if par else "x"
    by_systematic: dict[str, Any] = {NOMINAL: cs.FormulaRef(nodetype="formularef", index=2, parameters=[])}
    for name, part in derivation.variations.items():
        by_systematic[name] = (
            by_jets(derivation, part, 1, "njets", "qt", "u") if part.shift.any() else by_systematic[NOMINAL]
        )
    nominal = by_jets(derivation, derivation.nominal, 0, "njets", "qt", "u")
    data: Any = cs.Transform(
        nodetype="transform", input="u", rule=nominal, content=category("systematic", by_systematic)
    )
    if par:
        data = cs.Transform(nodetype="transform", input="u", rule=formula("x-y", "u", "qt"), content=data)
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
        generic_formulas=[formula(f"{start}+{PATCH}", "u", "qt") for start in ("x", last)] + [formula(last, "u", "qt")],
        data=data,
    )


PATCH = "[0]+[1]*(x-[2])+(y-[3])*([4]+[5]*(x-[2]))"
"""Shift at residual x and qT y: linear in both between the nodes of a grid."""


def formula(expression: str, *variables: str) -> cs.Formula:
    """A formula of some of the inputs, x the first."""
    return cs.Formula(nodetype="formula", expression=expression, parser="TFormula", variables=list(variables))


def by_jets(derivation: QuantileCorrection, part: Surface, index: int, njets: str, qt: str, u: str) -> cs.Binning:
    """A map as binnings in nJets, qT and the residual; index: of its formula. The last bins go on beyond."""
    return binning(njets, derivation.njets_edges, [by_qt(part.qt, part.x, shift, index, qt, u) for shift in part.shift])


def by_qt(qt: Array, x: Array, shift: Array, index: int, name: str, u: str) -> cs.Binning:
    """One class of nJets: patches between nodes of qT (Q,) and of the residual (K,) of a shift (Q, K), GeV."""
    shift = np.round(shift, DIGITS)
    rows = [patches(x, shift[i], shift[i + 1], qt[i], qt[i + 1], index, u) for i in range(len(qt) - 1)]
    rows.append(patches(x, shift[-1], shift[-1], qt[-1], qt[-1] + 1, index, u))
    return binning(name, [*qt, qt[-1] + 1], rows)


def patches(x: Array, low: Array, high: Array, start: float, stop: float, index: int, name: str) -> cs.Binning:
    """The patches between two nodes of qT (GeV); beyond the outermost residuals the shift is that at the ends.

    x: (nodes,) residuals; low, high: (nodes,) shifts at start and stop; GeV."""

    def slope(values: Array) -> Array:
        return np.concatenate([[0.0], np.diff(values) / np.diff(x), [0.0]])

    first = np.maximum(np.arange(len(x) + 1) - 1, 0)
    along, growth = slope(low), (high - low)[first] / (stop - start)
    twist = slope(high - low) / (stop - start)
    columns = (
        low[first],
        np.round(along, 7),
        x[first],
        np.full(len(first), start),
        np.round(growth, 7),
        np.round(twist, 9),
    )
    content: list[Any] = [
        cs.FormulaRef(nodetype="formularef", index=index, parameters=list(map(float, row)))
        for row in zip(*columns, strict=True)
    ]
    edges: list[Any] = ["-inf", *map(float, x), "inf"]
    return cs.Binning(nodetype="binning", input=name, edges=edges, content=content, flow="clamp")


def binning(name: str, edges: Sequence[float], content: Sequence[Any]) -> cs.Binning:
    """A binning whose outer bins go on beyond its range."""
    return cs.Binning(
        nodetype="binning", input=name, edges=[float(e) for e in edges], content=list(content), flow="clamp"
    )


def category(name: str, content: Mapping[str, Any]) -> cs.Category:
    """A choice by name; an unknown one is an error of correctionlib."""
    items = [cs.CategoryItem(key=key, value=value) for key, value in content.items()]
    return cs.Category(nodetype="category", input=name, content=items)


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
            "kind",
            {
                kind: binning("qt", measured.binning.qt_stored, list(map(float, measured.correction(kind))))
                for kind in KINDS
            },
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


def compress(corrections: cs.CorrectionSet) -> bytes:
    """The set as gzip JSON; the same set gives the same bytes."""
    return gzip.compress(corrections.model_dump_json(exclude_unset=True).encode(), mtime=0)
