"""Templates: histograms of one observable for each process and variation, at the luminosity of the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import hist
import numpy as np
from numpy.typing import NDArray

from ptmiss import normalisation
from ptmiss.errors import OptionError, UnknownName
from ptmiss.files.provenance import samples
from ptmiss.histograms import OBSERVABLES
from ptmiss.results import RunResult
from ptmiss.systematics import DOWN, NOMINAL, UP, source_of
from ptmiss.typing import Array

MIN_EVENTS = 10.0  # least effective simulated events in a bin


class Template(NamedTuple):
    """Events of a process: values and variances, (bins,) each."""

    values: Array
    variances: Array

    def __add__(self, other: Any) -> Self:
        return type(self)(self.values + other.values, self.variances + other.variances)

    def scale(self, factor: float) -> Self:
        """The template with every weight multiplied by a factor."""
        return type(self)(self.values * factor, self.variances * factor**2)

    def merge(self, starts: NDArray[np.int64]) -> Self:
        """The template in wider bins; starts: (new bins,) number of the first bin in each."""
        return type(self)(np.add.reduceat(self.values, starts), np.add.reduceat(self.variances, starts))


@dataclass(frozen=True)
class Process:
    """A simulated process: its template, and those of its variations, whose names end in ``_up`` or ``_down``."""

    nominal: Template
    variations: Mapping[str, Template]
    signal: bool = False

    @property
    def systematics(self) -> list[str]:
        """Names of the systematics that vary it."""
        return sorted({source_of(name) for name in self.variations})


@dataclass(frozen=True)
class Region:
    """One observable of one estimator.

    title: name of the observable with its unit. edges: (bins + 1,). data: (bins,) events. processes: by name.
    luminosity: fb^-1. observed: whether ``data`` were recorded; otherwise they are the sum of the processes. notes: a
    line about each change to the histograms. recorded: what ``data`` are, in figures.
    """

    observable: str
    estimator: str
    title: str
    edges: Array
    data: Array
    processes: Mapping[str, Process]
    luminosity: float
    observed: bool
    notes: tuple[str, ...] = ()
    recorded: str = "data"

    @property
    def name(self) -> str:
        """The region's name in files."""
        return f"{self.observable}_{self.estimator}"

    @property
    def systematics(self) -> list[str]:
        """Names of the systematics of any process."""
        return sorted({name for process in self.processes.values() for name in process.systematics})


def collect(
    run: RunResult,
    observable: str,
    estimator: str,
    *,
    signal: Sequence[str] = (),
    luminosity: float | None = None,
    minimum: float = MIN_EVENTS,
) -> Region:
    """The templates of one estimator's observable.

    Datasets with the same ``process`` in their metadata are one process. Events beyond the histogram's range are in the
    first and last bin. Neighbouring bins are merged until each has enough simulated events.

    Args:
        run: manifest and histograms of a run.
        observable: one of ptmiss.histograms.OBSERVABLES.
        estimator: name of an estimator in the run.
        signal: processes that the fit scales; if empty, those whose metadata have the role ``signal``.
        luminosity: fb^-1; that of the data if None.
        minimum: least effective simulated events in each bin.

    Returns:
        The region.

    Raises:
        UnknownName: the run does not have the observable, the estimator or the signal.
        OptionError: no dataset is simulation, none is signal, or no luminosity is known.
        LedgerError: a dataset is not complete, or its weights add up to nothing.
    """
    data, simulated = split(run)
    chosen = {name: pick(run.histograms[name], observable, estimator) for name in (*data, *simulated)}
    scale = luminosity or luminosity_of(data)
    processes: dict[str, Process] = {}
    for name, about in simulated.items():
        part = process(chosen[name], normalisation.factor(name, about, scale), about["metadata"])
        title = about["metadata"].get("process", name)
        processes[title] = add(processes[title], part) if title in processes else part
    processes = signals(processes, signal)
    expected = sum_of(each.nominal for each in processes.values())
    seen = sum_of(template(chosen[name], NOMINAL) for name in data) if data else expected
    axis = next(iter(chosen.values())).axes[observable]
    recorded = samples({"datasets": data}) if data else "expected"
    counts = (axis.edges, seen.values, processes)
    region = Region(observable, estimator, axis.label, *counts, scale, bool(data), recorded=recorded)
    return remove_negative(merge_bins(region, minimum))


def split(run: RunResult) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recorded and the simulated datasets of a run; OptionError without simulation, and if a kind is open."""
    datasets = {name: run.manifest["datasets"][name] for name in run.histograms}
    data = {name: about for name, about in datasets.items() if normalisation.kind_of(name, about) == "data"}
    normalisation.require_distinct(data)
    simulated = {name: about for name, about in datasets.items() if name not in data}
    if not simulated:
        raise OptionError(f"templates need simulation; all datasets of the run are data: {', '.join(data)}")
    return data, simulated


def spectra(histograms: Mapping[str, hist.Hist], observable: str) -> hist.Hist:
    """The histogram (systematic, estimator, observable) of a dataset."""
    there = [name for name in OBSERVABLES if name in histograms]
    if observable not in there:
        raise UnknownName("observable of the run", observable, there)
    return histograms[observable]


def pick(histograms: Mapping[str, hist.Hist], observable: str, estimator: str) -> hist.Hist:
    """One estimator's histogram (systematic, observable)."""
    found = spectra(histograms, observable)
    if estimator not in found.axes["estimator"]:
        raise UnknownName("estimator of the run", estimator, list(found.axes["estimator"]))
    return found[{"estimator": estimator}]


