"""Training events of MLPF: elements and the particle behind each, in compact types, batched by number of elements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptmiss import elements as pf_elements
from ptmiss.angles import wrap
from ptmiss.elements import FULL_COLUMNS, Elements, Targets
from ptmiss.errors import OptionError
from ptmiss.events import EventFile, expand, inspect, read_chunks
from ptmiss.segments import Offsets, from_counts

from ..training import Progress
from .inputs import PackedElements, Schema, pack

CHUNK = 500  # events read at a time
TRUTH = ("type", "pt", "eta", "phi", "energy")
MIRRORED = ("eta", "caloEta", "dz", "z", "tanLambda")  # columns whose sign changes when the z axis is reversed


class Batch(NamedTuple):
    """Some events with n elements as tensors, and the truth.

    kind: (n,) number in CLASSES. pt, energy (GeV), eta, phi: (n,) of the particle behind each element, zero for none.
    """

    elements: PackedElements
    kind: Tensor
    pt: Tensor
    eta: Tensor
    phi: Tensor
    energy: Tensor

    def to(self, device: str) -> Batch:
        """The same on a device."""
        elements, *truth = self
        return Batch(elements.to(device), *(value.to(device) for value in truth))


@dataclass(frozen=True)
class Dataset:
    """Events for the training: elements and, row by row beside them, targets."""

    elements: Elements
    targets: Targets

    def __len__(self) -> int:
        return len(self.elements)

    @property
    def offsets(self) -> Offsets:
        """Offsets of the elements, shape (events + 1,)."""
        return self.elements.offsets

    def select(self, events: NDArray[np.integer] | NDArray[np.bool_]) -> Dataset:
        """Events by their numbers, in this order, or by a mask, shape (events,)."""
        events = np.flatnonzero(events) if events.dtype == np.bool_ else events
        start, counts = self.offsets[events], np.diff(self.offsets)[events]
        offsets = from_counts(counts)
        rows = np.repeat(start - offsets[:-1], counts) + np.arange(offsets[-1])
        columns = [{name: c[rows] for name, c in rows_of.columns.items()} for rows_of in (self.elements, self.targets)]
        return Dataset(Elements(columns[0], offsets), Targets(columns[1], offsets))

    def first(self, n: int) -> Dataset:
        """The first events."""
        where = slice(0, min(n, len(self)))
        return Dataset(self.elements.events(where), self.targets.events(where))

    def turn(self, angle: NDArray[np.floating], mirrored: NDArray[np.bool_]) -> Dataset:
        """Each event rotated in phi by an angle (events,), rad, and those of a mask (events,) reflected in z."""
        counts = np.diff(self.offsets)
        turn = np.repeat(angle.astype(np.float32), counts)
        sign = np.repeat(np.where(mirrored, np.float32(-1), np.float32(1)), counts)
        e, t = dict(self.elements.columns), dict(self.targets.columns)
        reached = (e["caloEta"] != 0) | (e["caloPhi"] != 0)
        e["caloPhi"] = np.where(reached, wrap(e["caloPhi"] + turn), np.float32(0))
        for columns in (e, t):
            columns["phi"] = wrap(columns["phi"] + turn)
        e |= turn_shapes(e, turn, mirrored=sign < 0)
        e |= {name: e[name] * sign for name in MIRRORED if name in e}
        t["eta"] = t["eta"] * sign
        return Dataset(Elements(e, self.offsets), Targets(t, self.offsets))

    def batch(self, chosen: Schema) -> Batch:
        """All events, with the features of a schema."""
        kind, *truth = (torch.from_numpy(self.targets[name]) for name in TRUTH)
        return Batch(pack(self.elements, chosen), kind.long(), *truth)

    @staticmethod
    def concatenate(parts: Sequence[Dataset]) -> Dataset:
        """The events of all parts, one after the other."""
        offsets = from_counts(np.concatenate([np.diff(part.offsets) for part in parts]))
        names = set.intersection(*(set(part.elements.columns) for part in parts))
        elements = {
            n: np.concatenate([part.elements[n] for part in parts]) for n in parts[0].elements.columns if n in names
        }
        targets = {n: np.concatenate([part.targets[n] for part in parts]) for n in TRUTH}
        return Dataset(Elements(elements, offsets), Targets(targets, offsets))


def turn_shapes(
    columns: Mapping[str, NDArray], turn: NDArray[np.float32], mirrored: NDArray[np.bool_]
) -> dict[str, NDArray]:
    """Positions and widths of clusters of full simulation, each (n,), rotated by angles (n,) and reflected in z.

    The correlation of widths in x and y is not in the files and taken to be zero. Empty without such columns.
    """
    if not {*FULL_COLUMNS} <= {*columns}:
        return {}
    sine, cosine = np.sin(turn), np.cos(turn)
    x, y, one, other = (columns[name] for name in ("x", "y", "sigmaX", "sigmaY"))
    theta = columns["iTheta"]
    return {
        "x": cosine * x - sine * y,
        "y": sine * x + cosine * y,
        "sigmaX": np.hypot(cosine * one, sine * other),
        "sigmaY": np.hypot(sine * one, cosine * other),
        "iTheta": np.where(mirrored & (theta != 0), np.float32(np.pi) - theta, theta),
    }


def read(patterns: Iterable[str], limit: int | None = None, progress: Progress | None = None) -> Dataset:
    """The events of simulated files that have elements, from each at most the first ``limit``."""
    sources = [require_targets(inspect(path)) for path in expand(patterns)]
    parts = [of_events(events) for events in read_chunks(sources, CHUNK, limit, progress)]
    return concatenate(parts, ", ".join(source.path for source in sources))


def concatenate(parts: Sequence[Dataset], origin: str) -> Dataset:
    """The events of all parts, which ``origin`` describes; OptionError if there are none."""
    if not any(len(part) for part in parts):
        raise OptionError(f"no elements to train on in {origin}")
    return Dataset.concatenate(parts)


def require_targets(source: EventFile) -> EventFile:
    """The file itself, if it has elements and targets; ColumnError otherwise."""
    pf_elements.require(source.branches, source.path, targets=True)
    return source


def of_events(events: Any) -> Dataset:
    """A dataset of coffea's NanoEvents, of shape (events,), without events that have no elements."""
    elements, targets = Elements.of_events(events), Targets.of_events(events)
    found = Dataset(
        Elements({name: small(c) for name, c in elements.columns.items()}, elements.offsets),
        Targets({name: small(targets[name]) for name in TRUTH}, targets.offsets),
    )
    return found.select(np.flatnonzero(np.diff(found.offsets)))


