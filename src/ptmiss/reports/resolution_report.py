"""What a result looks like: tables and figures in a directory of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import hist

from ptmiss import resolutions, results, table
from ptmiss.errors import OptionError
from ptmiss.plots import resolution_figures
from ptmiss.provenance import provenance

TABLE = "resolution.csv"


def histograms_of(
    source: Path,
    *,
    boson: str = "boson",
    dataset: str | None = None,
    subtract: Mapping[str, float] | None = None,
    rescale: bool = False,
) -> dict[str, hist.Hist]:
    """Moments and spectra of a recoil table, or of one dataset of a run, with backgrounds subtracted.

    rescale: take what a run read for the whole, if it skipped something.
    """
    if not source.is_dir():
        if dataset or subtract:
            raise OptionError("--dataset and --subtract are for the output of a run, not for a recoil table")
        return resolutions.from_table(table.read(source), boson)
    result = results.load(source)
    candidates = [name for name in result.histograms if name not in (subtract or {})]
    if dataset is None and len(candidates) != 1:
        raise OptionError(f"{source} has several datasets, --dataset takes one of {', '.join(candidates)}")
    return resolutions.without_backgrounds(result, dataset or candidates[0], subtract or {}, rescale)


def resolution(
    histograms: Mapping[str, hist.Hist],
    output: Path,
    source: Path,
    correction: str = "plateau",
    *,
    window: float | None = None,
    formats: Sequence[str] = ("png",),
    label: str = "",
) -> list[Path]:
    """Write the table of response and resolution and its figures, whole or not at all; return the figures' paths."""
    tabulated = resolutions.tabulate(histograms, correction, window)
    with results.replacing_directory(output) as temporary:
        tabulated.to_csv(temporary / TABLE, index=False, float_format="%.6g")
        figures = resolution_figures(tabulated, temporary, formats, label)
        made = provenance(source=str(source), correction=correction, window=window)
        (temporary / results.MANIFEST).write_text(results.as_json(made))
    return [output / figure.name for figure in figures]
