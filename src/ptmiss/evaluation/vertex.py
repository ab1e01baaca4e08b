"""What the lepton's vertex gains in W → μν: how often the file's vertex is wrong, and pTmiss with either.

``python -m ptmiss.evaluation.vertex wmunu.root --output out/vertex`` reads a simulated file (``PV_isHard`` says
whether its vertex is that of the hard collision) and writes tables and a figure.

Pile-up rarely beats a muon of 25 GeV in sum pT^2, so few vertices are wrong in the simulation. Therefore the events are
also looked at from a vertex that is wrong for certain, the second of the list: ``forced``, and from there brought back
by the lepton: ``recovered``. That is what a file of a chooser that is always wrong would give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import click
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptmiss import candidates as pf_candidates
from ptmiss import events as event_files
from ptmiss import plots, vertex
from ptmiss.candidates import Candidates
from ptmiss.cli.options import Verb, names, pairs
from ptmiss.estimators import Estimator, in_parts, make_estimators
from ptmiss.files import write_atomically
from ptmiss.leptons import matched
from ptmiss.recoil import magnitude
from ptmiss.selections import Selection, good_muons
from ptmiss.simulation.schema import Branch, cut
from ptmiss.truth import generated_boson, generated_met

SOFT = Selection(muon_pt=3)
MUON_PT = 25.0  # GeV, the measurement's cut
BOSON_EDGES = (0, 5, 10, 20, 30, 50, 80, np.inf)
CHUNK, REPLICAS = 1000, 200
STORED_DZ = Branch("dz", "float32", "cm", "as candidates store it", 8)
QUANTITIES_DRAWN = {
    ("natural", "default"): "wrong: default",
    ("natural", "lepton"): "wrong: lepton's",
    ("forced", "default"): "right: default",
    ("forced", "forced"): "made wrong: default",
    ("forced", "recovered"): "made wrong: lepton's",
}
"""Samples and ways of the table of widths in the figure, and their names there."""

Ways = dict[str, Candidates]


def forced(candidates: Candidates, lepton: vertex.Lepton) -> tuple[Candidates, vertex.Vertices]:
    """Candidates from the second vertex of each event that has one, dz rounded as in files; the vertices from there."""
    several = np.diff(lepton.vertices.offsets) > 1
    first = lepton.vertices.offsets[:-1][several]
    z = lepton.vertices.z.copy()
    z[first], z[first + 1] = z[first + 1], z[first]
    there = lepton.vertices._replace(z=z)
    moved = vertex.moved(candidates, lepton.vertices, vertex.Choice(several.astype(int), there.first), lepton.npv)
    return replace(moved, columns={**moved.columns, "dz": cut(moved["dz"], STORED_DZ)}), there


def ways(candidates: Candidates, lepton: vertex.Lepton) -> tuple[Ways, dict[str, NDArray]]:
    """The candidates as stored, from the lepton's vertex, from a wrong one, brought back; and what was chosen."""
    choice = vertex.choose(lepton.vertices, lepton.z, lepton.beam_spot)
    wrong, there = forced(candidates, lepton)
    back = vertex.choose(there, lepton.z, lepton.beam_spot)
    found = {
        "default": candidates,
        "lepton": vertex.moved(candidates, lepton.vertices, choice, lepton.npv),
        "forced": wrong,
        "recovered": vertex.moved(wrong, there, back, lepton.npv),
    }
    chosen = lepton.vertices.offsets[:-1] + vertex.nearest(lepton.z, np.arange(len(lepton.z)), lepton.vertices)
    distance = np.abs(lepton.vertices.z[chosen] - lepton.z)
    return found, {"number": choice.number, "distance": distance, "vertices": np.diff(lepton.vertices.offsets)}


def rows(estimators: Sequence[Estimator], events: Any) -> pd.DataFrame:
    """One row for each event with a single muon: truth, vertices, and pTmiss less the generated one, each way, GeV."""
    muons = good_muons(events.Muon, SOFT)
    single = ak.num(muons) == 1
    events, muons = events[single], muons[single]
    columns = {column for estimator in estimators for column in estimator.columns}
    candidates = pf_candidates.read(events, columns | vertex.needs({"puppiWeight"}) | {"pdgId", "puppiWeight"})
    found, vertices = ways(candidates, vertex.of_events(events, muons))
    selected, _ = matched(candidates, muons)
    truth = generated_met(events)
    out = {
        "boson_pt": magnitude(generated_boson(events)),
        "muon_pt": ak.to_numpy(muons.pt[:, 0]),
        "right": ak.to_numpy(events.PV.isHard),
        **vertices,
    }
    for way, seen in found.items():
        for name, met in in_parts(estimators, events, seen, selected, Counter()).items():
            out |= {f"{way}_{name}_{axis}": (met - truth)[:, i] for i, axis in enumerate("xy")}
    return pd.DataFrame(out)


def chunks(path: str) -> Iterator[Any]:
    """The events of a file, some at a time."""
    file = event_files.inspect(path)
    for start in range(0, file.entries, CHUNK):
        yield file.events(start, min(start + CHUNK, file.entries))


