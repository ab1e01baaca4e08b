"""The files, tables and figures of a flow beside those of any calibration."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ptmiss.calibration.panels import Names
from ptmiss.calibration.sources import Background, Sample
from ptmiss.models import training_plot
from ptmiss.networks.registry import CARD, WEIGHTS

from . import agreement, samples
from .derivation import FlowCalibration

PLACE = "flow"  # directory of the flow itself
LIMITS = (
    "It maps simulated signal to the data that it was derived from, in the range of the context that these have. It "
    "knows nothing of other samples. Each component is mapped with those before it in the list."
)


def write(calibration: FlowCalibration, directory: Path) -> None:
    """The flow with its card, the log of its training, and how well the networks in the correction file learnt it."""
    from ptmiss.models.recoilflow import weights

    place = directory / PLACE
    place.mkdir()
    made = {"inputs": dict(calibration.made), "recipe": dict(calibration.recipe)}
    digest = weights.save(calibration.flow, place / WEIGHTS, made)
    (place / CARD).write_text(card(calibration, digest))
    if find_spec("onnx"):
        from ptmiss.models.recoilflow.export import flow_graph, graph, write_onnx

        joint = calibration.joint
        write_onnx(graph(joint.nominal, joint.features, joint.context), place / "map.onnx")
        write_onnx(flow_graph(calibration.flow), place / "flow.onnx")
    calibration.log.to_csv(place / "log.csv", index=False)
    training_plot.draw(calibration.log, place / "training", {"data_loss": "Loss of data"})
    calibration.accuracy.to_csv(directory / "flow_accuracy.csv", index=False, float_format="%.5g")


def write_agreement(
    calibration: FlowCalibration,
    data: Sample,
    mc: Sample,
    backgrounds: Sequence[Background],
    directory: Path,
    names: Names,
) -> None:
    """How alike simulation and data of these samples are, before and after the map: two tables and a figure."""
    given = data, mc, backgrounds, calibration.preparation, calibration.joint.estimators, calibration.joint.context
    agreement.write(agreement.measure(calibration, samples.events_of(*given)), directory, names)


def card(calibration: FlowCalibration, digest: str) -> str:
    """What the flow is, how it was made, and what it is not for."""
    shape, best = calibration.flow.shape, calibration.log.sort_values("loss").iloc[0]
    parameters = sum(p.numel() for p in calibration.flow.network.parameters())
    lines = [
        "# A flow of the recoil",
        "",
        f"* components: {', '.join(shape.features)}",
        f"* context: {', '.join(shape.context)}, and whether an event is data",
        f"* layers {list(shape.hidden)}, {shape.bins} bins, {shape.splines} splines, {parameters} parameters",
        f"* SHA-256 of its weights: `{digest}`",
        f"* recipe: `{dict(calibration.recipe)}`",
        f"* best of {len(calibration.log)} epochs: {best['epoch']:g}, loss {best['loss']:.5g}",
        f"* derived from: `{dict(calibration.made)}`",
        "",
        "## Limits",
        "",
        LIMITS,
        "",
    ]
    return "\n".join(lines)
