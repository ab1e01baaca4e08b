"""Figures and tables of each kind of source, made with the functions that measure."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ptmiss import plots, recoil, resolutions, results, table
from ptmiss.errors import FileError, LedgerError, OptionError
from ptmiss.histograms import BIN_MINIMUM, book_met, book_mt, stacks
from ptmiss.networks import registry
from ptmiss.normalisation import Skipped, duplicates_line, warning
from ptmiss.reports import drifts, summary, svg, words
from ptmiss.reports.exhibit import Exhibit, Section
from ptmiss.reports.sources import CALIBRATION, EVALUATION, EXPLANATION, MODEL, RELEVANCE, RUN, TABLE, ReportSource
from ptmiss.resolutions import comparison, jacobian
from ptmiss.runs import monitoring
from ptmiss.selections import load_selection, selection_of
from ptmiss.systematics import NOMINAL
from ptmiss.table.columns import Table
from ptmiss.typing import Vector

KEPT = ("estimator", "region", "axis", "low", "high", "n_eff", "response", "response_error", "response_systematic")
SHARPNESS = "Sharpness of mT: RMS about the generated one, falling edge, right half width"
BOSONS = ("boson", "genboson")
REPLICAS = 50  # of the errors of ratios in the summary
SPECTRA = {"mt": "Transverse mass", "met": "pTmiss", "significance": "Significance of pTmiss"}
TITLES = {
    "u_par": "u∥",
    "u_perp": "u⊥",
    "met_phi": "azimuth of pTmiss",
    "met": "pTmiss",
    "mt": "transverse mass",
    "significance": "significance of pTmiss",
}


def section(source: ReportSource, correction: str, label: str) -> list[Section]:
    """What a page says of a source; a run has a section for each dataset."""
    makers = {TABLE: of_table, RUN: of_run, CALIBRATION: of_calibration, EVALUATION: of_evaluation, MODEL: of_model}
    makers[EXPLANATION], makers[RELEVANCE] = of_explanation, of_relevance
    return list(makers[source.kind](source, correction, label))


def of_table(source: ReportSource, correction: str, label: str) -> Iterator[Section]:
    """A recoil table, a section for each of its datasets that cannot be taken together."""
    for name, part in table.open_table(source.path).apart().items():
        yield of_part(part, f"{source.name}: {name}" if name else source.name, correction, label)


def of_part(read: Table, title: str, correction: str, label: str) -> Section:
    """Rows of a recoil table: resolutions with a boson, mT with a single lepton."""
    found, gains, exhibits, noted, there = pd.DataFrame(), pd.DataFrame(), [], [], with_vectors(read)
    boson = next((name for name in BOSONS if there[name]), "")
    try:
        if boson:
            found = resolutions.tabulate(resolutions.from_table(read, boson), correction)
            gains = gain_exhibits(read, boson, correction)
            exhibits += of_resolutions(found, correction, label)
    except OptionError as error:  # such as no mass in the window
        noted.append(str(error))
    exhibits += transverse_masses(read, label)
    edges = next((one.table for one in exhibits if one.title == SHARPNESS), None)
    made = read.provenance
    exhibits += [one for dataset in dict(made.get("datasets") or {}).values() for one in drift_exhibits(dataset, label)]
    noted += [f"{what}: {n}" for what, n in dict(made.get("notes") or {}).items()]
    noted += [f"{name}: {what}" for name, about in dict(made.get("datasets") or {}).items() for what in warnings(about)]
    leptons = [n for n, name in ((1, "lepton"), (2, "boson")) if there[name]]
    about = f"{summary.count_text(len(read), made)}; {summary.selection_text(selection_of(made), leptons)}"
    headline = summary.numbers(found, edges, gains)
    return Section(title, TABLE, exhibits, facts(made) | {"events": str(len(read))}, noted, "", about, headline)


def gain_exhibits(read: Table, boson: str, correction: str) -> pd.DataFrame:
    """How much smaller the widths of a table are than the reference's, with errors that know that the events are the
    same; empty for another correction than that in bins, and for few events."""
    if correction == "bin":
        with suppress(OptionError):
            reference = [plots.reference_of(read.estimators)]
            return comparison.of_table(read, reference, boson=boson, above=BIN_MINIMUM, replicas=REPLICAS)
    return pd.DataFrame()


def with_vectors(read: Table) -> Counter[str]:
    """How many events of a table have a boson, a single lepton, a generated boson."""
    found: Counter[str] = Counter()
    columns = {f"{name}_pt": name for name in ("lepton", *BOSONS) if f"{name}_pt" in read.columns}
    for batch in read.batches(columns):
        found.update({name: int(np.isfinite(batch[column]).sum()) for column, name in columns.items()})
    return found


def of_run(source: ReportSource, correction: str, label: str) -> Iterator[Section]:
    """A run: resolutions, spectra and the cut flow of each dataset; its ledger's warnings."""
    result = results.load(source.path)
    for name, histograms in result.histograms.items():
        yield of_dataset(result, name, histograms, f"{source.name}: {name}", correction, label)
    title = f"{source.name}: data and simulation"
    try:
        if stack := stacks.of_run(result):
            yield Section(title, RUN, list(stack_exhibits(stack, label)))
        elif stack := stacks.expected(result):
            yield Section(f"{source.name}: simulation at 1 fb⁻¹", RUN, list(stack_exhibits(stack, label)))
    except (OptionError, LedgerError) as error:
        yield Section(title, RUN, warnings=[str(error)])


