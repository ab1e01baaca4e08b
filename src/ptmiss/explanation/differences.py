"""Two models on the same events: how far apart weights and pTmiss are, and which one has the sharper recoil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ptmiss import bootstrap, results, sample, tables
from ptmiss.errors import OptionError
from ptmiss.estimators import NetworkEstimator
from ptmiss.explanation import events, figures, importance, parts
from ptmiss.explanation.dependence import SORTS
from ptmiss.explanation.events import Sample
from ptmiss.files import AnyPath, as_path
from ptmiss.files.provenance import provenance
from ptmiss.histograms import COMPONENTS
from ptmiss.networks.registry import load_model, weights_file
from ptmiss.plots import save
from ptmiss.progress import Callback
from ptmiss.recoil import Recoil, magnitude
from ptmiss.selections import Selection, load_selection
from ptmiss.typing import Array

QUANTILES = {"median": 0.5, "q68": 0.68, "q95": 0.95}
ALL = "all"


@dataclass(frozen=True)
class Differences:
    """Tables of two models, second less first.

    apart: by sort of candidates, of weights (``mean``, ``rms``, quantiles of the size); the last row of pTmiss, GeV.
    resolution: response and response-corrected widths of both (GeV), and the ratio of the second to the first, with
    paired errors. weights, met: histograms of the differences, for the figure.
    """

    names: tuple[str, str]
    apart: pd.DataFrame
    resolution: pd.DataFrame
    weights: pd.DataFrame
    met: pd.DataFrame


def diff(
    first: AnyPath,
    second: AnyPath,
    files: Sequence[str] = (),
    output: AnyPath | None = None,
    *,
    selection: Selection | AnyPath = "default",
    max_events: int | None = None,
    replicas: int = bootstrap.REPLICAS,
    label: str = "",
    formats: Sequence[str] = ("png",),
    progress: Callback | None = None,
) -> Differences:
    """Two models, by name, weights file, folder or URL, on events with a boson; the embedded Z → μμ without files.

    output: directory of tables and a figure. OptionError for two models that are the same.
    """
    pair = estimators_of(first, second)
    paths = list(files) or [str(sample.events("zmumu"))]
    columns = {column for each in pair for column in each.columns}
    read = events.read(paths, columns, load_selection(selection), max_events, progress)
    found = compare(pair, read, replicas)
    if output is not None:
        made = provenance(files=paths, events=len(read), models=[each.manifest_entry() for each in pair])
        write(found, output, made, label, formats)
    return found


def estimators_of(first: AnyPath, second: AnyPath) -> tuple[NetworkEstimator, NetworkEstimator]:
    """Both as estimators, named by their models; two of one name also by the folder that each is in."""
    paths = [weights_file(model) for model in (first, second)]
    if paths[0].resolve() == paths[1].resolve():
        raise OptionError(f"{first} and {second} are the same weights file: {paths[0]}")
    names = [load_model(path).name for path in paths]
    if names[0] == names[1]:
        names = [f"{name} ({given})" for name, given in zip(names, (first, second), strict=True)]
    one, other = (NetworkEstimator(name, str(path)) for name, path in zip(names, paths, strict=True))
    return one, other


def compare(pair: tuple[NetworkEstimator, NetworkEstimator], read: Sample, replicas: int) -> Differences:
    """All tables of two networks on some events."""
    terms = [parts.terms(each, read.candidates) for each in pair]
    change = terms[1][2] - terms[0][2]
    met = [sum_of(term, constant, read) for term, constant, _ in terms]
    sorts = {name: change[chosen(read.candidates)] for name, chosen in SORTS.items()} | {ALL: change}
    rows = [{"of": "weight", "sort": name, **spread(values)} for name, values in sorts.items() if len(values)]
    rows.append({"of": "pTmiss, GeV", "sort": "", **spread(magnitude(met[1] - met[0]))})
    recoils = {each.name: recoil_of(vector, read) for each, vector in zip(pair, met, strict=True)}
    names = (pair[0].name, pair[1].name)
    histograms = pd.concat([histogram(values, sort) for sort, values in sorts.items()], ignore_index=True)
    moved = pd.concat([histogram((met[1] - met[0])[:, i], axis) for i, axis in enumerate("xy")], ignore_index=True)
    return Differences(names, pd.DataFrame(rows), resolution(recoils, names, read.weight, replicas), histograms, moved)


def sum_of(term: Array, constant: Array, read: Sample) -> Array:
    """(events, 2) pTmiss without the boson's candidates, GeV."""
    sums = [np.bincount(read.event, term[:, i], len(read)) for i in range(2)]
    return np.stack(sums, axis=1) + constant


