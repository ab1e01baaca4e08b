"""The same calibration in the layout that CMS analyses consume for their recoil corrections, one estimator a file.

``Recoil_correction_QuantileMapHist`` and ``Recoil_correction_Rescaling`` (era, order, njet, ptll, var, val) take
``Upara`` and ``Uperp``, components of U = pTmiss + V(visible) - V(all) along and across the boson: our ``u_par - qT``
and ``u_perp``. ``Recoil_correction_QuantileMapFit`` (era, order, njet, ptll, var, kind, val) is the distribution below
val in simulation, kind ``DY``, or in ``Data``; its reader inverts it. ``Recoil_correction_Uncertainty`` (era, order,
njet, ptll, var, val, syst) takes corrected ``Hpara`` and
``Hperp`` of H = -(pTmiss + V(visible)): our ``-u_par`` and ``-u_perp``; syst is RespUp, RespDown, ResolUp or ResolDown.
Their sizes are the quadratic sums of all our variations' effects on the mean and on the width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from correctionlib import schemav2 as cs

from .binning import Cell
from .calibrate import Calibration
from .export import PATCH, binning, by_jets, category, describe, formula, metadata, variable
from .quantile_corrections import QuantileCorrection

NAMES = {"par": "para", "perp": "perp"}
INPUTS = (
    variable("era", "string", "data-taking period"),
    variable("order", "string", "order of the simulation"),
    variable("njet", "real", "number of jets"),
    variable("ptll", "real", "transverse momentum of the boson (GeV)"),
    variable("var", "string", "which component"),
    variable("val", "real", "its value (GeV)"),
)
KINDS = {"DY": "mc", "Data": "data"}
LINE = "[0]+[1]*(x-[2])"
BELOW = "+".join(f"[{i}]*0.5*(1+erf((x-[{i + 1}])/[{i + 2}]))" for i in (0, 3))
"""Share of two Gaussians below x: fraction, mean and √2 sigma of each."""
SYSTEMATICS = {"RespUp": (1, 0), "RespDown": (-1, 0), "ResolUp": (0, 1), "ResolDown": (0, -1)}
"""Signs of the shift of the mean and of the width."""


def correction_set(calibration: Calibration, estimator: str, era: str, order: str) -> cs.CorrectionSet:
    """The four corrections of one estimator."""
    both = {c: calibration.derivations[f"{estimator}_u_{c}"] for c in NAMES}
    corrections = [
        _correction(
            "Recoil_correction_QuantileMapHist", era, order, {f"U{NAMES[c]}": _maps(d) for c, d in both.items()}
        ),
        _correction(
            "Recoil_correction_QuantileMapFit", era, order, {f"U{NAMES[c]}": _distributions(d) for c, d in both.items()}
        ),
        _correction("Recoil_correction_Rescaling", era, order, {f"U{NAMES[c]}": _rescale(d) for c, d in both.items()}),
        _correction(
            "Recoil_correction_Uncertainty", era, order, {f"H{NAMES[c]}": _uncertainty(d) for c, d in both.items()}
        ),
    ]
    made = {**metadata(calibration), "schema": "cms-recoil", "estimators": [estimator]}
    return cs.CorrectionSet(schema_version=2, description=describe(made), corrections=corrections)


def _correction(name: str, era: str, order: str, by_variable: Mapping[str, Any]) -> cs.Correction:
    inputs = list(INPUTS)
    if name.endswith("Fit"):
        inputs.insert(-1, variable("kind", "string", ", ".join(KINDS)))
    if name.endswith("Uncertainty"):
        inputs.append(variable("syst", "string", ", ".join(SYSTEMATICS)))
    content = category("order", {order: category("var", by_variable)})
    return cs.Correction(
        name=name,
        description=f"{', '.join(by_variable)} in, the same out (GeV)",
        version=1,
        inputs=inputs,
        output=variable("outval", "real", "varied or corrected value (GeV)"),
        generic_formulas=[formula(f"x+{PATCH}", "val", "ptll"), *(formula(text, "val") for text in (LINE, BELOW))],
        data=category("era", {era: content}),
    )


def _maps(derivation: QuantileCorrection) -> cs.Binning:
    return by_jets(derivation, derivation.nominal, 0, "njet", "ptll", "val")


def _distributions(derivation: QuantileCorrection) -> cs.Category:
    """Distributions of simulation and data, in the bins of the straight lines."""
    return category("kind", {kind: _distribution(derivation, sample) for kind, sample in KINDS.items()})


def _distribution(derivation: QuantileCorrection, sample: str) -> cs.Binning:
    """The share of events below a residual: two Gaussians in the middle between the nodes of qT."""
    nodes = derivation.nominal.qt
    middle, rows = (nodes[1:] + nodes[:-1]) / 2, []
    for number in range(len(derivation.classes)):
        law = derivation.law(sample).at(middle, np.full(len(middle), number))
        numbers = np.stack([law.fractions, law.means, np.sqrt(2) * law.widths], axis=-1).reshape(len(middle), -1)
        content = [cs.FormulaRef(nodetype="formularef", index=2, parameters=list(map(float, n))) for n in numbers]
        rows.append(binning("ptll", nodes.tolist(), content))
    return binning("njet", derivation.njets_edges, rows)


def _rescale(derivation: QuantileCorrection) -> cs.Binning:
    """Maps that shift the mean and stretch the width, and no more: straight lines between the nodes of qT."""
    nodes = derivation.nominal.qt
    middle = (nodes[1:] + nodes[:-1]) / 2
    rows = []
    for number in range(len(derivation.classes)):
        mc, data = (derivation.law(s).at(middle, np.full(len(middle), number)) for s in ("mc", "data"))
        lines = np.stack([data.mean, data.rms / mc.rms, mc.mean], axis=1)
        content = [cs.FormulaRef(nodetype="formularef", index=1, parameters=list(map(float, line))) for line in lines]
        rows.append(binning("ptll", nodes.tolist(), content))
    return binning("njet", derivation.njets_edges, rows)


def _uncertainty(derivation: QuantileCorrection) -> cs.Binning:
    """Formulas in each cell of (qT, nJets)."""
    rows = []
    for jets in derivation.classes:
        cells = [cell for cell in derivation.cells if cell.njets_bins == jets]
        edges = [*(cell.qt[0] for cell in cells), cells[-1].qt[1]]
        rows.append(binning("ptll", edges, [_vary(derivation, cell) for cell in cells]))
    return binning("njet", derivation.njets_edges, rows)


def _vary(derivation: QuantileCorrection, cell: Cell) -> cs.Category:
    """Formulas of val (x) and ptll (y) in one cell; the mean of Hpara is -ptll less that of the residual."""
    mean, shift, stretch = derivation.uncertainty(cell)
    par = derivation.component == "par"
    centre = f"(-y-({mean:.6g}))" if par else f"({-mean:.6g})"
    formulas = {
        name: f"{centre}+{1 + width * stretch:.6g}*(x-{centre})+({-up * shift * par:.6g})"
        for name, (up, width) in SYSTEMATICS.items()
    }
    return category("syst", {name: formula(expression, "val", "ptll") for name, expression in formulas.items()})