def of_dataset(
    result: results.RunResult, name: str, histograms: Mapping[str, hist.Hist], title: str, correction: str, label: str
) -> Section:
    """One dataset of a run; one line if no event of it is selected."""
    about = result.manifest["datasets"][name]
    made = {"datasets": {name: about}}
    facts_of, noted = facts(result.manifest), warnings(about)
    if not any(np.any(one.values(flow=True)) for one in histograms.values()):
        return Section(title, RUN, (), facts_of, noted, "", summary.count_text(0, made))
    measured = "moments" in histograms and np.any(histograms["moments"].view(flow=True))  # W of data have no boson
    found = resolutions.tabulate(histograms, correction) if measured else pd.DataFrame()
    exhibits = of_resolutions(found, correction, label) if len(found) else []
    exhibits += [spectrum(histograms[which], which, label) for which in SPECTRA if which in histograms]
    exhibits += drift_exhibits(about, label)
    if flow := about.get("cutflow"):
        exhibits.append(Exhibit("Cut flow", pd.DataFrame(flow).rename_axis("cut").reset_index(), group="Events"))
    chosen = summary.selection_text(load_selection(result.manifest.get("selection") or "default"))
    words = f"{summary.count_text(about.get('ledger', {}).get('events', math.nan), made)} read; {chosen}"
    return Section(title, RUN, exhibits, facts_of, noted, "", words, summary.numbers(found))


def drift_exhibits(dataset: Mapping[str, Any], label: str) -> list[Exhibit]:
    """What each network of a dataset read, beside its training."""
    return [Exhibit(*one, words.DRIFTS, "Monitoring") for one in drifts.exhibits_of(dataset, label)]


def stack_exhibits(stack: stacks.Stack, label: str) -> Iterator[Exhibit]:
    """Data over the stacked simulation in every spectrum, of every estimator, by spectrum."""
    for which, histogram in stack.data.items():
        for name in histogram.axes["estimator"]:
            rows = stacks.rows(stack, which, name)
            beside = "" if stack.recorded == stacks.EXPECTED else f"{stack.recorded} and "
            title = f"{plots.label_of(name)}: {TITLES[which]} in {beside}simulation"
            about = str(histogram.axes[-1].label), stack.luminosity, label, stack.recorded
            yield Exhibit(title, rows, stacks.figure(rows, *about), group=TITLES[which])


def warnings(about: Mapping[str, Any]) -> list[str]:
    """What a dataset's ledger says was skipped, what was there twice, and weights that its files say otherwise."""
    ledger = about.get("ledger", {})
    found = [str(Skipped(**entry)) for entry in ledger.get("skipped", ())]
    found += list(monitoring.warnings(about))
    found += [duplicates_line(ledger["duplicates"])] if ledger.get("duplicates") else []
    told = warning(about) if ledger else None
    return found + ([told] if told else [])


def of_resolutions(found: pd.DataFrame, correction: str, label: str) -> list[Exhibit]:
    """The figures of the measurement: response and widths against qT and vertices, in all and by region."""
    corrected = plots.CORRECTED[correction]
    exhibits = [resolution_exhibit(found, "inclusive", ("response",), "response", "qt", "Response", label)]
    for beside in (("rms_par", "rms_perp"), ("half_width_par", "half_width_perp")):
        for axis, quantity in product(plots.AXES, beside):
            title = f"{plots.PLAIN[quantity]} against {plots.PLAIN[axis]}, {corrected}"
            exhibits.append(resolution_exhibit(found, "inclusive", beside, quantity, axis, title, label))
    for region in found["region"].unique():
        if region != "inclusive":
            axis, beside = "npv" if "GeV" in region else "qt", ("rms_par", "rms_perp")
            for quantity in beside:
                title = f"{plots.PLAIN[quantity]} against {plots.PLAIN[axis]}, {region}, {corrected}"
                exhibits.append(resolution_exhibit(found, region, beside, quantity, axis, title, label))
    return exhibits


