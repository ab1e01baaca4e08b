"""Recoil corrections in ROOT, of CMS's H → ττ group (CMS-HTT/RecoilCorrections), as JSON for ``corrections.published``.

A file has histograms of data and of simulation, such as ``recoilZParal_NJet0Pt0to10_hist_data``. The labels of
``projH``, ``nJetBinsH`` and ``ZPtBinsH`` are the parts of their names, and say what the bins are: the axis of
``ZPtBinsH`` is not used, since some files number its bins. The components are those of U = pTmiss + V(visible) -
V(all), along the boson and across it. Histograms of the latter hold its size, so an event keeps its sign.

* ``QuantileMapHist``: the value below which data have the share of events that simulation has below U. Within a bin
  events are spread evenly; negative bins, of subtracted backgrounds, count as empty. Beyond 95 % of the range of the
  histograms U stays as it is, as in the group's own code.
* ``Rescaling``: mean and RMS of the same histograms. The fitted functions in the file are not read.
* ``Uncertainty``, of the group's second file: H = -(pTmiss + V(visible)) is shifted by a share of its mean, which is
  minus the response times the boson's pT, or stretched about that mean. Below a pT of 1 GeV it stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import uproot
from correctionlib import schemav2 as cs

from ptmiss.corrections.published import RECOIL
from ptmiss.errors import CorrectionError, FileError
from ptmiss.files import AnyPath, as_path, digest, write_atomically
from ptmiss.typing import Array

from .cms import INPUTS, LINE, NAMES, SYSTEMATICS
from .export import binning, category, compress, describe, first_facts, formula, variable

COVERED = 0.95  # of the range of the histograms
LEAST_PT = 1.0  # GeV, of a boson whose recoil is varied
JETS = re.compile(r"NJet(Ge)?(\d+)()")
PT = re.compile(r"Pt(Gt)?(\d+)(?:to(\d+))?")
KEEP = (0.0, 1.0, 0.0)  # a line that changes nothing


class Distribution(NamedTuple):
    """edges: (bins + 1,), GeV; below: (bins + 1,) share of events below each; mean and rms about it, GeV."""

    edges: Array
    below: Array
    mean: float
    rms: float


class Lines(NamedTuple):
    """Straight pieces of a map: edges: (pieces + 1,); numbers: (pieces, 3) value, slope and where it has that value."""

    edges: Array
    numbers: Array


class Bins(NamedTuple):
    """Labels of bins, and the edges of what they hold; the last goes on."""

    labels: list[str]
    edges: list[float]


@dataclass(frozen=True)
class RootFile:
    """The ROOT file ``path``, open."""

    path: Path
    file: Any

    def histogram(self, name: str) -> Any:
        """A histogram by its name; CorrectionError where there is none."""
        if name not in self.file or not self.file.classname_of(name).startswith("TH"):
            raise CorrectionError(f"{self.path} has no histogram {name}, expected corrections of CMS's HTT group")
        return self.file[name]

    def labels(self, name: str) -> list[str]:
        """Labels of the bins of a histogram."""
        labels = [str(label) for label in self.histogram(name).axis().labels() or ()]
        if not all(labels) or not labels:
            raise CorrectionError(f"{self.path}: bins of {name} have no labels")
        return labels

    def bins(self, name: str, form: re.Pattern[str], example: str) -> Bins:
        """The bins that the labels of a histogram say."""
        labels = self.labels(name)
        parsed = [form.fullmatch(label) for label in labels]
        low = [float(match[2]) for match in parsed if match]
        high = [float(match[3] or int(match[2]) + 1) for match in parsed if match]
        if len(low) < len(labels) or low[0] != 0 or high[:-1] != low[1:] or sorted(set(low)) != low:
            raise CorrectionError(f"{self.path}: {name} has bins {', '.join(labels)}; expected such as {example}")
        return Bins(labels, [*low, low[-1] + 1])

    def distribution(self, name: str, sizes: bool) -> Distribution:
        """The distribution in a histogram; sizes: of absolute values, whose mean is that with both signs, 0."""
        content, edges = self.histogram(name).to_numpy()
        content, centres = np.clip(content, 0, None), (edges[1:] + edges[:-1]) / 2
        if not 0 < content.sum() < np.inf or (sizes and edges[0] != 0):
            raise CorrectionError(f"{self.path}: {name} has no events" + ", or does not begin at 0" * sizes)
        share = content / content.sum()
        mean = 0.0 if sizes else float(share @ centres)
        rms = float(np.sqrt(share @ (centres - mean) ** 2))
        return Distribution(edges, np.concatenate([[0.0], np.cumsum(share)]), mean, rms)


def convert(path: AnyPath, output: AnyPath, systematics: AnyPath | None = None, order: str = "any") -> Path:
    """Write the corrections of a ROOT file as correctionlib JSON; systematics: the group's file of their uncertainties.

    order: the key of the corrections. Returns the path of the JSON. FileError where a file is none of ROOT;
    CorrectionError where it has not the group's histograms."""
    corrections, inputs = [], [as_path(path)]
    with _open(path) as file:
        corrections += recoil_corrections(RootFile(inputs[0], file), order)
    if systematics is not None:
        inputs.append(as_path(systematics))
        with _open(systematics) as file:
            corrections.append(uncertainty(RootFile(inputs[1], file), order))
    made = {**first_facts(), "schema": "cms-recoil", "inputs": {str(each): digest(each) for each in inputs}}
    content = cs.CorrectionSet(schema_version=2, description=describe(made), corrections=corrections)
    write_atomically(output, compress(content))
    return as_path(output)


