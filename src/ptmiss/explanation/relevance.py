"""Which elements made a candidate of MLPF: tables of gradient times input, and how they were made.

``ptmiss.models.mlpf.relevance`` says what relevance is. Here it becomes shares: the absolute value of an element's or
a feature's relevance over the sum of those of all elements of the event.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptmiss import elements as pf_elements
from ptmiss import results
from ptmiss.angles import wrap
from ptmiss.elements import CLASSES, TYPES, Elements
from ptmiss.errors import FileError, OptionError, needs_torch
from ptmiss.events import expand, inspect, read_chunks
from ptmiss.files import AnyPath, as_path
from ptmiss.files.provenance import provenance
from ptmiss.plots import save
from ptmiss.progress import Callback
from ptmiss.segments import Offsets
from ptmiss.tables import show as show_table
from ptmiss.tables import with_error

if TYPE_CHECKING:
    from ptmiss.models.mlpf.relevance import Attribution

SOURCES, FEATURES, DISPLAY = "sources", "features", "display"
ITSELF = "itself"
EDGES = (0.0, 0.05, 0.15, 0.5, np.inf)
DISTANCES = ("ΔR < 0.05", "0.05 to 0.15", "0.15 to 0.5", "ΔR > 0.5")
NEAR = 0.6  # in dR: elements that a display shows
MOST_EVENTS, CHUNK = 100, 20


@dataclass(frozen=True)
class Relevance:
    """Tables of an explanation of an MLPF.

    sources: share of the candidate's own element, and of others by type and by distance, of each class of candidates,
    for its class and its pt. features: share of each input, of the own element and of others. display: the hardest
    of the drawn candidates of each class, and the elements around it.
    """

    model: str
    sources: pd.DataFrame
    features: pd.DataFrame
    display: pd.DataFrame

    def figures(self, label: str = "") -> dict[str, Figure]:
        """Its figures by name."""
        from ptmiss.explanation import relevance_figures as figures

        return {
            SOURCES: figures.of_sources(self.sources, label),
            FEATURES: figures.of_features(self.features, label),
            DISPLAY: figures.of_display(self.display, label),
        }


def explain(
    model: AnyPath,
    files: Sequence[str],
    output: AnyPath | None = None,
    *,
    max_events: int | None = None,
    seed: int = 1,
    label: str = "",
    formats: Sequence[str] = ("png",),
    progress: Callback | None = None,
) -> Relevance:
    """Explain an MLPF on events with elements; write everything into a directory, if there is one.

    max_events: of each file; the first 100 if it is not given. seed: of the candidates that are drawn.
    """
    with needs_torch("an explanation of MLPF"):
        from ptmiss.models.mlpf.reconstruction import load
        from ptmiss.models.mlpf.relevance import attribute
    mlpf, rng = load(model), np.random.default_rng(seed)
    parts = read(files, max_events or MOST_EVENTS, progress)
    attributions = (pair for elements in parts for pair in attribute(mlpf, elements, rng))
    found = tabulate(mlpf.name, mlpf.network.schema.features, attributions)
    if output is not None:
        made = provenance(files=list(files), max_events=max_events or MOST_EVENTS, seed=seed, model=mlpf.name)
        write(found, output, made, label, formats)
    return found


def read(files: Sequence[str], limit: int, progress: Callback | None) -> Iterator[Elements]:
    """The elements of files, some events at a time; limit: most events of each file."""
    sources = [inspect(path) for path in expand(files)]
    for source in sources:
        pf_elements.require(source.branches, source.path)
    return (Elements.of_events(events) for events in read_chunks(sources, CHUNK, limit, progress))


def tabulate(model: str, inputs: Sequence[str], found: Iterable[tuple[Elements, Attribution]]) -> Relevance:
    """The tables of attributions; OptionError if there is no candidate."""
    sources, features = defaultdict(list), defaultdict(list)
    display: dict[int, tuple[float, pd.DataFrame]] = {}
    for elements, one in found:
        place = Place.of(elements, one.rows)
        sources[one.candidate, one.quantity].append(place.shares(np.abs(one.relevance.sum(axis=1, dtype=np.float64))))
        features[one.candidate, one.quantity].append(place.input_shares(one.relevance))
        hardest = int(one.pt.argmax())
        known = display.get(one.candidate)
        if one.quantity == "class" and (known is None or one.pt[hardest] > known[0]):
            display[one.candidate] = float(one.pt[hardest]), place.around(hardest, one, elements)
    if not sources:
        raise OptionError("no candidate above 1 GeV: an explanation of MLPF needs events with elements")
    return Relevance(
        model,
        pd.DataFrame([row for key in sorted(sources) for row in source_rows(*key, np.concatenate(sources[key]))]),
        pd.DataFrame([row for key in sorted(features) for row in feature_rows(*key, inputs, features[key])]),
        pd.concat([display[key][1] for key in sorted(display)], ignore_index=True),
    )


@dataclass(frozen=True)
class Place:
    """Where elements are with respect to the candidate of their event.

    rows: (events,) row of the candidate, -1 for none. owner: (n,) that of the element's event. group: (n,) 0 for the
    candidate's own element, then a number for each type and distance; -1 in events without a candidate.
    """

    offsets: Offsets
    rows: NDArray[np.int64]
    owner: NDArray[np.int64]
    group: NDArray[np.int64]

    @staticmethod
    def of(elements: Elements, rows: NDArray[np.int64]) -> Place:
        """The places of some events' elements."""
        owner = np.repeat(rows, np.diff(elements.offsets))
        ring = np.digitize(np.hypot(*apart(elements, owner)), EDGES[1:-1])
        kind = np.searchsorted(list(TYPES), elements["type"])
        group = np.where(owner == np.arange(len(owner)), 0, 1 + kind * len(DISTANCES) + ring)
        return Place(elements.offsets, rows, owner, np.where(owner >= 0, group, -1))

    @property
    def event(self) -> NDArray[np.intp]:
        """(n,) number of each element's event."""
        return np.repeat(np.arange(len(self.rows)), np.diff(self.offsets))

    def shares(self, size: NDArray[np.float64]) -> NDArray[np.float64]:
        """(candidates, groups) shares of sizes (n,), which are positive."""
        groups = 1 + len(TYPES) * len(DISTANCES)
        kept = self.group >= 0
        cell = self.event[kept] * groups + self.group[kept]
        sums = np.bincount(cell, size[kept], len(self.rows) * groups).reshape(-1, groups)[self.rows >= 0]
        return sums / sums.sum(axis=1, keepdims=True)

    def input_shares(self, relevance: NDArray[np.float32]) -> NDArray[np.float64]:
        """(candidates, 2, F) shares of each input, of the own element and of others."""
        kept, n = self.group >= 0, relevance.shape[1]
        cell = 2 * self.event[kept] + (self.group[kept] > 0)
        sizes = np.abs(relevance[kept].astype(np.float64)).T
        sums = np.stack([np.bincount(cell, size, 2 * len(self.rows)) for size in sizes], axis=-1)
        sums = sums.reshape(-1, 2, n)[self.rows >= 0]
        return sums / sums.sum(axis=(1, 2), keepdims=True)

    def around(self, event: int, one: Attribution, elements: Elements) -> pd.DataFrame:
        """The elements around an event's candidate, the own one first, and their signed shares."""
        where = slice(self.offsets[event], self.offsets[event + 1])
        size = one.relevance[where].sum(axis=1, dtype=np.float64)
        columns = {name: elements[name][where] for name in ("eta", "phi", "pt", "type")}
        frame = pd.DataFrame(columns | {"share": size / np.abs(size).sum()})
        frame["deta"], frame["dphi"] = (part[where] for part in apart(elements, self.owner))
        frame.insert(0, "candidate", CLASSES[one.candidate])
        frame["candidate_pt"], frame["own"] = float(one.pt[event]), self.group[where] == 0
        near = frame[np.hypot(frame["deta"], frame["dphi"]) < NEAR]
        return near.sort_values("own", ascending=False, kind="stable")