def resolution_exhibit(
    found: pd.DataFrame, region: str, beside: Sequence[str], quantity: str, axis: str, title: str, label: str
) -> Exhibit:
    """One quantity of all estimators, in the range of those beside it and of the regions that it is compared with."""
    along = found[found["axis"] == axis]
    rows = along[along["region"] == region]
    compared_with = along[along["region"].str.contains("GeV") == ("GeV" in region)]
    within = plots.frame(
        rows if region == "inclusive" else compared_with[compared_with["region"] != "inclusive"], beside
    )
    columns = [*KEPT, *(quantity + end for end in ("", "_error", "_common", "_systematic"))]
    group = "All events" if region == "inclusive" else region
    kept = rows[[c for c in dict.fromkeys(columns) if c in rows]]
    of_region = "" if region == "inclusive" else region
    if not (rows["n_eff"] >= plots.MIN_EVENTS).any():
        return Exhibit(title, kept, None, f"No figure: no bin has {plots.MIN_EVENTS} effective events.", group)
    drawn = plots.panels(rows, [(quantity, axis)], label, of_region, within)
    return Exhibit(title, kept, drawn, words.CAPTIONS[quantity], group)


def transverse_masses(read: Table, label: str) -> list[Exhibit]:
    """Of events with one lepton: mT of every estimator, pTmiss, and how sharp mT is."""
    names = [*read.estimators, *([plots.GENERATED] if _has_truth(read) else [])]
    binning, events = selection_of(read.provenance).binning, 0
    histograms = book_met(names, binning) | book_mt(names, binning)
    for batch in read.batches(c for c in read.columns if c.startswith(("lepton_", "met_", "genmet_", "weight"))):
        vectors = {name: batch.met(name) for name in read.estimators}
        alone = np.isfinite(batch["lepton_pt"]) & recoil.finite_in_all(vectors.values())
        if plots.GENERATED in names:
            vectors[plots.GENERATED] = batch.vector("genmet")
        chosen = {name: vector[alone] for name, vector in vectors.items()}
        _fill_masses(histograms, batch.vector("lepton")[alone], chosen, batch["weight"][alone])
        events += int(np.count_nonzero(alone))
    if not events:
        return []
    exhibits = [spectrum(histograms[which], which, label) for which in SPECTRA if which in histograms]
    if "genmet_pt" in read.columns:
        with suppress(OptionError):  # too few events
            exhibits.append(
                Exhibit(SHARPNESS, jacobian.of_table(read, [plots.reference_of(read.estimators)]), group="Spectra")
            )
    return exhibits


def _has_truth(read: Table) -> bool:
    """Whether every event with a single lepton has a generated pTmiss."""
    if "genmet_pt" not in read.columns:
        return False
    batches = read.batches(("lepton_pt", "genmet_pt"))
    return all(np.isfinite(batch["genmet_pt"][np.isfinite(batch["lepton_pt"])]).all() for batch in batches)


def _fill_masses(
    histograms: Mapping[str, hist.Hist], lepton: Vector, vectors: Mapping[str, Vector], weight: NDArray
) -> None:
    for name, met in vectors.items():
        histograms["mt"].fill(NOMINAL, name, recoil.transverse_mass(lepton, met), weight=weight)
        histograms["met"].fill(NOMINAL, name, recoil.magnitude(met), weight=weight)


def spectrum(histogram: hist.Hist, which: str, label: str) -> Exhibit:
    """The nominal spectrum of every estimator."""
    coarser = {"systematic": NOMINAL, which: slice(None, None, hist.rebin(2))}
    rows = plots.spectrum_rows(histogram[coarser])
    figure = plots.spectrum(rows, str(histogram.axes[which].label), label)
    return Exhibit(SPECTRA[which], rows, figure, words.CAPTIONS[which], "Spectra")


CALIBRATION_TABLES = {
    "closure_summary": "Closure in all regions",
    "joint_correlations": "Correlations of components in data, and in simulation after each map",
    "flow_accuracy": "Networks in the correction file against the flow, GeV",
    "response": "Responses",
    "fits": "Fits",
}


