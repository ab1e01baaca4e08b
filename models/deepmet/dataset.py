"""Simulated events as DeepMET is trained on them: flat candidates, the true pTmiss, and the leptons that may be removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import awkward as ak
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptmiss import candidates as pf_candidates
from ptmiss.errors import FileError, OptionError
from ptmiss.estimators import NetworkEstimator
from ptmiss.events import EventFile, expand, inspect
from ptmiss.networks.inputs import Inputs
from ptmiss.recoil import cartesian
from ptmiss.segments import Offsets, from_counts
from ptmiss.truth import CHARGED, generated_met, prompt

from ..training import Progress

LEPTONS = 2  # the leading ones of an event may be removed
MAX_DR = 0.1
CHUNK = 2000  # events read at a time
NEEDED = NetworkEstimator("deepmet", "").columns


@dataclass(frozen=True)
class Dataset:
    """Events for the training.

    features: (candidates, 8), momenta in units of 50 GeV; categories: (candidates,) rows of the category table.
    offsets: (events + 1,).
    target: (events, 2) generated pTmiss, GeV: neutrinos, and prompt leptons that left no candidate.
    lepton: (events, 2) the candidates, counted from the event's first, of the two leading prompt leptons, -1 for none.
    lepton_momentum: (events, 2, 2) generated px and py of these leptons, GeV.
    """

    features: NDArray[np.float32]
    categories: NDArray[np.uint8]
    offsets: Offsets
    target: NDArray[np.float32]
    lepton: NDArray[np.int64]
    lepton_momentum: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def first(self, n: int) -> Dataset:
        """The first events."""
        offsets = self.offsets[: n + 1]
        columns = (self.features[: offsets[-1]], self.categories[: offsets[-1]], offsets)
        return Dataset(*columns, self.target[:n], self.lepton[:n], self.lepton_momentum[:n])

    def last(self, n: int) -> Dataset:
        """The last events."""
        return self.select(np.arange(len(self)) >= len(self) - n)

    def select(self, mask: NDArray[np.bool_]) -> Dataset:
        """The events in a mask."""
        counts = np.diff(self.offsets)
        keep = np.repeat(mask, counts)
        offsets = from_counts(counts[mask])
        columns = (self.features[keep], self.categories[keep], offsets)
        return Dataset(*columns, self.target[mask], self.lepton[mask], self.lepton_momentum[mask])

    @staticmethod
    def concatenate(parts: Sequence[Dataset]) -> Dataset:
        """The events of all parts, one after the other."""
        columns = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Dataset)}
        counts = np.concatenate([np.diff(part.offsets) for part in parts])
        return Dataset(**{**columns, "offsets": from_counts(counts)})


def read(patterns: Iterable[str], limit: int | None = None, progress: Progress | None = None) -> Dataset:
    """The events of simulated files, the first ``limit`` of each.

    Raises FileError for a file without generated pTmiss or without candidates.
    """
    sources = [checked(inspect(path)) for path in expand(patterns)]
    parts, total = [], sum(min(source.entries, limit or source.entries) for source in sources)
    done = 0
    for source in sources:
        for start in range(0, min(source.entries, limit or source.entries), CHUNK):
            stop = min(start + CHUNK, limit or source.entries, source.entries)
            parts.append(prepared(source.events(start, stop)))
            done += stop - start
            if progress:
                progress("read", done, total)
    if not done:
        raise OptionError("no events to train on: the files are empty")
    return Dataset.concatenate(parts)


def checked(source: EventFile) -> EventFile:
    """The file, if it can be trained on."""
    for branch in ("GenMET_pt", "GenMET_phi", "GenPart_pdgId", "GenPart_statusFlags"):
        if branch not in source.branches:
            raise FileError(f"{source.path} cannot be trained on: it has no truth (branch {branch} is missing)")
    pf_candidates.require(NEEDED, source.branches, "deepmet", source.path)
    return source


def prepared(events: ak.Array) -> Dataset:
    """Some events, read."""
    candidates = pf_candidates.read(events, NEEDED)
    inputs = Inputs.prepared(candidates)
    lepton, momentum, lost = leading_leptons(events, candidates)
    return Dataset(
        inputs.features,
        inputs.rows,
        inputs.offsets,
        (generated_met(events) + lost).astype(np.float32),
        lepton,
        momentum,
    )


def leading_leptons(
    events: ak.Array, candidates: pf_candidates.Candidates
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Of the two leading prompt leptons: their candidates, their generated momenta, and the sum of those without one.

    (events, 2) index in the event, -1 for no lepton or no candidate; (events, 2, 2) px, py; (events, 2) px, py of the
    leptons that left no candidate, GeV.
    """
    particles = events.GenPart[prompt(events.GenPart, CHARGED)]
    leading = particles[ak.argsort(particles.pt, ascending=False)][:, :LEPTONS]
    columns = {name: filled(leading[name]) for name in ("pt", "eta", "phi", "pdgId")}
    index = np.stack([nearest(candidates, {n: c[:, i] for n, c in columns.items()}) for i in range(LEPTONS)], axis=1)
    momentum = cartesian(columns["pt"], columns["phi"]).astype(np.float32)
    lost = np.where((index < 0)[..., np.newaxis], momentum, np.float32(0)).sum(axis=1)
    return index, momentum, lost