def luminosity_of(data: Mapping[str, Any]) -> float:
    """Luminosity of all data, fb^-1."""
    if not data:
        raise OptionError("the run has no data with a luminosity: expected --luminosity, in fb^-1")
    return normalisation.luminosities(data)


def template(histogram: hist.Hist, systematic: str) -> Template:
    """One systematic's template, with underflow and overflow in the first and the last bin."""
    view = histogram[{"systematic": systematic}].view(flow=True)
    parts = [np.array(view[part], float) for part in ("value", "variance")]
    for part in parts:
        part[1] += part[0]
        part[-2] += part[-1]
    return Template(*(part[1:-1] for part in parts))


def process(histogram: hist.Hist, factor: float, metadata: Mapping[str, Any]) -> Process:
    """The process of one dataset; a variation with only one side is mirrored about the nominal."""
    nominal = template(histogram, NOMINAL).scale(factor)
    given = {name: template(histogram, name).scale(factor) for name in histogram.axes["systematic"] if name != NOMINAL}
    variations: dict[str, Template] = {}
    for name, varied in given.items():
        if not name.endswith((UP, DOWN)):
            variations |= {f"{name}{UP}": varied, f"{name}{DOWN}": mirror(varied, nominal)}
            continue
        other = source_of(name) + (DOWN if name.endswith(UP) else UP)
        variations |= {name: varied, other: given.get(other, mirror(varied, nominal))}
    return Process(nominal, variations, metadata.get("role") == "signal")


def mirror(varied: Template, nominal: Template) -> Template:
    """The other side of a variation."""
    return Template(2 * nominal.values - varied.values, varied.variances)


def add(one: Process, other: Process) -> Process:
    """The sum of two parts of a process; the nominal template stands for a variation that one part does not have."""
    names = {*one.variations, *other.variations}
    variations = {n: one.variations.get(n, one.nominal) + other.variations.get(n, other.nominal) for n in names}
    return Process(one.nominal + other.nominal, variations, one.signal or other.signal)


def signals(processes: Mapping[str, Process], named: Sequence[str]) -> dict[str, Process]:
    """The processes, of which those named are signal; OptionError without any signal."""
    for name in named:
        if name not in processes:
            raise UnknownName("process", name, processes)
    out = {name: replace(each, signal=name in named if named else each.signal) for name, each in processes.items()}
    if not any(each.signal for each in out.values()):
        raise OptionError(f"no process is signal: expected --signal with one of {', '.join(out)}")
    return out


def sum_of(templates: Iterable[Template]) -> Template:
    """The sum of at least one template."""
    first, *others = templates
    for other in others:
        first = first + other
    return first


def merge_bins(region: Region, minimum: float) -> Region:
    """The region with neighbouring bins merged, from the left, until each has ``minimum`` effective events."""
    expected = sum_of(each.nominal for each in region.processes.values())
    starts = bins_of(expected, minimum)
    processes = {
        name: replace(
            each,
            nominal=each.nominal.merge(starts),
            variations={n: varied.merge(starts) for n, varied in each.variations.items()},
        )
        for name, each in region.processes.items()
    }
    before, after = len(expected.values), len(starts)
    note = f"{before} bins merged to {after}: each has {minimum:g} effective simulated events"
    return replace(
        region,
        edges=np.append(region.edges[starts], region.edges[-1]),
        data=np.add.reduceat(region.data, starts),
        processes=processes,
        notes=region.notes + ((note,) if after < before else ()),
    )


def bins_of(expected: Template, minimum: float) -> NDArray[np.int64]:
    """(new bins,) first bin of each wider one; OptionError if all events together are too few for one bin."""
    starts, value, variance = [0], 0.0, 0.0
    for number, (v, s) in enumerate(zip(*expected, strict=True)):
        if value > 0 and value**2 >= minimum * variance > 0:
            starts.append(number)
            value = variance = 0.0
        value, variance = value + v, variance + s
    if not (value > 0 and value**2 >= minimum * variance):
        starts.pop()
    if not starts:
        total, squares = (part.sum() for part in expected)
        effective = max(total, 0.0) ** 2 / squares if squares > 0 else 0.0
        raise OptionError(f"templates need {minimum:g} effective simulated events, the run has {effective:.3g}")
    return np.array(starts)


def remove_negative(region: Region) -> Region:
    """The region with negative bins set to zero, and without processes and variations that have no events."""
    notes, processes = list(region.notes), {}
    for name, each in region.processes.items():
        nominal, said = clip(each.nominal, name)
        notes += said
        if not nominal.values.any():
            if each.signal:
                raise OptionError(f"{region.name}: the signal {name} has no events")
            notes.append(f"{name} has no events here and is left out")
            continue
        variations = {}
        for variation, varied in each.variations.items():
            variations[variation], said = clip(varied, f"{name} {variation}")
            notes += said
        processes[name] = replace(each, nominal=nominal, variations=without_empty(variations))
    return replace(region, processes=processes, notes=tuple(notes))


def clip(template: Template, name: str) -> tuple[Template, list[str]]:
    """A template with negative bins set to zero, and a note about it."""
    below = template.values < 0
    if not below.any():
        return template, []
    lost = template.values[below].sum()
    note = f"{name}: {below.sum()} bins below zero ({lost:.3g} of {template.values.sum():.4g} events) set to 0"
    return Template(np.where(below, 0.0, template.values), template.variances), [note]


def without_empty(variations: Mapping[str, Template]) -> dict[str, Template]:
    """The variations whose two sides both have events."""
    empty = {source_of(name) for name, t in variations.items() if not t.values.any()}
    return {n: t for n, t in variations.items() if source_of(n) not in empty}