def _open(path: AnyPath) -> Any:
    path = as_path(path)
    if not path.is_file():
        raise FileError(f"no such ROOT file: {path}")
    try:
        return uproot.open(path)
    except Exception as error:  # uproot has many, of what is no ROOT file
        raise FileError(f"{path} is not a ROOT file: {str(error).splitlines()[0]}") from error


def recoil_corrections(file: RootFile, order: str) -> list[cs.Correction]:
    """``QuantileMapHist`` and ``Rescaling`` of one file."""
    jets, pt = file.bins("nJetBinsH", JETS, "NJet0, NJetGe1"), file.bins("ZPtBinsH", PT, "Pt0to10, PtGt10")
    components = {f"U{NAMES[c]}": _component(file, word) for c, word in (("par", "Paral"), ("perp", "Perp"))}

    def correction(method: str, lines: Callable[[Distribution, Distribution, bool], Lines]) -> cs.Correction:
        by_component = {}
        for name, start in components.items():
            sizes = name == "Uperp"
            cells = [[f"{start}_{j}{p}_hist" for p in pt.labels] for j in jets.labels]
            pairs = [[[file.distribution(f"{c}_{s}", sizes) for s in ("data", "mc")] for c in row] for row in cells]
            content = [[_pieces(lines(data, mc, sizes)) for data, mc in row] for row in pairs]
            by_component[name] = _by_cell(jets, pt, content)
        return _correction(method, order, by_component)

    return [correction("QuantileMapHist", quantile_map), correction("Rescaling", rescaling)]


def _component(file: RootFile, word: str) -> str:
    """What the names of the histograms of a component begin with."""
    found = [label for label in file.labels("projH") if word in label]
    if len(found) != 1:
        raise CorrectionError(f"{file.path}: projH has {len(found)} labels with {word}, expected one")
    return found[0]


def quantile_map(data: Distribution, mc: Distribution, sizes: bool) -> Lines:
    """The map from simulation to data, straight between all edges of both."""
    low, high = COVERED * max(data.edges[0], mc.edges[0]), COVERED * min(data.edges[-1], mc.edges[-1])
    met = np.interp(data.below, mc.below, mc.edges)
    knots = np.unique(np.clip(np.concatenate([mc.edges, met, [low, high]]), low, high))
    centre, width = (knots[1:] + knots[:-1]) / 2, np.diff(knots)
    before, after = (_quantiles(centre + side * width, data, mc) for side in (-0.25, 0.25))
    numbers = np.stack([(before + after) / 2, 2 * (after - before) / width, centre], axis=1)
    if sizes:
        knots = np.concatenate([-knots[:0:-1], knots])
        numbers = np.concatenate([numbers[::-1] * [-1, 1, -1], numbers])
    return Lines(np.concatenate([[-np.inf], knots, [np.inf]]), np.concatenate([[KEEP], numbers, [KEEP]]))


