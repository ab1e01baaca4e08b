"""Figures and tables of each kind of source, made with the functions that measure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pandas as pd

from ptmiss import jacobian, plots, recoil, resolutions, results, table
from ptmiss.errors import FileError, OptionError
from ptmiss.histograms import book_met, book_mt
from ptmiss.networks import registry
from ptmiss.normalisation import Skipped, duplicates_line
from ptmiss.reports import stacks, svg
from ptmiss.reports.exhibit import Exhibit, Section
from ptmiss.reports.sources import CALIBRATION, EVALUATION, MODEL, RUN, TABLE, ReportSource
from ptmiss.table import RecoilTable

WIDTHS = ("rms_par", "rms_perp", "quantile_par", "quantile_perp")
KEPT = ("estimator", "region", "axis", "low", "high", "n_eff", "response", "response_error")
SPECTRA = {"mt": "Transverse mass", "met": "pTmiss"}
TITLES = {
    "u_par": "u∥",
    "u_perp": "u⊥",
    "met_phi": "azimuth of pTmiss",
    "met": "pTmiss",
    "mt": "transverse mass",
}


def section(source: ReportSource, correction: str, label: str) -> list[Section]:
    """What a page says of a source; a run has a section for each dataset."""
    makers = {TABLE: of_table, RUN: of_run, CALIBRATION: of_calibration, EVALUATION: of_evaluation, MODEL: of_model}
    return list(makers[source.kind](source, correction, label))


def of_table(source: ReportSource, correction: str, label: str) -> Iterator[Section]:
    """A recoil table: resolutions with a boson, mT with a single lepton."""
    read = table.read(source.path)
    exhibits: list[Exhibit] = []
    for boson in ("boson", "genboson"):
        if f"{boson}_pt" in read.data.column_names and np.isfinite(read[f"{boson}_pt"]).any():
            exhibits += of_histograms(resolutions.from_table(read, boson), correction, label)
            break
    exhibits += transverse_masses(read, label)
    made = read.provenance
    noted = [f"{what}: {n}" for what, n in dict(made.get("notes") or {}).items()]
    noted += [f"{name}: {what}" for name, about in dict(made.get("datasets") or {}).items() for what in warnings(about)]
    yield Section(source.name, TABLE, exhibits, facts(made) | {"events": str(len(read))}, noted)


def of_run(source: ReportSource, correction: str, label: str) -> Iterator[Section]:
    """A run: resolutions, spectra and the cut flow of each dataset; its ledger's warnings."""
    result = results.load(source.path)
    for name, histograms in result.histograms.items():
        about = result.manifest["datasets"][name]
        exhibits = of_histograms(histograms, correction, label) if "moments" in histograms else []
        exhibits += [spectrum(histograms[which], which, label) for which in SPECTRA if which in histograms]
        if flow := about.get("cutflow"):
            exhibits.append(Exhibit("Cut flow", pd.DataFrame(flow).rename_axis("cut").reset_index()))
        yield Section(f"{source.name}: {name}", RUN, exhibits, facts(result.manifest), warnings(about))
    if stack := stacks.of_run(result):
        yield Section(f"{source.name}: data and simulation", RUN, list(compared(stack, label)))


def compared(stack: stacks.Stack, label: str) -> Iterator[Exhibit]:
    """Data over the stacked simulation in every spectrum, of every estimator."""
    for which, histogram in stack.data.items():
        for name in histogram.axes["estimator"]:
            rows = stacks.rows(stack, which, name)
            title = f"{plots.label_of(name)}: {TITLES[which]} in data and simulation"
            yield Exhibit(title, rows, stacks.figure(rows, str(histogram.axes[-1].label), stack.scaling, label))


def warnings(about: Mapping[str, Any]) -> list[str]:
    """What a dataset's ledger says was skipped, and what was there twice."""
    ledger = about.get("ledger", {})
    found = [str(Skipped(**entry)) for entry in ledger.get("skipped", ())]
    return found + ([duplicates_line(ledger["duplicates"])] if ledger.get("duplicates") else [])


def of_histograms(histograms: Mapping[str, hist.Hist], correction: str, label: str) -> list[Exhibit]:
    """The figures of the measurement: response and widths against qT and vertices, in all and by region."""
    found = resolutions.tabulate(histograms, correction)
    corrected = plots.CORRECTED[correction]
    exhibits = [resolution_exhibit(found, "inclusive", "response", "qt", "Response", label)]
    for quantity in WIDTHS:
        for axis in plots.AXES:
            title = f"{plots.PLAIN[quantity]} against {plots.PLAIN[axis]}, {corrected}"
            exhibits.append(resolution_exhibit(found, "inclusive", quantity, axis, title, label))
    for region in found["region"].unique():
        if region != "inclusive":
            axis = "npv" if "GeV" in region else "qt"
            for quantity in ("rms_par", "rms_perp"):
                title = f"{plots.PLAIN[quantity]} against {plots.PLAIN[axis]}, {region}, {corrected}"
                exhibits.append(resolution_exhibit(found, region, quantity, axis, title, label))
    return exhibits


def resolution_exhibit(found: pd.DataFrame, region: str, quantity: str, axis: str, title: str, label: str) -> Exhibit:
    """One quantity of all estimators."""
    rows = found[(found["region"] == region) & (found["axis"] == axis)]
    columns = [*KEPT, quantity, f"{quantity}_error"]
    return Exhibit(title, rows[list(dict.fromkeys(columns))], plots.panels(rows, [(quantity, axis)], label))


