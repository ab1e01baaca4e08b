"""What the lepton's vertex gains in W → μν: how often the file's vertex is wrong, and pTmiss with either.

``ptmiss evaluate vertex wmunu.root --output out/vertex`` reads a simulated file (``PV_isHard`` says
whether its vertex is that of the hard collision) and writes tables and a figure.

Pile-up rarely beats a muon of 25 GeV in sum pT^2, so few vertices are wrong in the simulation. Therefore the events are
also looked at from a vertex that is wrong for certain, the second of the list: ``forced``, and from there brought back
by the lepton: ``recovered``. That is what a file of a chooser that is always wrong would give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise, product
from typing import Any

import awkward as ak
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptmiss import bootstrap, plots, results, vertex
from ptmiss import candidates as pf_candidates
from ptmiss.bootstrap import Draws
from ptmiss.candidates import Candidates
from ptmiss.estimators import Estimator, evaluate_in_parts
from ptmiss.events import inspect, read_chunks
from ptmiss.files import AnyPath, as_path
from ptmiss.leptons import match
from ptmiss.progress import Callback
from ptmiss.recoil import finite_in_all, magnitude
from ptmiss.resolutions.comparison import gain
from ptmiss.selections import Selection, good_leptons
from ptmiss.simulation.schema import Branch, cut
from ptmiss.truth import generated_boson, generated_met
from ptmiss.typing import Vector

SOFT = Selection.model_validate({"leptons": {"pt": 3}})
MUON_PT = 25.0  # GeV, the measurement's cut
BOSON_EDGES = (0, 5, 10, 20, 30, 50, 80, np.inf)
EVERY = (0, np.inf)
CHUNK = 1000
STORED_DZ = Branch("dz", "float32", "cm", "as candidates store it", 8)
QUANTITIES_DRAWN = {
    ("natural", "default"): "default wrong",
    ("natural", "lepton"): "default wrong, lepton's vertex",
    ("forced", "default"): "default right",
    ("forced", "forced"): "second vertex",
    ("forced", "recovered"): "second vertex, lepton's vertex",
}
"""Samples and ways of the table of widths in the figure, and their names there."""

Ways = dict[str, Candidates]


def force(candidates: Candidates, lepton: vertex.Lepton) -> tuple[Candidates, vertex.Vertices]:
    """Candidates from the second vertex of each event that has one, dz rounded as in files; the vertices from there."""
    several = np.diff(lepton.vertices.offsets) > 1
    first = lepton.vertices.offsets[:-1][several]
    z = lepton.vertices.z.copy()
    z[first], z[first + 1] = z[first + 1], z[first]
    there = lepton.vertices._replace(z=z)
    moved = vertex.move(candidates, lepton.vertices, vertex.Choice(several.astype(int), there.first), lepton.npv)
    return replace(moved, columns={**moved.columns, "dz": cut(moved["dz"], STORED_DZ)}), there


def ways(candidates: Candidates, lepton: vertex.Lepton) -> tuple[Ways, dict[str, NDArray]]:
    """The candidates as stored, from the lepton's vertex, from a wrong one, brought back; (events,) what was chosen."""
    choice = vertex.choose(lepton.vertices, lepton.z, lepton.beam_spot)
    wrong, there = force(candidates, lepton)
    back = vertex.choose(there, lepton.z, lepton.beam_spot)
    found = {
        "default": candidates,
        "lepton": vertex.move(candidates, lepton.vertices, choice, lepton.npv),
        "forced": wrong,
        "recovered": vertex.move(wrong, there, back, lepton.npv),
    }
    chosen = lepton.vertices.offsets[:-1] + vertex.nearest(lepton.z, np.arange(len(lepton.z)), lepton.vertices)
    distance = np.abs(lepton.vertices.z[chosen] - lepton.z)
    return found, {"number": choice.number, "distance": distance, "vertices": np.diff(lepton.vertices.offsets)}


