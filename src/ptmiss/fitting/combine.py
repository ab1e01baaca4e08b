"""Regions for Combine: ROOT histograms ``region/process`` and ``region/process_systUp``, and a card for each region."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import hist
import numpy as np
import uproot

from ptmiss.fitting.templates import Region, Template
from ptmiss.systematics import DOWN, UP
from ptmiss.typing import Array

FILE = "templates.root"
LEAST_EVENTS = 10  # effective events of a bin from which autoMCStats has one nuisance for all processes
SIDES = {UP: "Up", DOWN: "Down"}


def write(regions: Iterable[Region], directory: Path) -> list[Path]:
    """Write the ROOT file of all regions into a directory; returns its path."""
    path = directory / FILE
    with uproot.recreate(path) as file:
        for region in regions:
            for name, template in histograms(region):
                file[f"{region.name}/{name}"] = as_hist(region.edges, template)
    return [path]


def histograms(region: Region) -> Iterator[tuple[str, Template]]:
    """The names of a region's histograms in the ROOT file, and their templates."""
    yield "data_obs", Template(region.data, np.maximum(region.data, 0.0))
    for process, each in region.processes.items():
        yield process, each.nominal
        for name, varied in each.variations.items():
            for side, root in SIDES.items():
                if name.endswith(side):
                    yield f"{process}_{name.removesuffix(side)}{root}", varied


def as_hist(edges: Array, template: Template) -> hist.Hist:
    """A histogram with errors, which uproot writes as a TH1D; edges: (bins + 1,)."""
    out = hist.Hist(hist.axis.Variable(edges, flow=True, name="x"), storage=hist.storage.Weight())
    out.view()["value"], out.view()["variance"] = template
    return out


def card(region: Region, norms: Mapping[str, Mapping[str, float]]) -> str:
    """The card of a region.

    norms: log-normal uncertainties by name of the nuisance: a factor above 1 for each process.
    """
    order = sorted(region.processes, key=lambda name: not region.processes[name].signal)
    signals = sum(each.signal for each in region.processes.values())
    numbers = [str(number) for number in range(1 - signals, len(order) - signals + 1)]
    rates = [f"{region.processes[name].nominal.values.sum():.6g}" for name in order]
    rows = [["bin", "", *[region.name] * len(order)], ["process", "", *order], ["process", "", *numbers]]
    rows += [["rate", "", *rates]]
    rows += [[name, "lnN", *(f"{of[p]:g}" if p in of else "-" for p in order)] for name, of in norms.items()]
    for name in region.systematics:
        rows.append([name, "shape", *("1" if name in region.processes[p].systematics else "-" for p in order)])
    origin = "data" if region.observed else "the sum of all processes as data"
    head = [
        f"# {region.name}: {region.luminosity:g} fb^-1, {origin}",
        *(f"# {note}" for note in region.notes),
        "imax 1", f"jmax {len(order) - 1}", "kmax *", "---",
        f"shapes * {region.name} {FILE} $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC", "---",
        f"bin {region.name}", f"observation {region.data.sum():.6g}", "---",
    ]  # fmt: skip
    return "\n".join([*head, *align(rows), "---", f"{region.name} autoMCStats {LEAST_EVENTS}", ""])


def align(rows: list[list[str]]) -> list[str]:
    """The lines of a table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