def nearest(candidates: pf_candidates.Candidates, lepton: Mapping[str, NDArray]) -> NDArray[np.int64]:
    """(events,) index in its event of the charged candidate nearest to each event's lepton; -1 for none.

    Same charge, within MAX_DR, half to twice its pt: a muon that was not identified is a charged hadron.
    """
    counts = np.diff(candidates.offsets)
    eta, phi, pt = (np.repeat(lepton[name].astype(np.float32), counts) for name in ("eta", "phi", "pt"))
    charge = np.repeat(-np.sign(lepton["pdgId"]).astype(np.int32), counts)
    ratio = candidates["pt"] / np.maximum(pt, np.float32(1e-3))
    alike = np.flatnonzero((candidates["charge"] == charge) & (charge != 0) & (ratio > 0.5) & (ratio < 2))
    dphi = (candidates["phi"][alike] - phi[alike] + np.pi) % (2 * np.pi) - np.pi
    dr = np.hypot(candidates["eta"][alike] - eta[alike], dphi)
    event = np.searchsorted(candidates.offsets, alike, side="right") - 1
    order = np.lexsort((dr, event))
    order = order[dr[order] < MAX_DR]
    events, first = np.unique(event[order], return_index=True)
    out = np.full(len(counts), -1)
    out[events] = alike[order[first]] - candidates.offsets[events]
    return out


def filled(column: ak.Array) -> NDArray:
    """A jagged column as (events, 2), zero where there are fewer."""
    return ak.to_numpy(ak.fill_none(ak.pad_none(column, LEPTONS, clip=True), 0))


@dataclass(frozen=True)
class Batch:
    """Some events as a network takes them.

    features: (candidates, 8), momenta in units of 50 GeV; categories: (candidates,) rows of the category table.
    event: (candidates,) the event that each belongs to; target: (events, 2) pTmiss of all that is not there, GeV.
    """

    features: Tensor
    categories: Tensor
    event: Tensor
    target: Tensor

    def sum_by_event(self, values: Tensor) -> Tensor:
        """(events, k) sums of (candidates, k)."""
        return values.new_zeros(len(self.target), values.shape[1]).index_add(0, self.event, values)

    def to(self, device: str) -> Batch:
        """The same on a device."""
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def batch(
    dataset: Dataset, events: NDArray[np.integer], removed: NDArray[np.bool_], angle: NDArray[np.floating] | None = None
) -> Batch:
    """Events of a dataset, with leptons removed and turned in phi.

    removed: (events, 2), which of the two leading leptons are left out; the target counts them as missing.
    angle: (events,) rad.
    """
    start, stop = dataset.offsets[events], dataset.offsets[events + 1]
    counts = stop - start
    features = np.concatenate([dataset.features[a:b] for a, b in zip(start, stop, strict=True)])
    categories = np.concatenate([dataset.categories[a:b] for a, b in zip(start, stop, strict=True)])
    first = np.cumsum(counts) - counts
    removed = removed & (dataset.lepton[events] >= 0)
    keep = np.ones(len(features), bool)
    keep[(first[:, np.newaxis] + dataset.lepton[events])[removed]] = False
    event = np.repeat(np.arange(len(events)), counts)[keep]
    features = features[keep]
    target = dataset.target[events] + (removed[..., np.newaxis] * dataset.lepton_momentum[events]).sum(axis=1)
    if angle is not None:
        features[:, 6:] = rotated(features[:, 6:], angle[event])
        target = rotated(target, angle)
    arrays = features, categories[keep].astype(np.int64), event, target.astype(np.float32)
    return Batch(*map(torch.from_numpy, arrays))


def rotated(vectors: NDArray, angle: NDArray) -> NDArray:
    """Vectors (n, 2) turned by angles (n,)."""
    cos, sin = np.cos(angle, dtype=vectors.dtype), np.sin(angle, dtype=vectors.dtype)
    return np.stack([cos * vectors[:, 0] - sin * vectors[:, 1], sin * vectors[:, 0] + cos * vectors[:, 1]], axis=1)


@dataclass(frozen=True)
class Loader:
    """Batches of a dataset, the same for the same seed and epoch: shuffled, each event turned by a random angle and
    with none, one or both of its leading leptons removed."""

    dataset: Dataset
    size: int
    seed: int
    remove_leptons: bool = True

    def __len__(self) -> int:
        return max(len(self.dataset) // self.size, 1)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch; what does not fill a batch waits for another shuffle."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.dataset))
        for i in range(len(self)):
            rng = np.random.default_rng([self.seed, number, i])
            events = order[i * self.size : (i + 1) * self.size]
            yield batch(self.dataset, events, self.removed(len(events), rng), rng.uniform(0, 2 * np.pi, len(events)))

    def removed(self, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """(n, 2): none, one or both leptons of an event, with equal shares."""
        how_many = rng.integers(0, LEPTONS + 1, n) if self.remove_leptons else np.zeros(n, np.int64)
        return rng.permuted(np.arange(LEPTONS) < how_many[:, np.newaxis], axis=1)


def plain(dataset: Dataset, size: int) -> Iterator[Batch]:
    """All events in their order, as they are measured: the leading leptons left out, not turned."""
    for start in range(0, len(dataset), size):
        events = np.arange(start, min(start + size, len(dataset)))
        yield batch(dataset, events, np.ones((len(events), LEPTONS), bool))