def rows(estimators: Sequence[Estimator], events: Any) -> pd.DataFrame:
    """One row for each event with a single muon: truth, vertices, and pTmiss less the generated one, each way, GeV."""
    muons = good_leptons(events, SOFT)
    single = ak.num(muons) == 1
    events, muons = events[single], muons[single]
    columns = {column for estimator in estimators for column in estimator.columns}
    candidates = pf_candidates.read(events, columns | vertex.needs({"puppiWeight"}) | {"pdgId", "puppiWeight"})
    found, vertices = ways(candidates, vertex.of_events(events, muons))
    selected, _ = match(candidates, muons)
    truth = generated_met(events)
    out = {
        "boson_pt": magnitude(generated_boson(events)),
        "muon_pt": ak.to_numpy(muons.pt[:, 0]),
        "right": ak.to_numpy(events.PV.isHard),
        **vertices,
    }
    for way, seen in found.items():
        for name, met in evaluate_in_parts(estimators, events, seen, selected, Counter()).items():
            out |= {f"{way}_{name}_{axis}": (met - truth)[:, i] for i, axis in enumerate("xy")}
    return pd.DataFrame(out)


def fractions(groups: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How often the file's vertex is wrong against the generated boson's pT, with binomial errors; all events last."""
    table = []
    for group, frame in groups.items():
        for low, high in [*pairwise(BOSON_EDGES), EVERY]:
            inside = (frame["boson_pt"] >= low) & (frame["boson_pt"] < high)
            right = frame["right"][inside | ((low, high) == EVERY)]  # of all events, those without a boson too
            n, wrong = len(right), int((~right).sum())
            p = (wrong + 1) / (n + 2)  # never an error of zero
            error = np.sqrt(p * (1 - p) / (n + 3))
            table.append((group, low, high, n, wrong, wrong / n if n else np.nan, error))
    return pd.DataFrame(table, columns=["group", "low", "high", "events", "wrong", "fraction", "fraction_error"])


def choices(groups: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What the lepton chooses where the file's vertex is right and where it is wrong, and how far the choice is, cm."""
    table = []
    for group, frame in groups.items():
        for right, part in frame.groupby("right"):
            number = part["number"]
            chosen = [int(n) for n in ((number == 0).sum(), (number > 0).sum(), (number == vertex.BEAM_SPOT).sum())]
            table.append((group, right, len(part), *chosen, *part["distance"].quantile([0.5, 0.95])))
    columns = ["group", "default_right", "events", "default", "another", "beam_spot", "distance_median", "distance_95"]
    return pd.DataFrame(table, columns=columns)


def widths(frame: pd.DataFrame, estimators: Sequence[str], compared: Sequence[str]) -> pd.DataFrame:
    """RMS and half width (16 to 84 %) of both components of pTmiss less the generated one, with bootstrap errors, GeV.

    compared: ways; ``…_vs_default`` is the ratio to the first, its error from the same draws. Events in which an
    estimator's pTmiss is not finite count for none: ``left_out``.
    """
    columns = {(name, way): [f"{way}_{name}_{axis}" for axis in "xy"] for name, way in product(estimators, compared)}
    common = frame[finite_in_all(frame[pair].to_numpy(float) for pair in columns.values())]
    table = []
    for name in estimators:
        residuals = {way: common[columns[name, way]].to_numpy(float) for way in compared}
        found = bootstrap.replicate(partial(spreads, residuals), len(common))
        for way in compared:
            row: dict[str, Any] = {"estimator": name, "way": way, "events": len(common)}
            for kind, values in found[way].items():
                row |= bootstrap.with_error(kind, values)
                row |= bootstrap.with_error(f"{kind}_vs_default", 1 - gain(values, found[compared[0]][kind]))
            table.append(row | {"left_out": len(frame) - len(common)})
    return pd.DataFrame(table)


def spreads(residuals: Mapping[str, Vector], drawn: Draws) -> dict[str, dict[str, NDArray[np.float64]]]:
    """RMS about the mean and half of the central 68 % of all components, GeV, of each way in each replica."""
    found = {}
    for way, residual in residuals.items():
        values, event = residual.ravel(), np.repeat(np.arange(len(residual)), 2)
        found[way] = {
            "rms": bootstrap.rms(values, drawn[:, event]),
            "half_width": bootstrap.half_width(values, drawn, event),
        }
    return found


def figure(fraction: pd.DataFrame, width: pd.DataFrame, label: str = "") -> Figure:
    """Wrong vertices against the boson's pT; RMS of each estimator from each vertex."""
    with mpl.rc_context(plots.STYLE):
        drawn = Figure(figsize=(20, 8), layout="constrained")
        left, right = drawn.subplots(1, 2)
        draw_fractions(left, fraction[np.isfinite(fraction["high"])])
        draw_widths(right, width)
        plots.mark(left, label)
    return drawn


def draw_fractions(ax: Axes, table: pd.DataFrame) -> None:
    """How often the file's vertex is wrong against the boson's pT, for each group of events."""
    for number, (group, part) in enumerate(table.groupby("group", sort=False)):
        centre, half = (part["low"] + part["high"]) / 2, (part["high"] - part["low"]) / 2
        style: dict[str, Any] = {
            "fmt": plots.OTHER_MARKERS[number],
            "color": plots.OTHERS[number],
            "label": group,
            "markersize": 9,
        }
        ax.errorbar(centre, part["fraction"], part["fraction_error"], half, **style)
    ax.set_xlabel(r"Generated boson $p_\mathrm{T}$ (GeV)")
    ax.set_ylabel("Fraction with a wrong default vertex")
    ax.set_ylim(-0.01, 0.5)
    ax.legend(fontsize="x-small")


def draw_widths(ax: Axes, table: pd.DataFrame) -> None:
    """RMS of each estimator from each vertex."""
    estimators = list(table["estimator"].unique())
    for k, ((sample, way), label) in enumerate(QUANTITIES_DRAWN.items()):
        part = table[(table["sample"] == sample) & (table["way"] == way)]
        style: dict[str, Any] = {
            "fmt": plots.OTHER_MARKERS[k],
            "color": plots.OTHERS[k],
            "label": label,
            "markersize": 9,
        }
        ax.errorbar(part["estimator"].map(estimators.index) + 0.14 * (k - 2), part["rms"], part["rms_error"], **style)
    ax.set_xticks(range(len(estimators)), [plots.label_of(name) for name in estimators])
    ax.set_ylabel(r"RMS of $p_\mathrm{T}^\mathrm{miss}$ about truth, each axis (GeV)", fontsize="small")
    ax.tick_params(axis="x", which="minor", bottom=False, top=False)
    ax.set_ylim(0, 1.5 * ax.get_ylim()[1])
    ax.legend(fontsize="x-small", ncols=1)


def study(path: str, estimators: Sequence[Estimator], progress: Callback = lambda *_: None) -> dict[str, pd.DataFrame]:
    """How often the file's vertex is wrong, what the lepton chooses, and widths, by the name of the table."""
    pieces, every = [], []
    for events in read_chunks([inspect(path)], CHUNK, None, progress, "evaluating"):
        every.append(pd.DataFrame({"boson_pt": magnitude(generated_boson(events)), "right": events.PV.isHard}))
        pieces.append(rows(estimators, events))
    frame = pd.concat(pieces, ignore_index=True)
    hard = frame["muon_pt"] > MUON_PT
    muon = {"one muon, 3 to 25 GeV": frame[~hard], "one muon above 25 GeV": frame[hard]}
    wanted = [estimator.name for estimator in estimators]
    several = frame["vertices"] > 1
    parts = {
        "natural": widths(frame[~frame["right"]], wanted, ("default", "lepton")),
        "natural, right": widths(frame[frame["right"]], wanted, ("default", "lepton")),
        "forced": widths(frame[frame["right"] & hard & several], wanted, ("default", "forced", "recovered")),
    }
    width = pd.concat([part.assign(sample=sample) for sample, part in parts.items()], ignore_index=True)
    return {"fractions": fractions({"all W": pd.concat(every)} | muon), "choices": choices(muon), "widths": width}


def write(
    path: AnyPath,
    output: AnyPath,
    estimators: Sequence[Estimator],
    progress: Callback = lambda *_: None,
    label: str = "",
) -> dict[str, pd.DataFrame]:
    """The tables of :func:`study`, written into a directory with their figure."""
    tables = study(str(as_path(path)), estimators, progress)
    with results.replacing_directory(as_path(output)) as temporary:
        for name, table in tables.items():
            table.to_csv(temporary / f"{name}.csv", index=False, float_format="%.4g")
        plots.save(figure(tables["fractions"], tables["widths"], label), temporary / "vertex", ["png"])
    return tables