def fractions(groups: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How often the file's vertex is wrong against the generated boson's pT, with binomial errors; all events last."""
    table = []
    for group, frame in groups.items():
        for low, high in [*pairwise(BOSON_EDGES), (0, np.inf)]:
            right = frame["right"][(frame["boson_pt"] >= low) & (frame["boson_pt"] < high)]
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
    """RMS and half 16 to 84 % of both components of pTmiss less the generated one, with bootstrap errors, GeV.

    compared: ways; ``…_vs_default`` is the ratio to the first, its error from the same draws.
    """
    draws = np.random.default_rng(0).integers(0, len(frame), (REPLICAS, len(frame)))
    samples = [np.arange(len(frame)), *draws]
    table = []
    for name in estimators:
        values = {way: frame[[f"{way}_{name}_x", f"{way}_{name}_y"]].to_numpy() for way in compared}
        found = {way: np.array([spread(values[way][sample]) for sample in samples]) for way in compared}
        for way in compared:
            row: dict[str, Any] = {"estimator": name, "way": way, "events": len(frame)}
            for i, kind in enumerate(("rms", "half")):
                ratio = found[way][:, i] / found[compared[0]][:, i]
                row |= {kind: found[way][0, i], f"{kind}_error": found[way][1:, i].std()}
                row |= {f"{kind}_vs_default": ratio[0], f"{kind}_vs_default_error": ratio[1:].std()}
            table.append(row)
    return pd.DataFrame(table)


def spread(residual: NDArray[np.float64]) -> tuple[float, float]:
    """RMS about the mean and half the 16 to 84 % distance of all components."""
    low, high = np.quantile(residual, (0.16, 0.84))
    return float(residual.std()), float(high - low) / 2


def figure(fraction: pd.DataFrame, width: pd.DataFrame) -> Figure:
    """Wrong vertices against the boson's pT; RMS of each estimator from each vertex."""
    with mpl.rc_context(plots.STYLE):
        drawn = Figure(figsize=(20, 8), layout="constrained")
        left, right = drawn.subplots(1, 2)
        draw_fractions(left, fraction[np.isfinite(fraction["high"])])
        draw_widths(right, width)
    return drawn


def draw_fractions(ax: Axes, table: pd.DataFrame) -> None:
    """How often the file's vertex is wrong against the boson's pT, for each group of events."""
    for number, (group, part) in enumerate(table.groupby("group", sort=False)):
        centre, half = (part["low"] + part["high"]) / 2, (part["high"] - part["low"]) / 2
        style: dict[str, Any] = {
            "fmt": plots.MARKERS[number],
            "color": plots.OTHERS[number],
            "label": group,
            "markersize": 9,
        }
        ax.errorbar(centre, part["fraction"], part["fraction_error"], half, **style)
    ax.set_xlabel(r"Generated boson $p_\mathrm{T}$ (GeV)")
    ax.set_ylabel("Default vertex wrong")
    ax.set_ylim(-0.01, 0.5)
    ax.legend(fontsize="x-small")


def draw_widths(ax: Axes, table: pd.DataFrame) -> None:
    """RMS of each estimator from each vertex."""
    estimators = list(table["estimator"].unique())
    for k, ((sample, way), label) in enumerate(QUANTITIES_DRAWN.items()):
        part = table[(table["sample"] == sample) & (table["way"] == way)]
        style: dict[str, Any] = {"fmt": plots.MARKERS[k], "color": plots.OTHERS[k], "label": label, "markersize": 9}
        ax.errorbar(np.arange(len(part)) + 0.14 * (k - 2), part["rms"], part["rms_error"], **style)
    ax.set_xticks(range(len(estimators)), [plots.label_of(name) for name in estimators])
    ax.set_ylabel(r"RMS of $p_\mathrm{T}^\mathrm{miss}$ less generated, each axis (GeV)")
    ax.set_ylim(0, 1.4 * ax.get_ylim()[1])
    ax.legend(fontsize="x-small", ncols=2)


def study(path: str, estimators: Sequence[Estimator]) -> dict[str, pd.DataFrame]:
    """How often the file's vertex is wrong, what the lepton chooses, and widths, by the name of the table."""
    pieces, every = [], []
    for events in chunks(path):
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


@click.command(cls=Verb)
@click.argument("path")
@click.option("--estimators", callback=names, default="pf,puppi,track,deepmet", show_default=True)
@click.option("--weights", callback=pairs, multiple=True, metavar="NAME=FILE")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Directory of tables and figure.")
def main(path: str, estimators: list[str], weights: dict[str, str], output: Path) -> None:
    """Study the lepton's vertex on a file of simulated W → μν."""
    found = study(path, make_estimators(estimators, weights))
    output.mkdir(parents=True, exist_ok=True)
    for name, table in found.items():
        write_atomically(output / f"{name}.csv", table.to_csv(index=False, float_format="%.4g"))
        click.echo(table.to_string())
    plots.save(figure(found["fractions"], found["widths"]), output / "vertex", ["png"])


if __name__ == "__main__":
    main()
