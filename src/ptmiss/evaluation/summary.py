"""The headline numbers of an evaluation in Markdown, for a model card or a page of the documentation."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ptmiss import tables
from ptmiss.errors import FileError
from ptmiss.estimators.reconstruction import ELEMENTS, MLPF, TARGETS
from ptmiss.evaluation import jets, particles
from ptmiss.plots import label_of

PF = "pf"
TABLES = ("jets", "met", "rates", "particle_response")
RATE_BINS = (2.0, 5.0, 20.0)  # GeV, where bins of pT begin
REGIONS = {"all": "all", "HF": "HF"}
LIGHT = ("electron", "photon")
LIGHT_BINS = {particles.PT: (5.0, 10.0, 20.0, 50.0), particles.ETA_HARD: particles.ETA_EDGES[:5]}
"""Where bins begin in which electrons and photons are shown: GeV, and abs eta inside the tracker."""
JETS = {"chs": "CHS", "puppi": "PUPPI"}


def markdown(directory: Path) -> str:
    """Jets, pTmiss, rates, electrons and photons of an evaluation's directory; FileError if it is none."""
    found = []
    for name in TABLES:
        path = directory / f"{name}.csv"
        if not path.is_file():
            raise FileError(f"{directory} is not an evaluation: {path.name} is missing")
        found.append(pd.read_csv(path))
    of_jets, of_met, of_rates, of_responses = found
    light = tables.markdown(*light_table(of_rates, of_responses))
    return "\n\n".join([jet_table(of_jets), met_table(of_met), rate_table(of_rates), light])


def jet_table(rows: pd.DataFrame) -> str:
    """IQR/median of the response of AK4 jets in bins of the generated pT, its ratio to PF, and matched fractions."""
    head = ["jets, IQR / median", "generated pT, GeV", "PF", "MLPF", "MLPF / PF", "ideal targets", "matched PF, MLPF"]
    lines = []
    for kind in jets.KINDS:
        for region, where in REGIONS.items():
            some = rows[(rows["jets"] == kind) & (rows["region"] == region)]
            for (low, high), cell in some.groupby(["low", "high"], sort=False):
                one = {row["estimator"]: row for row in cell.to_dict("records")}
                if not {PF, MLPF, TARGETS} <= set(one):
                    continue
                widths = [tables.with_error(one[name], "resolution", 3) for name in (PF, MLPF, TARGETS)]
                ratio = tables.with_error(one[MLPF], "resolution_vs_pf", 3)
                matched = ", ".join(f"{float(one[name]['matched']):.3f}" for name in (PF, MLPF))
                lines.append([f"{JETS[kind]}, {where}", f"{low:g} to {high:g}", *widths[:2], ratio, widths[2], matched])
    return tables.markdown(head, lines)


def met_table(rows: pd.DataFrame) -> str:
    """Widths of pTmiss about the generated one, a component; in all, and in bins of vertices."""
    head = ["pTmiss", "vertices", "events", "RMS, GeV", "half width, GeV", "RMS to that of PF or PUPPI", "> 50 GeV off"]
    lines = []
    crude = rows["estimator"].str.startswith((ELEMENTS, TARGETS))
    for row in rows[(rows["axis"] == "inclusive") | ((rows["axis"] == "npv") & ~crude)].to_dict("records"):
        where = "all" if row["axis"] == "inclusive" else f"{row['low']:g} to {row['high']:g}"
        numbers = [tables.with_error(row, name, 2) for name in ("rms", "half_width")]
        numbers += [tables.with_error(row, name, 3) for name in ("rms_vs_reference", "tail_50")]
        lines.append([label_of(row["estimator"]), where, str(row["events"]), *numbers])
    return tables.markdown(head, lines)


def rate_table(rows: pd.DataFrame) -> str:
    """Efficiency and fake rate of each class in some bins of pT: within 0.15, and element by element."""
    head = ["class", "pT, GeV", *(f"{what} {name}" for name in ("PF", "MLPF") for what in ("efficiency", "fakes"))]
    head += ["efficiency MLPF, by element", "fakes MLPF, by element"]
    some = rows[(rows["axis"] == "pt") & rows["low"].isin(RATE_BINS)]
    lines = []
    for (kind, low, high), cell in some.groupby(["class", "low", "high"], sort=False):
        one = {(row["estimator"], row["way"]): row for row in cell.to_dict("records")}
        columns = [
            tables.with_error(one[key], name, 3) if key in one else ""
            for key in ((PF, "matched"), (MLPF, "matched"), (MLPF, "aligned"))
            for name in ("efficiency", "fake_rate")
        ]
        lines.append([str(kind), f"{low:g} to {high:g}", *columns])
    return tables.markdown(head, lines)


def light_table(rates: pd.DataFrame, responses: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Heading and lines of electrons and photons within 0.15: PF's numbers and MLPF's, against pT and abs eta."""
    quantities = {"efficiency": "efficiency", "fake_rate": "fakes", "pt_response": "response", "pt_resolution": "IQR"}
    head = ["class", "true", *(f"{what} {name}" for what in quantities.values() for name in ("PF", "MLPF"))]
    keys = ["estimator", "axis", "class", "low", "high"]
    edges = {"low": float, "high": float}
    found, compared = (rows[rows["way"] == particles.MATCHED].astype(edges) for rows in (rates, responses))
    both = found.merge(compared, on=keys, how="left")
    lines: list[list[str]] = []
    for (axis, kind, low, high), cell in both.groupby(keys[1:], sort=False):
        if kind not in LIGHT or low not in LIGHT_BINS.get(str(axis), ()):
            continue
        one = {row["estimator"]: row for row in cell.to_dict("records")}
        numbers = [tables.with_error(one.get(name, {}), what, 3) for what in quantities for name in (PF, MLPF)]
        if any(numbers):
            where = f"{low:g} to {high:g} GeV" if axis == particles.PT else f"abs η {low:g} to {high:g}"
            lines.append([f"{kind}, {where}", str(cell["true"].max()), *numbers])
    return head, sorted(lines, key=lambda line: line[0].partition(",")[0])
