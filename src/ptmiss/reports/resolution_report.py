"""What a result looks like: tables and figures in a directory of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ptmiss import resolutions, results, tables
from ptmiss.errors import OptionError
from ptmiss.files import AnyPath, as_path
from ptmiss.files.provenance import provenance
from ptmiss.plots import resolution_figures
from ptmiss.resolutions import Filled
from ptmiss.table import open_table
from ptmiss.table.columns import Table

TABLE = "resolution.csv"
HEAD = ("qT, GeV", "response", "par, GeV", "perp, GeV")


def source_of(given: AnyPath | Sequence[AnyPath] | Table) -> Path | Table:
    """The directory of a run, or a recoil table that is read some rows at a time."""
    if isinstance(given, Table):
        return given
    if isinstance(given, Sequence) and not isinstance(given, str):
        return open_table(given)
    path = as_path(given)
    return path if results.is_run(path) else open_table(path)


def fill(
    source: Path | Table,
    *,
    boson: str = "boson",
    dataset: str | None = None,
    backgrounds: Mapping[str, float] | None = None,
    rescale: bool = False,
) -> Filled:
    """Moments and spectra of a recoil table, or of one dataset of it or of a run, with backgrounds subtracted.

    backgrounds: a factor for the weights of each; rescale: take what a run read for the whole, if it skipped something.
    """
    if isinstance(source, Path):
        result = results.load(source)
    elif not backgrounds:
        return resolutions.fill(source.of(dataset), boson)
    else:
        result = resolutions.as_run(source, boson)
    candidates = [name for name in result.histograms if name not in (backgrounds or {})]
    if dataset is None and len(candidates) != 1:
        where = source if isinstance(source, Path) else "the table"
        raise OptionError(f"{where} has several datasets, --dataset takes one of {', '.join(candidates)}")
    return Filled(resolutions.without_backgrounds(result, dataset or candidates[0], backgrounds or {}, rescale))


def write(
    table: pd.DataFrame, output: Path, formats: Sequence[str] = ("png",), label: str = "", **details: Any
) -> list[Path]:
    """Write a table of response and resolution and its figures, whole or not at all; return the figures' paths.

    details: of how it was made, for the manifest.
    """
    with results.replacing_directory(output) as temporary:
        table.to_csv(temporary / TABLE, index=False, float_format="%.6g")
        figures = resolution_figures(table, temporary, formats, label)
        (temporary / results.MANIFEST).write_text(results.as_json(provenance(**details)))
    return [output / figure.name for figure in figures]


def show(rows: pd.DataFrame) -> None:
    """Print response and widths against qT, an estimator after the other."""
    tables.show(HEAD, cells(rows))


def text(rows: pd.DataFrame) -> str:
    """What :func:`show` prints."""
    return tables.text(HEAD, cells(rows))


def cells(rows: pd.DataFrame) -> list[list[str]]:
    """A line of one cell for each estimator, and one for each of its bins with events."""
    lines = []
    for estimator, of_one in rows.groupby("estimator", sort=False):
        lines.append([str(estimator)])
        for row in of_one.to_dict("records"):
            widths = [tables.with_error(row, name, 2) for name in ("rms_par", "rms_perp")]
            numbers = [tables.with_error(row, "response", 3), *widths]
            if any(numbers):
                lines.append([f"{row['low']:g} to {row['high']:g}", *numbers])
    return lines
