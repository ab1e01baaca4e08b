"""The same calibration in the layout that CMS analyses consume for their recoil corrections, one estimator a file.

``Recoil_correction_QuantileMapHist`` and ``Recoil_correction_Rescaling`` (era, order, njet, ptll, var, val) take
``Upara`` and ``Uperp``, components of U = pTmiss + V(visible) - V(all) along and across the boson: our ``u_par - qT`` and
``u_perp``. ``Recoil_correction_Uncertainty`` (era, order, njet, ptll, var, val, syst) takes corrected ``Hpara`` and
``Hperp`` of H = -(pTmiss + V(visible)): our ``-u_par`` and ``-u_perp``; syst is RespUp, RespDown, ResolUp or ResolDown.
Their sizes are the quadratic sums of all our variations' effects on the mean and on the width.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from correctionlib import schemav2 as cs

from .calibrate import Calibration
from .export import by_cell, category, metadata, pieces, variable
from .quantile_corrections import QuantileCorrection
from .quantiles import QuantileMap

NAMES = {"par": "para", "perp": "perp"}
INPUTS = (
    variable("era", "string", "data-taking period"),
    variable("order", "string", "order of the simulation"),
    variable("njet", "real", "number of jets"),
    variable("ptll", "real", "transverse momentum of the boson (GeV)"),
    variable("var", "string", "which component"),
    variable("val", "real", "its value (GeV)"),
)
SYSTEMATICS = {"RespUp": (1, 0), "RespDown": (-1, 0), "ResolUp": (0, 1), "ResolDown": (0, -1)}
"""Signs of the shift of the mean and of the width."""


def correction_set(calibration: Calibration, estimator: str, era: str, order: str) -> cs.CorrectionSet:
    """The three corrections of one estimator."""
    both = {c: calibration.derivations[f"{estimator}_u_{c}"] for c in NAMES}
    corrections = [
        _correction(
            "Recoil_correction_QuantileMapHist", era, order, {f"U{NAMES[c]}": _maps(d) for c, d in both.items()}
        ),
        _correction("Recoil_correction_Rescaling", era, order, {f"U{NAMES[c]}": _rescaled(d) for c, d in both.items()}),
        _correction(
            "Recoil_correction_Uncertainty", era, order, {f"H{NAMES[c]}": _uncertainty(d) for c, d in both.items()}
        ),
    ]
    made = {**metadata(calibration), "schema": "cms-recoil", "fits": [], "estimator": estimator}
    return cs.CorrectionSet(schema_version=2, description=json.dumps(made), corrections=corrections)


def _correction(name: str, era: str, order: str, by_variable: Mapping[str, cs.Binning]) -> cs.Correction:
    inputs = list(INPUTS)
    if name.endswith("Uncertainty"):
        inputs.append(variable("syst", "string", ", ".join(SYSTEMATICS)))
    content = category("order", {order: category("var", by_variable)})
    return cs.Correction(
        name=name,
        description=f"{', '.join(by_variable)} in, the same out (GeV)",
        version=1,
        inputs=inputs,
        output=variable("outval", "real", "varied or corrected value (GeV)"),
        generic_formulas=[
            cs.Formula(nodetype="formula", expression="[0]+[1]*(x-[2])", parser="TFormula", variables=["val"])
        ],
        data=category("era", {era: content}),
    )


def _maps(derivation: QuantileCorrection) -> cs.Binning:
    return _by_cell(derivation, [pieces(part, "val") for part in derivation.maps["nominal"]])


def _rescaled(derivation: QuantileCorrection) -> cs.Binning:
    """Maps that shift the mean and stretch the width, and no more."""
    laws = [(mc.law, data.law) for mc, data in zip(derivation.fits["mc"], derivation.fits["data"], strict=True)]
    maps = [rescaling(mc.mean, mc.rms, data.mean, data.rms) for mc, data in laws]
    return _by_cell(derivation, [pieces(part, "val") for part in maps])


def rescaling(mc_mean: float, mc_rms: float, data_mean: float, data_rms: float) -> QuantileMap:
    """The straight line that takes one mean and width to another."""
    slope = data_rms / mc_rms
    x = np.array([mc_mean - mc_rms, mc_mean + mc_rms])
    return QuantileMap(x, data_mean + slope * (x - mc_mean), slope, slope)


def _uncertainty(derivation: QuantileCorrection) -> cs.Binning:
    return _by_cell(derivation, [_varied(derivation, number) for number in range(len(derivation.cells))])


def _varied(derivation: QuantileCorrection, number: int) -> cs.Category:
    """Formulas of val (x) and ptll (y) in one cell; the mean of Hpara is -ptll less that of the residual."""
    mean, shift, stretch = derivation.uncertainty(number)
    par = derivation.component == "par"
    centre = f"(-y-({mean:.6g}))" if par else f"({-mean:.6g})"
    formulas = {
        name: f"{centre}+{1 + width * stretch:.6g}*(x-{centre})+({-up * shift * par:.6g})"
        for name, (up, width) in SYSTEMATICS.items()
    }
    content = {
        name: cs.Formula(nodetype="formula", expression=expression, parser="TFormula", variables=["val", "ptll"])
        for name, expression in formulas.items()
    }
    return category("syst", content)


def _by_cell(derivation: QuantileCorrection, contents: Sequence[Any]) -> cs.Binning:
    return by_cell(derivation.cells, contents, "njet", "ptll")
