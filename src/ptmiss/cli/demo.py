"""A tour on the embedded sample: candidates, estimators, recoil, resolution, calibration, and a page of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from ptmiss import reports, resolutions, results, sample, table
from ptmiss.estimators import make_estimators
from ptmiss.reports import resolution_report
from ptmiss.runs import fileset
from ptmiss.runs.skim import skim

ESTIMATORS = ("pf", "puppi", "deepmet", "deepmet_local")
OF_ELEMENTS = ("pf", "puppi", "deepmet", "mlpf", "mlpf_puppi", "deepmet_latent_mlpf")
CALIBRATED = "deepmet"
BACKGROUND = f"{sample.recoil('ttbar')}=0.1775"  # luminosity of the pseudo-data over that of the top pairs
LABEL = "CMS-like simulation (13 TeV)"


class DemoFiles(NamedTuple):
    """Files of the demo: a recoil table, figures of the resolution (the overview first), and the page of everything."""

    table: Path
    figures: list[Path]
    page: Path


def demo(directory: Path, announce: Callable[[str], None] = lambda _: None) -> DemoFiles:
    """Write the tour into a directory.

    The few embedded events show how a recoil table is made. The embedded tables, made in the same way of many events,
    give the results.

    Args:
        directory: for all files.
        announce: called with the name of each step as it begins.

    Returns:
        The paths of the recoil table, the figures and the page.
    """
    results.claim(directory, ("recoil.parquet", "zmumu_mlpf.parquet", "report.html"))
    recoils = directory / "recoil.parquet"
    announce("a recoil table of the embedded events")
    skim(fileset.parse({"zmumu": [str(sample.events("zmumu"))]}), make_estimators(ESTIMATORS), recoils)
    announce("response and resolution")
    source = sample.recoil("zmumu")
    histograms = resolutions.from_table(table.read(source).only(ESTIMATORS))
    widths, made = resolutions.tabulate(histograms, "bin"), {"source": str(source), "correction": "bin"}
    figures = resolution_report.write(widths, directory / "resolution", label=LABEL, **made)
    announce(f"the calibration of {CALIBRATED}, and its closure")
    calibrate(directory / "calibration")
    announce("the page")
    parts = {
        "Z → μμ": source,
        "Z → μμ, MLPF": some_of("zmumu_mlpf", OF_ELEMENTS, directory),
        "W → μν": sample.recoil("wmunu"),
        "Calibration": directory / "calibration",
    }
    given = [*(f"{name}={path}" for name, path in parts.items()), CALIBRATED]
    return DemoFiles(recoils, figures, reports.report(given, directory / "report.html", label=LABEL))


def some_of(name: str, estimators: Iterable[str], directory: Path) -> Path:
    """An embedded table with some of its estimators, in a directory: a page of all would be large."""
    read, path = table.read(sample.recoil(name)).only(estimators), directory / f"{name}.parquet"
    with table.writing(path) as writer:
        writer.write(read.data)
        writer.close(read.provenance)
    return path


def calibrate(directory: Path) -> None:
    """Calibrate the embedded simulation to the embedded pseudo-data."""
    from ptmiss.calibration import report

    data, mc = (str(sample.recoil(name)) for name in ("data", "zmumu"))
    report.calibrate(data, mc, [BACKGROUND], [CALIBRATED], directory, test=True, label=LABEL)