def transverse_masses(read: RecoilTable, label: str) -> list[Exhibit]:
    """Of events with one lepton: mT of every estimator, pTmiss, and how sharp mT is."""
    lepton = read.vector("lepton")
    alone = np.isfinite(lepton[:, 0])
    if not alone.any():
        return []
    read, lepton = read.select(alone), lepton[alone]
    histograms = book_met(read.estimators) | book_mt(read.estimators)
    for name in read.estimators:
        met = read.met(name)
        histograms["mt"].fill("nominal", name, recoil.transverse_mass(lepton, met), weight=read["weight"])
        histograms["met"].fill("nominal", name, recoil.magnitude(met), weight=read["weight"])
    exhibits = [spectrum(histograms[which], which, label) for which in SPECTRA]
    with suppress(OptionError):  # too few events, or not simulated
        exhibits.append(Exhibit("Sharpness of mT: RMS about the generated one, falling edge", jacobian.of_table(read)))
    return exhibits


def spectrum(histogram: hist.Hist, which: str, label: str) -> Exhibit:
    """The nominal spectrum of every estimator."""
    coarser = {"systematic": "nominal", which: slice(None, None, hist.rebin(2))}
    rows = plots.spectrum_rows(histogram[coarser])
    return Exhibit(SPECTRA[which], rows, plots.spectrum(rows, str(histogram.axes[which].label), label))


def of_calibration(source: ReportSource, correction: str, label: str) -> Iterator[Section]:
    """A calibration: what it corrects, before and after, and the closure on other events."""
    exhibits = []
    for path in sorted(source.path.glob("*.svg"), key=order):
        rows = source.path / f"{path.stem}.csv"
        if rows.is_file():
            exhibits.append(Exhibit(calibration_title(path.stem), pd.read_csv(rows), svg.of_file(path)))
    for name, title in (("closure_summary", "Closure in all regions"), ("response", "Responses"), ("fits", "Fits")):
        if (source.path / f"{name}.csv").is_file():
            exhibits.append(Exhibit(title, pd.read_csv(source.path / f"{name}.csv")))
    yield Section(source.name, CALIBRATION, exhibits, facts(manifest(source.path)))


def order(path: Path) -> tuple[bool, str]:
    """The closure first."""
    return path.stem != "closure", path.stem


def calibration_title(stem: str) -> str:
    """What a figure of a calibration shows."""
    if stem == "closure":
        return "Closure: data over simulation before and after calibration, on events that it was not derived from"
    for variable, title in TITLES.items():
        if stem.endswith(f"_{variable}"):
            name = plots.label_of(stem.removesuffix(f"_{variable}"))
            return f"{name}: {title} in data and simulation, before and after"
    kind, _, name = stem.partition("_")
    return {"xy": f"{plots.label_of(name)}: shift of pTmiss against vertices"}.get(kind, stem)


def of_evaluation(source: ReportSource, correction: str, label: str) -> Iterator[Section]:
    """An evaluation of MLPF: jets and pTmiss beside PF, and the rates of each class."""
    from ptmiss.evaluation import figures

    tables = figures.Tables(*(pd.read_csv(source.path / f"{name}.csv") for name in figures.Tables._fields))
    chs = tables.jets[(tables.jets["jets"] == "chs") & (tables.jets["region"] == "all")]
    puppi = tables.jets[(tables.jets["jets"] == "puppi") & (tables.jets["region"] == "all")]
    matched = tables.rates[(tables.rates["way"] == "matched") & (tables.rates["axis"] == "pt")]
    met = tables.met.drop(columns=[c for c in tables.met if str(c).startswith(("bias", "tail"))])
    exhibits = [
        Exhibit("Jets, CHS: response and its width", chs, figures.of_jets(tables.jets, "chs", "all", label)),
        Exhibit("Jets, PUPPI: response and its width", puppi, figures.of_jets(tables.jets, "puppi", "all", label)),
        Exhibit("pTmiss of PF, MLPF, elements and ideal targets", met, figures.of_met(tables, figures.PLAIN, label)),
        Exhibit("pTmiss with PUPPI and with DeepMET", met, figures.of_met(tables, figures.WITH_PUPPI, label)),
        Exhibit("Efficiency", matched, figures.of_rates(tables.rates, "matched", "pt", "efficiency", label)),
        Exhibit("Fake rate", matched, figures.of_rates(tables.rates, "matched", "pt", "fake_rate", label)),
    ]
    yield Section(source.name, EVALUATION, exhibits, facts(manifest(source.path)))


def of_model(source: ReportSource, correction: str, label: str) -> Iterator[Section]:
    """A model: its card."""
    text = (source.path / registry.CARD).read_text()
    front, _, card = text.removeprefix("---\n").partition("\n---\n")
    lines = (line.partition(": ") for line in front.splitlines() if ": " in line)
    yield Section(source.name, MODEL, facts={key: value.strip('"') for key, _, value in lines}, text=card.strip())


def manifest(directory: Path) -> dict[str, Any]:
    """How a directory was made; nothing if it does not say so."""
    path = directory / results.MANIFEST
    try:
        found = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise FileError(f"{path} is no JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def facts(made: Mapping[str, Any]) -> dict[str, str]:
    """Provenance in words: what is short as it is, the rest as JSON; datasets are told of elsewhere."""
    kept = {key: value for key, value in made.items() if key not in ("datasets", "plan")}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in kept.items()}
