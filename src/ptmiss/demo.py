"""The whole way on the embedded sample: candidates, estimators, recoil table, response and resolution."""

from __future__ import annotations

from pathlib import Path

from ptmiss import fileset, report, resolution, sample, table
from ptmiss.estimators import build
from ptmiss.skim import skim

ESTIMATORS = ("pf", "puppi", "deepmet", "deepmet_response")
LABEL = "CMS-like simulation"


def demo(directory: Path) -> list[Path]:
    """Write a recoil table of the embedded events, and response and resolution of the embedded table.

    The few events show how a table is made; the table of many made the same way has the statistics. Returns the figures,
    the overview first.
    """
    skim(fileset.parse({"zmumu": [str(sample.events("zmumu"))]}), build(ESTIMATORS), directory / "recoil.parquet")
    source = sample.recoil("zmumu")
    histograms = resolution.from_table(table.read(source).only(ESTIMATORS))
    return report.resolution(histograms, directory / "resolution", source, "bin", label=LABEL)