def small(column: NDArray) -> NDArray:
    """A column, same shape, with its integers in as few bytes as possible: there are tens of millions of them."""
    if column.dtype != np.int32:
        return column
    return column.astype(np.int8 if not len(column) or np.abs(column).max() < 128 else np.int16)


@dataclass(frozen=True)
class Loader:
    """Batches of about ``budget`` elements. Events are shuffled, rotated in phi and reflected in z at random.

    The same seed and epoch give the same batches. parts: number of epochs that together use every event once, for so
    many events that one such epoch would be long.
    """

    dataset: Dataset
    chosen: Schema
    budget: int
    seed: int
    parts: int = 1

    @cached_property
    def pieces(self) -> int:
        """Number of batches of all events: each has about ``budget`` elements, or as many as the largest event."""
        step = max(self.budget, int(np.diff(self.dataset.offsets).max()))
        return max(int(self.dataset.offsets[-1]) // step, 1)

    def __len__(self) -> int:
        return max(self.pieces // self.parts, 1)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch."""
        parts = min(self.parts, self.pieces)
        whole, part = divmod(number, parts)
        batches = self.shuffled_batches(np.random.default_rng([self.seed, whole]), len(self) * parts)
        for i, events in enumerate(batches[part * len(self) : (part + 1) * len(self)]):
            rng = np.random.default_rng([self.seed, number, i])
            angle, mirrored = rng.uniform(-np.pi, np.pi, len(events)), rng.random(len(events)) < 0.5
            yield self.dataset.select(events).turn(angle, mirrored).batch(self.chosen)

    def shuffled_batches(self, rng: np.random.Generator, n: int) -> list[NDArray[np.int64]]:
        """The numbers of all events, shuffled, in n batches (events,) with about equal numbers of elements."""
        order = rng.permutation(len(self.dataset))
        reached = np.cumsum(np.diff(self.dataset.offsets)[order])
        edges = np.searchsorted(reached, np.arange(1, n) * (reached[-1] / n)) + 1
        return np.split(order, edges)


def plain(dataset: Dataset, chosen: Schema, budget: int) -> Iterator[Batch]:
    """All events in their order, neither rotated nor reflected."""
    for where in dataset.elements.parts(budget):
        yield Dataset(dataset.elements.events(where), dataset.targets.events(where)).batch(chosen)