def apart(elements: Elements, others: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """(n,) each: eta and phi on the calorimeter, or of what does not reach it at the beam, less those of other rows."""
    reached = (elements["caloEta"] != 0) | (elements["caloPhi"] != 0)
    eta = np.where(reached, elements["caloEta"], elements["eta"])
    phi = np.where(reached, elements["caloPhi"], elements["phi"])
    return eta - eta[others], wrap(phi - phi[others])


def source_rows(candidate: int, quantity: str, shares: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    """Mean shares of the own element, and of others by type and by distance."""
    cells = shares[:, 1:].reshape(len(shares), len(TYPES), len(DISTANCES))
    named = {(ITSELF, ITSELF): shares[:, 0]}
    named |= {("type", name): cells[:, i].sum(axis=1) for i, name in enumerate(TYPES.values())}
    named |= {("distance", name): cells[:, :, i].sum(axis=1) for i, name in enumerate(DISTANCES)}
    for (level, name), values in named.items():
        about = {"candidate": CLASSES[candidate], "quantity": quantity, "level": level, "source": name}
        yield {**about, "candidates": len(values), **mean("share", values)}


def feature_rows(
    candidate: int, quantity: str, inputs: Sequence[str], parts: Sequence[NDArray[np.float64]]
) -> Iterator[dict[str, Any]]:
    """Mean shares of each input."""
    shares = np.concatenate(parts)
    for i, name in enumerate(inputs):
        about = {"candidate": CLASSES[candidate], "quantity": quantity, "input": name, "candidates": len(shares)}
        yield {**about, **mean(ITSELF, shares[:, 0, i]), **mean("others", shares[:, 1, i])}


def mean(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    """A mean over candidates of different events, and its error."""
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return {name: float(values.mean()), f"{name}_error": float(error)}


def write(found: Relevance, output: AnyPath, made: Any, label: str, formats: Sequence[str]) -> None:
    """Tables and figures, whole or not at all."""
    with results.replacing_directory(as_path(output)) as temporary:
        for name in (SOURCES, FEATURES, DISPLAY):
            getattr(found, name).to_csv(temporary / f"{name}.csv", index=False, float_format="%.6g")
        for name, figure in found.figures(label).items():
            save(figure, temporary / name, formats)
        (temporary / results.MANIFEST).write_text(results.as_json(made))


def open_directory(directory: AnyPath) -> Relevance:
    """An explanation that was written; FileError if it is incomplete."""
    place = as_path(directory)
    try:
        found = [pd.read_csv(place / f"{name}.csv") for name in (SOURCES, FEATURES, DISPLAY)]
    except (OSError, ValueError) as error:
        raise FileError(f"{place} is not an explanation of an MLPF: {error}") from error
    return Relevance(place.name, *found)


def show(found: Relevance) -> None:
    """Print the shares of the own element and of others, by type and by distance."""
    for quantity in found.sources["quantity"].unique():
        rows = found.sources[found.sources["quantity"] == quantity]
        names = list(rows["source"].unique())
        lines = []
        for candidate, own in rows.groupby("candidate", sort=False):
            shares = own.assign(share=100 * own["share"], share_error=100 * own["share_error"]).to_dict("records")
            lines.append([str(candidate), str(own["candidates"].iloc[0]), *(with_error(s, "share", 0) for s in shares)])
        show_table([f"{quantity} of", "candidates", *(f"{name}, %" for name in names)], lines)
