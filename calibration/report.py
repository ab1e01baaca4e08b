"""What ``ptmiss calibrate`` leaves: correction files, tables and figures in a directory of their own, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ptmiss import corrections, results
from ptmiss.plots import save
from ptmiss.provenance import provenance

from . import closure, cms, export, figures, sources
from .binning import MIN_CELL_EVENTS
from .calibrate import Calibration, derive
from .sources import Background, Sample

CORRECTIONS = "corrections.json.gz"
PARTS = 2  # of the events in a closure test: one to derive, one to test


def calibrate(
    data: str,
    mc: str,
    backgrounds: Sequence[str],
    estimators: Sequence[str],
    output: Path,
    *,
    minimum: float = MIN_CELL_EVENTS,
    pileup: bool = True,
    test: bool = False,
    era: str = "all",
    order: str = "any",
    label: str = "",
    progress: Callable[[str], None] = lambda _: None,
) -> Path:
    """Derive, export and draw the calibration of these estimators; with a test of the closure. Returns the corrections."""
    recorded, simulated = sources.read(data), sources.read(mc)
    others = [sources.background(given, recorded) for given in backgrounds]

    def derived(data: Sample, mc: Sample, share: float) -> Calibration:
        scaled = [replace(other, factor=share * other.factor) for other in others]
        return derive(data, mc, scaled, estimators, minimum=minimum, pileup=pileup, progress=progress)

    calibration = derived(recorded, simulated, 1.0)
    with results.replacing_directory(output) as temporary:
        write(calibration, temporary, era, order)
        applied = corrections.load(temporary / CORRECTIONS)
        of_tables = recorded.table is not None
        comparison = closure.compare(recorded, simulated, others, applied) if of_tables else None
        figures.draw(calibration, comparison, temporary, label)
        if test:
            half = derived(recorded.part(0, PARTS), simulated.part(0, PARTS), 1 / PARTS)
            unseen = recorded.part(1, PARTS), simulated.part(1, PARTS)
            test_closure(half, *unseen, [replace(o, factor=o.factor / PARTS) for o in others], temporary, label)
        options = {"minimum": minimum, "pileup": pileup, "era": era, "order": order}
        made = provenance(inputs=dict(calibration.made), options=options, sha256=applied.sha256)
        (temporary / results.MANIFEST).write_text(results.as_json(made))
    return output / CORRECTIONS


def write(calibration: Calibration, directory: Path, era: str, order: str) -> None:
    """The correction files and the tables of fits, responses and pile-up weights."""
    (directory / CORRECTIONS).write_bytes(export.compressed(export.correction_set(calibration)))
    for estimator in calibration.estimators:
        layout = cms.correction_set(calibration, estimator, era, order)
        (directory / f"cms_{estimator}.json.gz").write_bytes(export.compressed(layout))
    fits = [row for d in calibration.derivations.values() for row in export.fit_rows(d)]
    _table(directory / "fits.csv", fits)
    _table(directory / "response.csv", response_rows(calibration))
    if calibration.pileup is not None:
        low, high = calibration.pileup.edges[:-1], calibration.pileup.edges[1:]
        _table(directory / "pileup.csv", {"low": low, "high": high, "weight": calibration.pileup.weights})


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
    calibration: Calibration, data: Sample, mc: Sample, backgrounds: Sequence[Background], directory: Path, label: str
) -> None:
    """Tables and figure of a calibration applied to events that it was not derived from."""
    path = directory / "closure.json.gz"
    path.write_bytes(export.compressed(export.correction_set(calibration)))
    comparison = closure.compare(data, mc, backgrounds, corrections.load(path))
    table = closure.tabulate(comparison)
    _table(directory / "closure.csv", table)
    _table(directory / "closure_summary.csv", closure.summary(table))
    save(figures.closure(table, label), directory / "closure", ("png", "svg"))
