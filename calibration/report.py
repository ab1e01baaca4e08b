"""The output of ``ptmiss calibrate``: correction files, tables and figures, written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ptmiss import corrections, results
from ptmiss.errors import OptionError, UnknownName
from ptmiss.files import AnyPath, as_path
from ptmiss.files.provenance import provenance
from ptmiss.plots import save
from ptmiss.progress import Callback

from . import closure, cms, export, figures, preparation, sources
from .binning import MIN_CELL_EVENTS
from .calibrate import Calibration, derive
from .panels import Names
from .pileup import PileUp
from .sources import Background, Sample

CORRECTIONS = "corrections.json.gz"
METHODS = GAUSSIANS, FLOW = "gaussians", "flow"
TRAINING = "training"  # where a flow that was stopped has its checkpoints
PARTS = 2  # of the events in a closure test: one to derive, one to test


def calibrate(
    data: str,
    mc: str,
    backgrounds: Sequence[str],
    estimators: Sequence[str],
    output: AnyPath,
    *,
    minimum: float = MIN_CELL_EVENTS,
    pileup: bool = True,
    test: bool = False,
    era: str = "all",
    order: str = "any",
    label: str = "",
    method: str = GAUSSIANS,
    flow: Mapping[str, Any] | None = None,
    workers: int = 1,
    progress: Callback = lambda *_: None,
) -> Path:
    """Derive, export and draw the calibration of these estimators; with a test of the closure. Returns the corrections.

    method: GAUSSIANS or FLOW; flow: options of the latter, see ptmiss.calibration.flow.derivation.Options. workers:
    processes that fit Gaussians and draw.

    Of runs without corrections they are XY lines and pile-up weights alone: what the next runs are to be filled after.
    """
    output = as_path(output)
    recorded, simulated = sources.read(data), sources.read(mc)
    if test and recorded.table is None:
        raise OptionError(f"--closure needs events to test on: {data} is a run, a recoil table keeps them")
    others = [sources.background(given, recorded) for given in backgrounds]
    all_simulated = [simulated, *(other.source for other in others)]
    if preparation.before_xy([recorded, *all_simulated]):
        return prepare(recorded, simulated, estimators, output, pileup, label)
    names = Names(label, recorded.recorded)
    derivation = derivation_of(method, flow or {}, output, workers)

    def calibration_of(data: Sample, mc: Sample, share: float, name: str) -> Calibration:
        scaled = [replace(other, factor=share * other.factor) for other in others]
        asked: dict[str, Any] = {"minimum": minimum, "pileup": pileup, "progress": progress}
        return derivation(data, mc, scaled, estimators, name, asked)

    calibration = calibration_of(recorded, simulated, 1.0, "all")
    with results.replacing_directory(output) as temporary:
        write(calibration, temporary, era, order)
        applied = corrections.load(temporary / CORRECTIONS)
        comparison = closure.compare(recorded, simulated, others, applied) if recorded.table is not None else None
        figures.draw(calibration, comparison, temporary, names, workers)
        if test:
            half = calibration_of(recorded.part(0, PARTS), simulated.part(0, PARTS), 1 / PARTS, "half")
            unseen = recorded.part(1, PARTS), simulated.part(1, PARTS)
            test_closure(half, *unseen, [replace(o, factor=o.factor / PARTS) for o in others], temporary, names)
        options = {"method": method, "minimum": minimum, "pileup": pileup, "era": era, "order": order}
        about = {"options": options, "recorded": recorded.recorded, "sha256": applied.sha256}
        made = provenance(inputs=dict(calibration.made), **about, **export.details(calibration))
        (temporary / results.MANIFEST).write_text(results.as_json(made))
    if method == FLOW:
        shutil.rmtree(output / TRAINING, ignore_errors=True)
    return output / CORRECTIONS


def derivation_of(
    method: str, options: Mapping[str, Any], output: Path, workers: int = 1
) -> Callable[..., Calibration]:
    """What derives a calibration, from its samples and the name of its part of the events."""
    if method == GAUSSIANS:
        return lambda data, mc, others, names, _, asked: derive(data, mc, others, names, workers=workers, **asked)
    if method != FLOW:
        raise UnknownName("--method", method, METHODS)
    from .flow import derivation as flows

    chosen = flows.Options(**options)

    def of_flow(
        data: Sample, mc: Sample, others: Sequence[Background], estimators: Sequence[str], name: str, asked: Any
    ) -> Calibration:
        own = replace(chosen, training=output / TRAINING / name)
        return flows.derive(data, mc, others, estimators, own, **asked)

    return of_flow


def corrections_of(calibration: Calibration) -> bytes:
    """The correction file of a calibration of either method."""
    if type(calibration) is Calibration:
        return export.compress(export.correction_set(calibration))
    from .flow import export as flows

    return export.compress(flows.correction_set(calibration))  # type: ignore[arg-type]


def prepare(
    data: Sample, mc: Sample, estimators: Sequence[str], output: Path, pileup: bool = True, label: str = ""
) -> Path:
    """XY lines and pile-up weights of runs whose recoil was taken before them: the file to run them with again."""
    sources.check(data, mc, estimators)
    found = preparation.derive(data, mc, estimators, pileup)
    made = {"data": data.record, "mc": mc.record, "pileup": pileup}
    content = export.compress(export.preparation_set(found, made))
    with results.replacing_directory(output) as temporary:
        (temporary / CORRECTIONS).write_bytes(content)
        figures.draw_lines(found.shifts, temporary, Names(label, data.recorded))
        _pileup_table(found.pileup, temporary)
        options = {"pileup": pileup}
        sha256 = corrections.load(temporary / CORRECTIONS).sha256
        (temporary / results.MANIFEST).write_text(
            results.as_json(provenance(inputs=made, options=options, sha256=sha256))
        )
    return output / CORRECTIONS


def _pileup_table(pileup: PileUp | None, directory: Path) -> None:
    if pileup is not None:
        table = {"low": pileup.edges[:-1], "high": pileup.edges[1:], "weight": pileup.weights}
        _table(directory / "pileup.csv", table)


def write(calibration: Calibration, directory: Path, era: str, order: str) -> None:
    """The correction files and the tables of fits, responses and pile-up weights."""
    (directory / CORRECTIONS).write_bytes(corrections_of(calibration))
    if type(calibration) is not Calibration:
        from .flow import report as flows

        flows.write(calibration, directory)  # type: ignore[arg-type]
    for estimator in calibration.estimators:
        layout = cms.correction_set(calibration, estimator, era, order)
        (directory / f"cms_{estimator}.json.gz").write_bytes(export.compress(layout))
    for name, rows in (("fits", export.fit_rows), ("laws", export.law_rows)):
        _table(directory / f"{name}.csv", [row for d in calibration.derivations.values() for row in rows(d)])
    _table(directory / "response.csv", response_rows(calibration))
    _pileup_table(calibration.preparation.pileup, directory)


def _table(path: Path, content: Any) -> None:
    pd.DataFrame(content).to_csv(path, index=False, float_format="%.6g")


def response_rows(calibration: Calibration) -> list[dict[str, Any]]:
    """Response of every estimator in data and simulation, in bins of qT and on the plateau."""
    rows = []
    for sample, by_estimator in calibration.responses.items():
        for estimator, response in by_estimator.items():
            for low, high, value, error in response.rows():
                where = {"sample": sample, "estimator": estimator, "qt_low": low, "qt_high": high}
                rows.append({**where, "response": value, "response_error": error})
    return rows


def test_closure(
    calibration: Calibration, data: Sample, mc: Sample, backgrounds: Sequence[Background], directory: Path, names: Names
) -> None:
    """Tables and figure of a calibration applied to events that it was not derived from."""
    path = directory / "closure.json.gz"
    path.write_bytes(corrections_of(calibration))
    comparison = closure.compare(data, mc, backgrounds, corrections.load(path))
    table = closure.tabulate(comparison)
    _table(directory / "closure.csv", table)
    _table(directory / "closure_summary.csv", closure.summary(table))
    save(figures.closure(table, names), directory / "closure", ("png", "svg"))
    if type(calibration) is not Calibration:
        from .flow import report as flows

        flows.write_agreement(calibration, data, mc, backgrounds, directory, names)  # type: ignore[arg-type]
