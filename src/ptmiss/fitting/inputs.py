"""The verb ``ptmiss templates``: regions for Combine and pyhf, with a figure and a table of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ptmiss import plots, results
from ptmiss.errors import OptionError, UnknownName
from ptmiss.files import AnyPath, as_path
from ptmiss.files.provenance import provenance
from ptmiss.fitting import combine, histfactory
from ptmiss.fitting.spectra import of_table
from ptmiss.fitting.templates import MIN_EVENTS, Region, collect, spectra, sum_of
from ptmiss.histograms import OBSERVABLES, stacks
from ptmiss.results import RunResult
from ptmiss.table import open_table
from ptmiss.typing import Array


def write(
    source: AnyPath | Sequence[AnyPath],
    observable: str,
    output: AnyPath,
    estimators: Sequence[str] = (),
    *,
    channel: str | None = None,
    signal: Sequence[str] = (),
    luminosity: float | None = None,
    norms: Mapping[str, float] | None = None,
    minimum: float = MIN_EVENTS,
    label: str = "",
) -> list[Region]:
    """Write the templates of a run or of a recoil table into a directory, a region for each estimator.

    Args:
        source: directory of a run, or a recoil table: a file, folder or glob, or several of these.
        observable: ``mt``, ``met``, ``met_phi``, ``u_par`` or ``u_perp``.
        output: the directory.
        estimators: names; all of the source if empty.
        channel: of a table, whose events count: ``zmumu``, ``wmunu``, …; None for the only one of its selection.
        signal, luminosity, minimum: see ptmiss.fitting.templates.collect.
        norms: log-normal uncertainties, factors above 1 by ``NAME`` for all processes or by ``NAME:PROCESS``.
        label: text above the figures.

    Returns:
        The regions.
    """
    output = as_path(output)
    name = observable_name(observable)
    result = load(source, name, estimators, channel)
    chosen = list(estimators) or list(spectra(next(iter(result.histograms.values())), name).axes["estimator"])
    regions = [collect(result, name, each, signal=signal, luminosity=luminosity, minimum=minimum) for each in chosen]
    uncertainties = normalisations(norms or {}, regions[0])
    with results.replacing_directory(output) as temporary:
        combine.write(regions, temporary)
        for region in regions:
            (temporary / f"{region.name}.txt").write_text(combine.card(region, uncertainties))
            content = json.dumps(histfactory.workspace(region, uncertainties), indent=1)
            (temporary / f"{region.name}.json").write_text(content + "\n")
            draw(region, temporary, label)
        notes = {region.name: region.notes for region in regions}
        of = {"source": str(source), "source_sha256": result.manifest["sha256"], "channel": channel}
        made = provenance(**of, norms=uncertainties, notes=notes)
        (temporary / results.MANIFEST).write_text(results.as_json(made))
    return regions


def load(
    source: AnyPath | Sequence[AnyPath], observable: str, estimators: Sequence[str], channel: str | None
) -> RunResult:
    """The spectra of a run, or those of a recoil table, of the observable alone."""
    given = list(source) if isinstance(source, Sequence) and not isinstance(source, str) else [source]
    if len(given) != 1 or not results.is_run(as_path(given[0])):
        return of_table(open_table(given), observable, estimators, channel)
    if channel is not None:
        raise OptionError(f"--channel {channel} is of recoil tables: a run has the events of its processor")
    return results.load(given[0])


def observable_name(observable: str) -> str:
    """The name of an observable in lower case: ``mT`` is ``mt``."""
    if observable.lower() not in OBSERVABLES:
        raise UnknownName("observable", observable, OBSERVABLES)
    return observable.lower()


def normalisations(norms: Mapping[str, float], region: Region) -> dict[str, dict[str, float]]:
    """Factors by nuisance and process, from ``NAME`` or ``NAME:PROCESS``."""
    out: dict[str, dict[str, float]] = {}
    for key, factor in norms.items():
        name, _, process = key.partition(":")
        if not factor > 1:
            raise OptionError(f"--lnn {key}={factor:g}: expected a factor above 1, as 1.02 for 2 %")
        if process and process not in region.processes:
            raise UnknownName(f"process of --lnn {key}", process, region.processes)
        out.setdefault(name, {}).update(dict.fromkeys([process] if process else region.processes, factor))
    return out


def draw(region: Region, directory: Path, label: str) -> None:
    """Write a region's table and figure."""
    table = table_of(region)
    table.to_csv(directory / f"{region.name}.csv", index=False)
    drawn = stacks.figure(table, region.title, region.luminosity, label, region.recorded)
    plots.save(drawn, directory / region.name, ["png"])


def table_of(region: Region) -> pd.DataFrame:
    """Events of the data, of each process and of their sum in bins, with errors; ``systematic`` is relative."""
    total = sum_of(each.nominal for each in region.processes.values())
    table = stacks.tabulate(
        region.edges,
        (region.data, np.sqrt(np.maximum(region.data, 0.0))),
        {name: each.nominal.values for name, each in region.processes.items()},
        (total.values, np.sqrt(total.variances)),
        shifts(region),
    )
    return pd.DataFrame({"estimator": region.estimator, "axis": region.observable, **table})


def shifts(region: Region) -> dict[str, Array]:
    """(bins,) how each variation moves the sum of the processes, in events."""
    moved: dict[str, Array] = {}
    for each in region.processes.values():
        for name, varied in each.variations.items():
            moved[name] = moved.get(name, 0.0) + varied.values - each.nominal.values
    return moved