def recoil_of(met: Array, read: Sample) -> Recoil:
    """The recoil of a pTmiss without the boson's candidates."""
    along, over = np.einsum("ekj,ej->ke", read.axes, -(met + read.rest))
    return Recoil(along, over, read.qt)


def spread(values: Array) -> dict[str, float]:
    """Mean and RMS of differences, and quantiles of their size."""
    sizes = np.quantile(np.abs(values), list(QUANTILES.values()))
    quantiles = dict(zip(QUANTILES, map(float, sizes), strict=True))
    return {"mean": float(values.mean()), "rms": float(np.sqrt(np.mean(values**2))), **quantiles}


def histogram(values: Array, sort: str) -> pd.DataFrame:
    """Shares of differences in 50 bins; the outermost hold what lies beyond, one per cent in all."""
    reach = float(np.quantile(np.abs(values), 0.99)) or 1e-6 if len(values) else 1e-6
    edges = np.linspace(-reach, reach, 51)
    counts = np.bincount(np.clip(np.searchsorted(edges, values, side="right") - 1, 0, 49), minlength=50)
    share = counts / max(len(values), 1)
    return pd.DataFrame({"sort": sort, "low": edges[:-1], "high": edges[1:], "share": share})


def resolution(recoils: Mapping[str, Recoil], names: tuple[str, str], weight: Array, replicas: int) -> pd.DataFrame:
    """Response and widths of both, and of the second over the first, with paired bootstrap errors."""
    widths = bootstrap.replicate(partial(importance.measure, recoils, weight), len(weight), replicas)
    ratio = {quantity: widths[names[1]][quantity] / widths[names[0]][quantity] for quantity in widths[names[0]]}
    rows = []
    for name, numbers in {**{name: widths[name] for name in names}, "ratio": ratio}.items():
        row: dict[str, Any] = {"model": name}
        for quantity, values in numbers.items():
            row |= bootstrap.with_error(quantity, values)
        rows.append(row)
    return pd.DataFrame(rows)


def write(found: Differences, output: AnyPath, made: Mapping[str, Any], label: str, formats: Sequence[str]) -> None:
    """Tables and the figure, whole or not at all."""
    with results.replacing_directory(as_path(output)) as temporary:
        for name in ("apart", "resolution", "weights", "met"):
            getattr(found, name).to_csv(temporary / f"{name}.csv", index=False, float_format="%.6g")
        save(figures.of_differences(found.weights, found.met, found.names, label), temporary / "differences", formats)
        (temporary / results.MANIFEST).write_text(results.as_json(made))


def show(found: Differences) -> None:
    """Print how far apart the models are, and the resolution of both."""
    lines = [
        [f"{row['of']} {row['sort']}".strip(), *(f"{row[key]:.3f}" for key in ("mean", "rms", *QUANTILES))]
        for row in found.apart.to_dict("records")
    ]
    tables.show([f"{found.names[1]} less {found.names[0]}", "mean", "RMS", "median", "68 %", "95 %"], lines)
    widths = [
        [row["model"], *(tables.with_error(row, key) for key in ("response", *COMPONENTS))]
        for row in found.resolution.to_dict("records")
    ]
    tables.show(["", "response", "RMS par, GeV", "RMS perp, GeV"], widths)
