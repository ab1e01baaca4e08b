"""The whole way on the embedded sample: candidates, estimators, recoil, resolution, calibration, and a page of it all."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from ptmiss import reports, resolutions, sample, table
from ptmiss.estimators import make_estimators
from ptmiss.reports import resolution_report
from ptmiss.runs import fileset
from ptmiss.runs.skim import skim

ESTIMATORS = ("pf", "puppi", "deepmet", "deepmet_response")
CALIBRATED = "deepmet"
BACKGROUND = f"{sample.recoil('ttbar')}=0.1775"  # simulated luminosity of the data over that of the top pairs
MIN_CELL_EVENTS = 4000  # effective events of a cell: a few cells, so that it takes less than a minute
LABEL = "CMS-like simulation"


class Shown(NamedTuple):
    """What the demo leaves: a recoil table, figures of the resolution, the overview first, and the page of everything."""

    table: Path
    figures: list[Path]
    page: Path


def demo(directory: Path, told: Callable[[str], None] = lambda _: None) -> Shown:
    """Write everything into a directory; told: of each step, as it begins.

    The few embedded events show how a recoil table is made; the embedded tables of many, made the same way, have the
    statistics.
    """
    recoils = directory / "recoil.parquet"
    told("a recoil table of the embedded events")
    skim(fileset.parse({"zmumu": [str(sample.events("zmumu"))]}), make_estimators(ESTIMATORS), recoils)
    told("response and resolution")
    source = sample.recoil("zmumu")
    histograms = resolutions.from_table(table.read(source).only(ESTIMATORS))
    figures = resolution_report.resolution(histograms, directory / "resolution", source, "bin", label=LABEL)
    told(f"the calibration of {CALIBRATED}, and its closure")
    calibrate(directory / "calibration")
    told("the page")
    parts = {
        "Z → μμ": source,
        "Z → μμ, MLPF": sample.recoil("zmumu_mlpf"),
        "W → μν": sample.recoil("wmunu"),
        "Calibration": directory / "calibration",
    }
    given = [*(f"{name}={path}" for name, path in parts.items()), CALIBRATED]
    return Shown(recoils, figures, reports.report(given, directory / "report.html", label=LABEL))


def calibrate(directory: Path) -> None:
    """The embedded simulation calibrated to the embedded pseudo-data."""
    data, mc = (str(sample.recoil(name)) for name in ("data", "zmumu"))
    derive = import_module("ptmiss.calibration.report").calibrate
    derive(data, mc, [BACKGROUND], [CALIBRATED], directory, minimum=MIN_CELL_EVENTS, test=True, label=LABEL)
