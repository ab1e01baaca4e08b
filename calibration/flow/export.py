"""A flow's calibration as correctionlib JSON: dense networks in nodes of the kind ``lwtnn`` of schema v2.

``<estimator>_u_par`` and ``<estimator>_u_perp`` have the context as inputs, then the components of the recoil up to
their own, as they came, and the systematic: ``pf_u_perp`` (qt, njets, npv, pf_u_par, pf_u_perp, systematic). All else
in the file is as in any calibration.

correctionlib can rewrite an input for a part of its tree. So ``u_par`` loses qT first and gets it back at the end, each
input is kept in its range for a network alone, and the shift that a network gives stands in the place of qT until it
is added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from correctionlib import schemav2 as cs

from ptmiss.calibration import export
from ptmiss.calibration.export import NJETS, NPV, QT, binning, category, formula, variable
from ptmiss.models.recoilflow.dense import Dense
from ptmiss.systematics import NOMINAL

from .derivation import FlowCalibration
from .maps import JointMap

DIGITS = 6  # of a weight
SILU = {"function": "swish", "alpha": 1.0}  # without alpha lwtnn gives NaN
INPUTS = {
    "qt": QT,
    "njets": NJETS,
    "npv": NPV,
    "boson_rapidity": variable("boson_rapidity", "real", "rapidity of the boson"),
}


def correction_set(calibration: FlowCalibration) -> cs.CorrectionSet:
    """All corrections, and how they were made."""
    maps = [joint_correction(calibration.joint, k) for k in range(len(calibration.joint.features))]
    return export.whole(metadata(calibration), [*maps, *export.other_corrections(calibration)])


def metadata(calibration: FlowCalibration) -> dict[str, Any]:
    """How the corrections were made; ``joint`` has the order of the estimators and the context that each one needs."""
    joint = calibration.joint
    return {
        **export.metadata(calibration),
        "systematics": joint.systematics,
        "method": "flow",
        "joint": {"estimators": list(joint.estimators), "context": list(joint.context)},
        "recipe": dict(calibration.recipe),
    }


def joint_correction(joint: JointMap, k: int) -> cs.Correction:
    """The correction of one component."""
    seen = joint.features[: k + 1]
    name = seen[-1]
    last = formula("x+y", name, "qt") if name.endswith("_par") else formula("x", name)
    names = [*joint.context, *seen]
    by_systematic: dict[str, Any] = {NOMINAL: last}
    for systematic, networks in joint.variations.items():
        by_systematic[systematic] = rewrite(name, _add(networks[k], names), last)
    data: Any = rewrite(name, _add(joint.nominal[k], names), category("systematic", by_systematic))
    for feature in (each for each in reversed(seen) if each.endswith("_par")):
        data = rewrite(feature, formula("x-y", feature, "qt"), data)
    recoils = [variable(each, "real", f"{each} of simulation, as it came (GeV)") for each in seen]
    systematics = variable("systematic", "string", ", ".join(by_systematic))
    return cs.Correction(
        name=name,
        description=f"hadronic recoil, {name}: simulation to data, with what its components before have",
        version=1,
        inputs=[*(INPUTS[each] for each in joint.context), *recoils, systematics],
        output=variable("u", "real", f"corrected {name} (GeV)"),
        data=data,
    )


def rewrite(name: str, rule: Any, content: Any) -> cs.Transform:
    """A part of a tree in which an input has another value."""
    return cs.Transform(nodetype="transform", input=name, rule=rule, content=content)


def _add(network: Dense, names: Sequence[str]) -> cs.Transform:
    """The last of the inputs, and the shift that a network gives."""
    return rewrite("qt", _in_range(network, names), formula("x+y", names[-1], "qt"))


def _in_range(network: Dense, names: Sequence[str]) -> Any:
    """A network whose inputs stay at the ends of their ranges."""
    node: Any = lwtnn(network, names)
    for name, low, high in zip(names, network.low, network.high, strict=True):
        node = rewrite(name, _clamp(name, float(low), float(high)), node)
    return node


def _clamp(name: str, low: float, high: float) -> Any:
    """An input between two values; formulas of correctionlib take no integers, so those are looked up."""
    if INPUTS.get(name) is not NJETS:
        return formula(f"max({low:.9g},min({high:.9g},x))", name)
    counts = range(math.ceil(low), math.floor(high) + 1)
    return binning(name, [counts[0] - 0.5, *(count + 0.5 for count in counts)], [float(count) for count in counts])


def lwtnn(network: Dense, names: Sequence[str]) -> cs.LWTNN:
    """The node of a network with these inputs."""
    last = len(network.layers) - 1
    layers = [
        {
            "architecture": "dense",
            "activation": "linear" if number == last else SILU,
            "weights": _round(weights.ravel()),
            "bias": _round(biases),
        }
        for number, (weights, biases) in enumerate(network.layers)
    ]
    inputs = [{"name": name, "offset": 0.0, "scale": 1.0} for name in names]
    opaque: Any = {"inputs": inputs, "outputs": ["shift"], "layers": layers}
    return cs.LWTNN(nodetype="lwtnn", opaque=opaque, finalizer=formula("x", "shift"))


def _round(values: Any) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]
