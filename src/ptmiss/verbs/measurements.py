"""Response and resolution of recoil tables and runs, compared, and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ptmiss import plots, reports, resolutions, results
from ptmiss.files import AnyPath, as_path, check_file, write_atomically
from ptmiss.reports import resolution_report
from ptmiss.resolutions import comparison, jacobian
from ptmiss.selections import selection_of
from ptmiss.table import open_table
from ptmiss.table.columns import Table


@dataclass(frozen=True)
class Resolution:
    """Response and resolution of every estimator.

    table: a row for each estimator, region and bin, with errors; see ptmiss.resolutions.tabulate. Widths in GeV.
    figures: their paths, where they were written, the overview first. left_out: events of a table that count for no
    estimator, since one of them has no finite pTmiss; a run has them in its notes.
    """

    table: pd.DataFrame
    figures: Sequence[Path] = ()
    left_out: int = 0

    def draw(self, directory: AnyPath, formats: Sequence[str] = ("png",), label: str = "") -> list[Path]:
        """Draw its figures into a directory; returns their paths, the overview first."""
        place = as_path(directory)
        place.mkdir(parents=True, exist_ok=True)
        return plots.resolution_figures(self.table, place, formats, label)

    def inclusive(self) -> pd.DataFrame:
        """Response and widths (GeV) of each estimator against qT, with errors."""
        rows = self.table[(self.table["region"] == "inclusive") & (self.table["axis"] == "qt")]
        return rows.drop(columns=["region", "axis"]).reset_index(drop=True)

    def __repr__(self) -> str:
        return resolution_report.text(self.inclusive())

    def _repr_html_(self) -> str:
        return str(self.inclusive().to_html(index=False))


def resolution(
    source: AnyPath | Sequence[AnyPath] | Table,
    output: AnyPath | None = None,
    correction: str = "bin",
    *,
    window: float | None = None,
    formats: Sequence[str] = ("png",),
    label: str = "",
    force: bool = False,
    **options: Any,
) -> Resolution:
    """Response and resolution of a recoil table or of a run.

    Args:
        source: a recoil table, its file, a folder, glob or list of files, or the directory of a run. Files are read
            some rows at a time: memory does not grow with them.
        output: directory for table and figures; None writes nothing.
        correction: what u is divided by: the response of each ``bin`` of qT, that of the ``plateau`` (qT > 150 GeV), or
            ``none``.
        window: also the RMS inside so many GeV, for comparison with code that truncates.
        formats: of the figures.
        label: above the figures.
        force: replace results that are there.
        **options: boson, dataset, backgrounds, rescale; see ptmiss.reports.resolution_report.fill.

    Returns:
        A table with errors, and what draws it.

    Raises:
        FileError: there is no such table or run.
        OptionError: no event has the boson, several datasets and none chosen, or results are there already.
    """
    if output is not None:
        results.check_writable(output, force)
    histograms, left_out = resolution_report.fill(resolution_report.source_of(source), **options)
    table = resolutions.tabulate(histograms, correction, window)
    if output is None:
        return Resolution(table, left_out=left_out)
    name = "a recoil table" if isinstance(source, Table) else str(source)
    details = {"source": name, "correction": correction, "window": window, "left_out": left_out}
    return Resolution(table, resolution_report.write(table, as_path(output), formats, label, **details), left_out)


def compare(
    source: AnyPath | Sequence[AnyPath] | Table,
    against: Sequence[str] | None = None,
    *,
    mt: bool = False,
    by: Sequence[str] = (),
    dataset: str | None = None,
    output: AnyPath | None = None,
    force: bool = False,
    **options: Any,
) -> pd.DataFrame:
    """Estimators of a recoil table against others on the same events, with paired bootstrap errors.

    Args:
        source: a recoil table, its file, or a folder, glob or list of files.
        against: estimators to compare with; None for those of pf and puppi that are there, or the first of the table.
        mt: of W decays, mT in place of the recoil.
        by: axes whose bins are compared too, ``qt``, ``npv``, ``njets``.
        dataset: of a table of several, the one to compare on.
        output: a CSV file to write.
        force: replace a file that is there.
        **options: weighted; without mt also boson, above and below (qT, GeV).

    Returns:
        A row for each estimator and bin: widths in GeV, gains as fractions, and their errors.

    Raises:
        FileError: there is no such table.
        UnknownName: the table lacks an estimator or an axis.
        OptionError: no event has the boson, or the file is there already.
    """
    if output is not None:
        check_file(output, (".csv",), force)
    read = (source if isinstance(source, Table) else open_table(source)).of(dataset)
    against = references(read) if against is None else against
    if mt:
        found = jacobian.of_table(read, list(against), **options)
    else:
        found = comparison.of_table(
            read, list(against), edges=comparison.edges(list(by), selection_of(read.provenance).binning), **options
        )
    if output is not None:
        write_atomically(output, found.to_csv(index=False, float_format="%.6g"))
    return found


def references(table: Table) -> list[str]:
    """The estimators of a table that others are compared with, unless some are named."""
    return [name for name in ("pf", "puppi") if name in table.estimators] or table.estimators[:1]


def report(sources: AnyPath | Sequence[AnyPath], output: AnyPath, *, force: bool = False, **options: Any) -> Path:
    """Write one page of HTML of recoil tables, runs, calibrations, evaluations, explanations and models.

    Args:
        sources: paths, ``NAME=PATH`` or names of models.
        output: the page, a ``.html`` file.
        force: replace a page that is there.
        **options: title, correction, label, published (``QUANTITY=FILE`` each), progress.

    Returns:
        The page's path.

    Raises:
        FileError: a source does not exist.
        OptionError: the page is there already, or is no ``.html`` file.
    """
    path = check_file(output, (".html",), force)
    given = list(sources) if isinstance(sources, Sequence) and not isinstance(sources, str) else [sources]
    return reports.report([str(as_path(source)) for source in given], path, **options)
