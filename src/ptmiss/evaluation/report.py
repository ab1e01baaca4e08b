"""An evaluation as a directory: tables, figures, event displays, and how they were made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ptmiss import bootstrap, estimators, results, tables
from ptmiss.errors import OptionError
from ptmiss.estimators import NetworkEstimator
from ptmiss.estimators.reconstruction import ELEMENTS, MIN_PT, MLPF, TARGETS, Reconstruction, build, network
from ptmiss.evaluation import displays, figures, jets, met, oracle, particles, summary
from ptmiss.evaluation.figures import Tables
from ptmiss.evaluation.study import Progress, Study, study
from ptmiss.files import AnyPath, as_path
from ptmiss.files.provenance import provenance
from ptmiss.networks.registry import shipped_models
from ptmiss.plots import label_of, save

DEEPMET = "deepmet"


def evaluate(
    paths: Sequence[str],
    output: AnyPath,
    weights: AnyPath | None = None,
    *,
    min_pt: float = MIN_PT,
    max_events: int | None = None,
    window: float = jets.WINDOW,
    replicas: int = bootstrap.REPLICAS,
    label: str = "",
    formats: Sequence[str] = figures.FORMATS,
    groups: bool = False,
    progress: Progress | None = None,
) -> Tables:
    """Evaluate MLPF beside PF, elements and ideal targets on event files; write everything, return the tables.

    weights: of MLPF, ``none`` to leave it out; min_pt: GeV, least soft pT of a candidate; max_events: of each file;
    window: in which a generated jet looks for one; replicas: of the bootstrap;
    groups: draw the windows or learned bins of MLPF too.
    """
    if groups and weights == "none":
        raise OptionError("--groups draws what MLPF's elements see, and --weights none leaves MLPF out")
    reconstructions = [build(name, least=min_pt) for name in (ELEMENTS, TARGETS)]
    if weights != "none":
        reconstructions.insert(1, build(MLPF, weights, min_pt))
    networks = (
        [e for e in estimators.make_estimators([DEEPMET]) if isinstance(e, NetworkEstimator)]
        if DEEPMET in shipped_models()
        else []
    )
    measured = study(paths, reconstructions, networks, max_events=max_events, window=window, progress=progress)
    if groups:
        measured = group(measured, reconstructions[1])
    found = tabulate(measured, replicas, progress or (lambda *_: None))
    made = provenance(
        files=list(paths),
        events=len(measured),
        max_events=max_events,
        window=window,
        replicas=replicas,
        reconstructions=[_describe(one) for one in reconstructions],
        networks=[network.manifest_entry() for network in networks],
        notes={what: n for what, n in measured.notes.items() if n},
    )
    write(found, measured, as_path(output), made, label, formats, progress or (lambda *_: None))
    return found


def group(measured: Study, mlpf: Reconstruction) -> Study:
    """The same with MLPF's windows or learned bins in the drawn events; none if all elements see each other."""
    groups = network(mlpf.weights).groups
    return replace(measured, shown=[event._replace(groups=groups(event.elements)) for event in measured.shown])


def tabulate(measured: Study, replicas: int = bootstrap.REPLICAS, progress: Progress = lambda *_: None) -> Tables:
    """All tables, with errors of the same draws of events."""
    drawn = bootstrap.draws(len(measured), replicas)
    drawn[drawn.sum(axis=1) == 0] = 1  # of a handful of events a replica may have none
    makers = {
        "jets": partial(jets.table, measured.jets),
        "met": partial(met.table, measured.met, measured.generated, measured.npv),
        "met_response": partial(met.responses, measured.met, measured.generated),
        "met_distribution": partial(met.distribution, measured.met, measured.generated),
        "met_by_element": partial(oracle.table, measured.parts, TARGETS, measured.generated),
        "rates": partial(particles.rates, measured.particles),
        "confusion": partial(particles.confusions, measured.particles),
        "particle_response": partial(particles.responses, measured.particles),
    }
    found = {}
    for number, (name, make) in enumerate(makers.items()):
        progress("tables", number, len(makers))
        found[name] = make(drawn)
    return Tables(**found)