def of_calibration(source: ReportSource, correction: str, label: str) -> Iterator[Section]:
    """A calibration: what it corrects, before and after, and the closure on other events."""
    made = manifest(source.path)
    recorded, exhibits = made.get("recorded", "data"), []
    for path in sorted(source.path.glob("*.svg"), key=order):
        rows = source.path / f"{path.stem}.csv"
        if rows.is_file():
            title, group = calibration_title(path.stem, recorded), calibration_group(path.stem)
            exhibits.append(Exhibit(title, pd.read_csv(rows), svg.of_file(path), words.GROUPS[group], group))
    for name, title in CALIBRATION_TABLES.items():
        if (source.path / f"{name}.csv").is_file():
            exhibits.append(Exhibit(title, pd.read_csv(source.path / f"{name}.csv"), group="Tables"))
    yield Section(source.name, CALIBRATION, exhibits, facts(made))


def order(path: Path) -> tuple[int, str]:
    """The closure first, then what it corrects, then the corrections."""
    return list(words.GROUPS).index(calibration_group(path.stem)), path.stem


def calibration_title(stem: str, recorded: str = "data") -> str:
    """What a figure of a calibration shows; recorded: ``pseudo-data`` where simulation stands for data."""
    if stem == "closure":
        return f"Closure: {recorded} over simulation before and after, on events that it was not derived from"
    if stem == "joint":
        return f"All components together: {recorded} and simulation without a map, and after each"
    if stem == "conditions":
        return f"qT and vertices in {recorded} and simulation, with and without pile-up weights"
    if stem.startswith("laws_"):
        name, _, component = stem.removeprefix("laws_").partition("_u_")
        of = {"par": "u∥ - qT", "perp": "u⊥"}[component]
        return f"{plots.label_of(name)}: median and half width of {of} against qT, in {recorded} and simulation"
    for variable, title in TITLES.items():
        if stem.endswith(f"_{variable}"):
            name = plots.label_of(stem.removesuffix(f"_{variable}"))
            return f"{name}: {title} in {recorded} and simulation, before and after"
    kind, _, name = stem.partition("_")
    return {"xy": f"{plots.label_of(name)}: shift of pTmiss against vertices"}.get(kind, stem)


def calibration_group(stem: str) -> str:
    """The sub-heading of a figure of a calibration."""
    if stem in ("closure", "joint"):
        return {"closure": "Closure", "joint": "Joint map"}[stem]
    if stem.startswith(("laws_", "xy_")):
        return "Corrections"
    if stem == "conditions":
        return "Conditions"
    return "Before and after" if stem.endswith(tuple(f"_{variable}" for variable in TITLES)) else "Corrections"


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


def of_explanation(source: ReportSource, correction: str, label: str) -> Iterator[Section]:
    """An explanation of a network: parts of the recoil, weights against the inputs, what the inputs are worth."""
    from ptmiss.explanation import report as explanations

    found = explanations.read(source.path)
    figures, shown = found.figures(label), found.parts[found.parts["level"] != "cell"]
    kept = {"parts": shown, "dependence": found.dependence, "importance": found.importance}
    kept["covariances"] = found.covariances.reset_index(names="part")
    exhibits = [Exhibit(words.EXPLAINED[name], kept[name], figures[name], words.CAPTIONS[name]) for name in kept]
    yield Section(source.name, EXPLANATION, exhibits, facts(manifest(source.path)))


def of_relevance(source: ReportSource, correction: str, label: str) -> Iterator[Section]:
    """An explanation of an MLPF: which elements, and which of their inputs, made its candidates."""
    from ptmiss.explanation import relevance

    found = relevance.open_directory(source.path)
    figures = found.figures(label)
    exhibits = [
        Exhibit(words.RELEVANCE[name], getattr(found, name), figures[name], words.CAPTIONS[name]) for name in figures
    ]
    yield Section(source.name, RELEVANCE, exhibits, facts(manifest(source.path)))


def of_model(source: ReportSource, correction: str, label: str) -> Iterator[Section]:
    """A model: its card."""
    text = (source.path / registry.CARD).read_text()
    front, _, card = text.removeprefix("---\n").partition("\n---\n")
    lines = (line.partition(": ") for line in front.splitlines() if ": " in line)
    yield Section(
        source.name,
        MODEL,
        facts={key.replace("_", " "): value.strip('"') for key, _, value in lines},
        text=card.strip(),
    )


def manifest(directory: Path) -> dict[str, Any]:
    """How a directory was made; nothing if it does not say so."""
    path = directory / results.MANIFEST
    try:
        found = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise FileError(f"{path} is no JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def facts(made: Mapping[str, Any]) -> dict[str, str]:
    """Provenance in words; datasets are told of elsewhere, and a sample of the package says how to make it."""
    unsaid = {"datasets", "plan"} | ({"command"} if isinstance(made.get("sample"), Mapping) else set())
    kept = {key: value for key, value in made.items() if key not in unsaid and value not in (None, "", [], {})}
    return {key.replace("_", " "): words.readable(value) for key, value in kept.items()}