def _quantiles(x: Array, data: Distribution, mc: Distribution) -> Array:
    return np.interp(np.interp(x, mc.edges, mc.below), data.below, data.edges)


def rescaling(data: Distribution, mc: Distribution, sizes: bool) -> Lines:
    """The map that gives simulation the mean and the RMS of data."""
    return Lines(np.array([-np.inf, np.inf]), np.array([[data.mean, data.rms / mc.rms, mc.mean]]))


def _pieces(lines: Lines) -> Any:
    refs: list[Any] = [
        cs.FormulaRef(nodetype="formularef", index=0, parameters=[float(f"{number:.9g}") for number in row])
        for row in lines.numbers
    ]
    inner = [float(edge) for edge in lines.edges[1:-1]]
    edges: list[Any] = ["-inf", *inner, "inf"]
    return cs.Binning(nodetype="binning", input="val", edges=edges, content=refs, flow="clamp")


def uncertainty(file: RootFile, order: str) -> cs.Correction:
    """``Uncertainty``: of response and resolution in bins of jets."""
    jets = file.bins("nJetBinsH", JETS, "NJet0, NJetGe1")
    sizes = np.asarray(file.histogram("syst").values())
    if sizes.shape != (2, len(jets.labels)):
        raise CorrectionError(f"{file.path}: syst has {sizes.shape} bins, expected (2, {len(jets.labels)})")
    by_component: dict[str, Any] = {}
    for component in ("Hpara", "Hperp"):
        rows = []
        for label, (response, resolution) in zip(jets.labels, sizes.T, strict=True):
            means = _means(file.histogram(label)) if component == "Hpara" else {LEAST_PT: "0"}
            cells = [_vary(mean, response, resolution) for mean in means.values()]
            rows.append(binning("ptll", [0, *means, max(means) + 1], [formula("x", "val"), *cells]))
        by_component[component] = binning("njet", jets.edges, rows)
    return _correction("Uncertainty", order, by_component, variable("syst", "string", ", ".join(SYSTEMATICS)))


def _means(response: Any) -> dict[float, str]:
    """The mean of Hpara as formulas of ptll (y), each from a pT (GeV) on: straight between centres, level outside."""
    content, edges = response.to_numpy()
    centres = (edges[1:] + edges[:-1]) / 2
    slopes = [0.0, *(np.diff(content) / np.diff(centres)), 0.0]
    starts = zip([LEAST_PT, *centres], [content[0], *content], slopes, [centres[0], *centres], strict=True)
    return {float(start): f"(-y*({at:.9g}+({slope:.9g})*(y-{x:.9g})))" for start, at, slope, x in starts}


def _vary(mean: str, response: float, resolution: float) -> cs.Category:
    """Formulas of val (x) and ptll (y)."""
    return category(
        "syst",
        {
            name: formula(f"x+({up * response:.9g})*{mean}+({width * resolution:.9g})*(x-{mean})", "val", "ptll")
            for name, (up, width) in SYSTEMATICS.items()
        },
    )


def _by_cell(jets: Bins, pt: Bins, content: Sequence[Sequence[Any]]) -> cs.Binning:
    return binning("njet", jets.edges, [binning("ptll", pt.edges, row) for row in content])


def _correction(name: str, order: str, by_variable: dict[str, Any], *more: cs.Variable) -> cs.Correction:
    return cs.Correction(
        name=f"{RECOIL}{name}",
        description=f"{', '.join(by_variable)} in, the same out (GeV)",
        version=1,
        inputs=[*INPUTS[1:], *more],
        output=variable("outval", "real", "varied or corrected value (GeV)"),
        generic_formulas=[formula(LINE, "val")],
        data=category("order", {order: category("var", by_variable)}),
    )