def write(
    found: Tables,
    measured: Study,
    output: Path,
    made: dict[str, Any],
    label: str,
    formats: Sequence[str],
    progress: Progress = lambda *_: None,
) -> None:
    """Tables as CSV and JSON, figures and displays, whole or not at all."""
    with results.replacing_directory(output) as temporary:
        for name, table in found._asdict().items():
            table.to_csv(temporary / f"{name}.csv", index=False, float_format="%.6g")
        numbers = {"jets": found.jets, "met": found.met}
        records = {name: json.loads(table.to_json(orient="records")) for name, table in numbers.items()}
        (temporary / "headline.json").write_text(results.as_json(records))
        figures.draw_all(found, temporary, label, formats, progress)
        for i, event in enumerate(measured.shown):
            save(displays.of_event(event, label), temporary / f"event_{i}", formats)
            if event.groups:
                save(displays.of_groups(event, label), temporary / f"event_{i}_groups", formats)
        (temporary / results.MANIFEST).write_text(results.as_json(made))


def show(found: Tables) -> None:
    """Print the jets' IQR/median in bins of generated pT (GeV), widths of pTmiss, electrons and photons."""
    for kind in dict.fromkeys(found.jets["jets"]):
        _show_jets(found.jets, kind)
    head = ["pTmiss", "RMS, GeV", "half width, GeV", "vs pf/puppi", "of the oracle's gain", "the same at response 1"]
    head += ["response", "slope", "> 50 GeV"]
    digits = {"rms": 2, "half_width": 2, "rms_vs_reference": 3, **dict.fromkeys(met.GAINS.values(), 2)}
    digits |= {"response": 2, "slope": 2, "tail_50": 3}
    rows = found.met[found.met["axis"] == "inclusive"].to_dict("records")
    lines = [[label_of(row["estimator"]), *(tables.with_error(row, *of) for of in digits.items())] for row in rows]
    tables.show(head, lines)
    _show_elements(found.met_by_element)
    head, lines = summary.light_table(found.rates, found.particle_response)
    tables.show(head, lines)


def _show_elements(table: pd.DataFrame) -> None:
    head = ["pTmiss with the truth in", "element", "RMS, GeV", "half width, GeV", "half width vs without", "alone, GeV"]
    digits = {"rms": 2, "half_width": 2, "half_width_vs_whole": 3, "alone": 2}
    lines = [
        [label_of(row["estimator"]), str(row["element"]), *(tables.with_error(row, *of) for of in digits.items())]
        for row in table.to_dict("records")
    ]
    tables.show(head, lines)


def _show_jets(table: pd.DataFrame, kind: str) -> None:
    rows = table[(table["jets"] == kind) & (table["region"] == "all")]
    names = list(rows["estimator"].unique())
    lines = []
    for (low, high), cell in rows.groupby(["low", "high"], sort=False):
        by_name = {row["estimator"]: row for row in cell.to_dict("records")}
        widths = [tables.with_error(by_name.get(name, {}), "resolution", 3) for name in names]
        ratio = tables.with_error(by_name.get(MLPF, {}), "resolution_vs_pf", 3)
        matched = " ".join(f"{by_name[name]['matched']:.3f}" for name in ("pf", MLPF) if name in by_name)
        lines.append([f"{low:g} to {high:g}", *widths, ratio, matched])
    tables.show([figures.JET_TITLES[kind], *map(label_of, names), "MLPF/PF", "matched"], lines)


def _describe(one: Reconstruction) -> dict[str, Any]:
    weights = {"weights": one.weights, "sha256": one.sha256} if one.weights else {}
    return {"name": one.name, "min_pt": one.least, **weights}
