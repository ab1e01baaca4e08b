"""Published tables beside ours: spectra of pTmiss and mT, response and resolutions.

A table is CSV with columns ``low`` and ``high``, and of each estimator its numbers and, ending in ``_err`` or
``_error``, their errors; lines that begin with # are comments. Or it is a table of HEPData, YAML. Estimators are found
by their names, ``PF`` or ``pf``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ptmiss import plots
from ptmiss.errors import ColumnError, FileError, OptionError, UnknownName
from ptmiss.reports.exhibit import Exhibit, Section
from ptmiss.resolutions import jacobian
from ptmiss.typing import Array

SPECTRA = ("met", "mt")
QUANTITIES = (*SPECTRA, *plots.QUANTITIES)
ERRORS = ("_err", "_error")
TITLES = {"met": "pTmiss", "mt": "mT"}
GROUP = "Beside published numbers"


class Published(NamedTuple):
    """A published table. rows: estimator, low, high, value and error of each bin; unit of a spectrum: any."""

    quantity: str
    path: Path
    rows: pd.DataFrame


def read(given: str) -> Published:
    """A published table of ``QUANTITY=FILE``; OptionError, UnknownName or FileError if it is none."""
    quantity, sign, path = given.partition("=")
    if not sign:
        raise OptionError(f"--published {given}: expected QUANTITY=FILE, a quantity of {', '.join(QUANTITIES)}")
    if quantity not in QUANTITIES:
        raise UnknownName("quantity of --published", quantity, QUANTITIES)
    if not Path(path).is_file():
        raise FileError(f"no such published table: {path}")
    try:
        wide = of_hepdata(yaml.safe_load(Path(path).read_text())) if is_yaml(path) else pd.read_csv(path, comment="#")
        return Published(quantity, Path(path), tidy(wide))
    except (ValueError, KeyError, TypeError, IndexError, yaml.YAMLError) as error:
        raise FileError(f"{path} is no published table: {str(error).splitlines()[0]}") from error
    except ColumnError as error:
        raise ColumnError(f"{path}: {error}") from error


def is_yaml(path: str) -> bool:
    """Whether a name is that of HEPData's YAML."""
    return Path(path).suffix in (".yaml", ".yml")


def tidy(wide: pd.DataFrame) -> pd.DataFrame:
    """Rows of each estimator of a table that has columns of each."""
    if missing := [name for name in ("low", "high") if name not in wide]:
        raise ColumnError(f"no column {', '.join(missing)}; there: {', '.join(map(str, wide))}")
    names = [c for c in map(str, wide) if c not in ("low", "high") and not c.endswith(ERRORS)]
    bins = wide[["low", "high"]].astype(float)
    each = []
    for name in names:
        error = next((wide[name + end].to_numpy(float) for end in ERRORS if name + end in wide), np.zeros(len(wide)))
        each.append(bins.assign(estimator=name.lower(), value=wide[name].astype(float), error=error))
    return pd.concat(each, ignore_index=True)


def of_hepdata(document: Mapping[str, Any]) -> pd.DataFrame:
    """The columns of a table of HEPData; all its symmetric errors in quadrature."""
    bins = document["independent_variables"][0]["values"]
    columns = {end: [float(each[end]) for each in bins] for end in ("low", "high")}
    for variable in document["dependent_variables"]:
        name, values = variable["header"]["name"], variable["values"]
        columns[name] = [float(each["value"]) for each in values]
        columns[f"{name}_error"] = [error_of(each.get("errors", ())) for each in values]
    return pd.DataFrame(columns)


def error_of(errors: Iterable[Mapping[str, Any]]) -> float:
    """The quadratic sum of errors; of an asymmetric one the larger side."""
    sides = [each.get("asymerror", {"plus": each.get("symerror", 0)}).values() for each in errors]
    return float(np.sqrt(sum(max(abs(float(side)) for side in both) ** 2 for both in sides)))


def beside(section: Section, tables: Iterable[Published]) -> Section:
    """A section with published numbers beside its own, where it has the quantity of the same estimators."""
    found = [exhibit for table in tables for exhibit in exhibits(section, table)]
    return replace(section, exhibits=[*section.exhibits, *found]) if found else section


def exhibits(section: Section, table: Published) -> Iterator[Exhibit]:
    """What a section has of the quantity, with the published numbers."""
    for own in [each.table for each in section.exhibits]:
        if table.quantity in SPECTRA and {"axis", "events"} <= set(own) and set(own["axis"]) == {table.quantity}:
            yield of_spectrum(own, table)
        elif table.quantity not in SPECTRA and {"axis", table.quantity} <= set(own) and set(own["axis"]) == {"qt"}:
            yield of_quantity(own, table)
            return
    if table.quantity == "mt":
        yield from of_half_widths(section, table)


def of_spectrum(own: pd.DataFrame, table: Published) -> Exhibit:
    """Shapes of a spectrum, per GeV, of our bins within the published range; both have unit area there."""
    rows = []
    for name in common(own, table):
        theirs = table.rows[table.rows["estimator"] == name]
        within = (own["low"] >= theirs["low"].min()) & (own["high"] <= theirs["high"].max())
        ours = own[(own["estimator"] == name) & within]
        width, total = ours["high"] - ours["low"], ours["events"].sum()
        value, error = rebin(theirs, ours)
        made = ours[["estimator", "axis", "low", "high"]].assign(
            density=ours["events"] / total / width, density_error=ours["events_error"] / total / width,
            published=value / value.sum() / width, published_error=error / value.sum() / width,
        )  # fmt: skip
        rows.append(made)
    title = f"{TITLES[table.quantity]}, share of events / GeV"
    return exhibit(pd.concat(rows, ignore_index=True), "density", table, title)


def rebin(theirs: pd.DataFrame, ours: pd.DataFrame) -> tuple[Array, Array]:
    """Published events and their errors in our bins: their sums up to an edge are interpolated."""
    edges = np.append(theirs["low"], theirs["high"].iloc[-1])
    sums = [np.append(0, np.cumsum(column)) for column in (theirs["value"], theirs["error"] ** 2)]
    value, square = (np.interp(ours["high"], edges, s) - np.interp(ours["low"], edges, s) for s in sums)
    return value, np.sqrt(square)


def of_quantity(own: pd.DataFrame, table: Published) -> Exhibit:
    """A quantity against qT, with the published numbers in bins of their own."""
    names, quantity = common(own, table), table.quantity
    ours = own[own["estimator"].isin(names)][["estimator", "axis", "low", "high", quantity, f"{quantity}_error"]]
    theirs = table.rows[table.rows["estimator"].isin(names)].assign(axis="qt")
    theirs = theirs.rename(columns={"value": "published", "error": "published_error"})
    return exhibit(pd.concat([ours, theirs], ignore_index=True), quantity, table, plots.PLAIN[quantity])


def common(own: pd.DataFrame, table: Published) -> list[str]:
    """Estimators that both have; OptionError without any."""
    there = list(dict.fromkeys(own["estimator"]))
    names = [name for name in there if name in set(table.rows["estimator"])]
    if not names:
        theirs = ", ".join(dict.fromkeys(table.rows["estimator"]))
        raise OptionError(f"{table.path} has {theirs}, and none of the estimators {', '.join(there)}")
    return names


def of_half_widths(section: Section, table: Published) -> Iterator[Exhibit]:
    """The right half width of mT, ours and that of the published spectrum, measured alike."""
    theirs = half_widths(table)
    for own in [each.table for each in section.exhibits if "half_width" in each.table]:
        kept = own[own["estimator"].isin(theirs)]
        columns = [c for c in map(str, kept) if c == "estimator" or (c.startswith("half_width") and "_vs_" not in c)]
        made = kept[columns].assign(published=[theirs[name] for name in kept["estimator"]])
        yield Exhibit("Right half width of mT beside the published, GeV", made, group=GROUP)


def half_widths(table: Published) -> dict[str, float]:
    """The right half width of a published spectrum of mT, GeV, by estimator."""
    found = {}
    for name, rows in table.rows.groupby("estimator"):
        centre = (rows["low"] + rows["high"]).to_numpy() / 2
        counts = np.histogram(centre, jacobian.FINE_BINS, weights=rows["value"].to_numpy())[0]
        found[str(name)] = jacobian.right_half_width(counts)
    return found


def exhibit(rows: pd.DataFrame, column: str, table: Published, title: str) -> Exhibit:
    """Rows with columns of ours and ``published``, drawn."""
    caption = f"Points are ours; lines are published numbers, of {table.path.name}."
    return Exhibit(f"{title}, beside published", rows, draw(rows, column, title), caption, GROUP)


def draw(rows: pd.DataFrame, column: str, title: str) -> Figure:
    """Our points and published lines of every estimator."""
    names, axis = list(rows["estimator"].unique()), rows["axis"].iloc[0]
    with mpl.rc_context(plots.STYLE):
        figure = Figure(figsize=(10, 8), layout="constrained")
        ax = figure.subplots()
        for name in names:
            one, style = rows[rows["estimator"] == name], {"color": plots.colour_of(name, names)}
            line(ax, one, style)
            ours = one[one[column].notna()]
            points: dict[str, Any] = {"fmt": "o", "ms": 5, "label": plots.label_of(name), **style}
            ax.errorbar((ours["low"] + ours["high"]) / 2, ours[column], ours[f"{column}_error"], **points)
        ax.plot([], [], color="0.3", label="published")
        ax.set(xlabel=plots.AXES.get(axis, f"{TITLES.get(axis)} (GeV)"), ylabel=title)
        ax.set_ylim(0, 1.25 * ax.get_ylim()[1])
        ax.legend(fontsize="x-small", ncols=2)
    return figure


def line(ax: Axes, rows: pd.DataFrame, style: Mapping[str, Any]) -> None:
    """Published numbers as steps with a band of their errors."""
    theirs = rows[rows["published"].notna()]
    edges = np.append(theirs["low"], theirs["high"].iloc[-1])
    value, error = theirs["published"].to_numpy(), theirs["published_error"].to_numpy()
    ax.stairs(value, edges, baseline=None, lw=1.5, **style)
    ax.stairs(value + error, edges, baseline=value - error, fill=True, alpha=0.2, **style)
