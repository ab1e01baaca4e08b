"""Training events of DeepMET: flat candidates, the true pTmiss, and the leptons that may be removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import awkward as ak
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptmiss import candidates as pf_candidates
from ptmiss.angles import wrap
from ptmiss.errors import FileError, OptionError
from ptmiss.estimators.network import NEEDED
from ptmiss.estimators.reconstruction import Reconstruction, without_elements
from ptmiss.events import EventFile, expand, inspect, read_chunks
from ptmiss.networks.inputs import Inputs
from ptmiss.progress import log
from ptmiss.recoil import cartesian
from ptmiss.segments import Offsets, from_counts
from ptmiss.truth import CHARGED, COLUMNS, decay_leptons, generated_met, generated_particles, of_kind

from ..training import Progress
from . import cache

LEPTONS = 2  # the leading ones of an event may be removed
MAX_DR = 0.1
CHUNK = 2000  # events read at a time
PART = 500  # events reconstructed at a time, and kept together


@dataclass(frozen=True)
class Dataset:
    """Events for the training.

    features: (candidates, 8), momenta in units of 50 GeV. categories: (candidates,) rows of the category table.
    offsets: (events + 1,).
    target: (events, 2) generated pTmiss, GeV: neutrinos, and leptons of the hard process that left no candidate.
    lepton: (events, 2) numbers, in their event, of the candidates of the two leading leptons of the hard process; -1
    for none.
    lepton_momentum: (events, 2, 2) generated px and py of these leptons, GeV.
    latents: (candidates, width) what the MLPF that made the candidates knows of them; width 0 if nobody asks for it.
    """

    features: NDArray[np.float32]
    categories: NDArray[np.uint8]
    offsets: Offsets
    target: NDArray[np.float32]
    lepton: NDArray[np.int64]
    lepton_momentum: NDArray[np.float32]
    latents: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def first(self, n: int) -> Dataset:
        """The first events."""
        offsets = self.offsets[: n + 1]
        rows = slice(0, offsets[-1])
        of_events = self.target[:n], self.lepton[:n], self.lepton_momentum[:n]
        return Dataset(self.features[rows], self.categories[rows], offsets, *of_events, self.latents[rows])

    def last(self, n: int) -> Dataset:
        """The last events."""
        return self.select(np.arange(len(self)) >= len(self) - n)

    def select(self, mask: NDArray[np.bool_]) -> Dataset:
        """The events in a mask, shape (events,)."""
        counts = np.diff(self.offsets)
        keep = np.repeat(mask, counts)
        offsets = from_counts(counts[mask])
        of_events = self.target[mask], self.lepton[mask], self.lepton_momentum[mask]
        return Dataset(self.features[keep], self.categories[keep], offsets, *of_events, self.latents[keep])

    @staticmethod
    def concatenate(parts: Iterable[Dataset]) -> Dataset:
        """The events of all parts, one after the other. Parts that come one by one are never held beside the whole."""
        remaining = iter(parts)
        columns = {name: np.array(column) for name, column in vars(next(remaining)).items()}
        for part in remaining:
            following = vars(part) | {"offsets": part.offsets[1:] + columns["offsets"][-1]}
            for name, column in columns.items():
                append(column, following[name])
        return Dataset(**columns)


def append(column: NDArray, values: NDArray) -> None:
    """Make a column longer by some values, in its place."""
    n = len(column)
    column.resize((n + len(values), *column.shape[1:]), refcheck=False)
    column[n:] = values


def read(
    patterns: Iterable[str],
    limit: int | None = None,
    progress: Progress | None = None,
    made_by: Reconstruction | None = None,
    columns: Sequence[str] = NEEDED,
) -> Dataset:
    """The events of simulated files in one dataset, see :func:`parts`."""
    return Dataset.concatenate(parts(patterns, limit, progress, made_by, columns))


def parts(
    patterns: Iterable[str],
    limit: int | None = None,
    progress: Progress | None = None,
    made_by: Reconstruction | None = None,
    columns: Sequence[str] = NEEDED,
) -> Iterator[Dataset]:
    """The events of simulated files, from each at most the first ``limit``, some at a time; files are checked at once.

    made_by: makes the candidates of the files' elements; without one they are those of the files. columns: those of
    candidates that a network needs.
    FileError for a file without generated pTmiss, ColumnError for one without candidates or elements.
    """
    sources = [require_truth(inspect(path), made_by) for path in expand(patterns)]
    if made_by:
        return not_empty(reconstruct(sources, limit, made_by, columns, progress), sources)
    return not_empty(map(of_events, read_chunks(sources, CHUNK, limit, progress)), sources)


def not_empty(parts: Iterable[Dataset], sources: Sequence[EventFile]) -> Iterator[Dataset]:
    """The same parts; OptionError at the end if there are no events in them."""
    events = 0
    for part in parts:
        events += len(part)
        yield part
    if not events:
        without = "have no elements" if any(source.entries for source in sources) else "are empty"
        raise OptionError(f"no events to train on: the files {without}")


def reconstruct(
    sources: Sequence[EventFile],
    limit: int | None,
    made_by: Reconstruction,
    columns: Sequence[str],
    progress: Progress | None,
) -> Iterator[Dataset]:
    """The events of files with candidates that a reconstruction makes, or has made before, part by part."""
    ranges = [(source, entries) for source in sources for entries in source.ranges(PART, limit)]
    total, done, found = sum(stop - start for _, (start, stop) in ranges), 0, 0
    for source, (start, stop) in ranges:
        part = reconstructed(source, start, stop, made_by, columns)
        yield part
        done, found = done + stop - start, found + len(part)
        if progress:
            progress("reconstructed", done, total)
    if found < done:
        log.warning("%d of %d events have no elements and are left out", done - found, done)


def reconstructed(
    source: EventFile, start: int, stop: int, made_by: Reconstruction, columns: Sequence[str] = NEEDED
) -> Dataset:
    """A range of entries of a file with candidates that a reconstruction makes, or has made before."""

    def make() -> cache.Columns:
        return vars(of_events(source.events(start, stop), made_by, columns))

    return Dataset(**cache.kept(source, (start, stop), made_by, columns, make))


def require_truth(source: EventFile, made_by: Reconstruction | None = None) -> EventFile:
    """The file itself, if it has truth, and candidates or what makes them; FileError or ColumnError otherwise."""
    for branch in ("GenMET_pt", "GenMET_phi", *(f"GenPart_{name}" for name in COLUMNS)):
        if branch not in source.branches:
            raise FileError(f"{source.path} cannot be trained on: it has no truth (branch {branch} is missing)")
    if made_by:
        made_by.require(NEEDED, source.branches, "deepmet", source.path)
    else:
        pf_candidates.require(NEEDED, source.branches, "deepmet", source.path)
    return source


def of_events(events: ak.Array, made_by: Reconstruction | None = None, columns: Sequence[str] = NEEDED) -> Dataset:
    """A dataset of coffea's NanoEvents, of shape (events,); of those with elements, if candidates are made of them."""
    if made_by and (blind := without_elements(events)).any():
        events = events[~blind]
    candidates = made_by.candidates(events, columns) if made_by else pf_candidates.read(events, columns)
    inputs = Inputs.from_candidates(candidates)
    lepton, momentum, lost = leading_leptons(events, candidates)
    return Dataset(
        inputs.features,
        inputs.rows,
        inputs.offsets,
        (generated_met(events) + lost).astype(np.float32),
        lepton,
        momentum,
        np.zeros((len(inputs.rows), 0), np.float16) if inputs.latents is None else inputs.latents,
    )


def leading_leptons(
    events: ak.Array, candidates: pf_candidates.Candidates
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """The two leading electrons and muons of each event's hard process.

    Returns (events, 2) numbers of their candidates in the event, -1 for no lepton or no candidate; (events, 2, 2) their
    generated px and py, GeV; and (events, 2) the sum of px and py of those without a candidate, GeV.
    """
    particles = generated_particles(events)
    particles = particles[decay_leptons(particles) & of_kind(particles, CHARGED)]
    leading = particles[ak.argsort(particles.pt, ascending=False)][:, :LEPTONS]
    columns = {name: pad(leading[name]) for name in ("pt", "eta", "phi", "pdgId")}
    index = np.stack([nearest(candidates, {n: c[:, i] for n, c in columns.items()}) for i in range(LEPTONS)], axis=1)
    momentum = cartesian(columns["pt"], columns["phi"]).astype(np.float32)
    lost = np.where((index < 0)[..., np.newaxis], momentum, np.float32(0)).sum(axis=1)
    return index, momentum, lost


def nearest(candidates: pf_candidates.Candidates, lepton: Mapping[str, NDArray]) -> NDArray[np.int64]:
    """(events,) number, in its event, of the charged candidate nearest to the event's lepton; -1 for none.

    It has the same charge, lies within MAX_DR, and has half to twice the lepton's pt. Its pdgId does not count, since a
    muon that was not identified is a charged hadron. lepton: columns (events,): pt (GeV), eta, phi, pdgId.
    """
    counts = np.diff(candidates.offsets)
    eta, phi, pt = (np.repeat(lepton[name].astype(np.float32), counts) for name in ("eta", "phi", "pt"))
    charge = np.repeat(-np.sign(lepton["pdgId"]).astype(np.int32), counts)
    ratio = candidates["pt"] / np.maximum(pt, np.float32(1e-3))
    alike = np.flatnonzero((candidates["charge"] == charge) & (charge != 0) & (ratio > 0.5) & (ratio < 2))
    dr = np.hypot(candidates["eta"][alike] - eta[alike], wrap(candidates["phi"][alike] - phi[alike]))
    event = np.searchsorted(candidates.offsets, alike, side="right") - 1
    order = np.lexsort((dr, event))
    order = order[dr[order] < MAX_DR]
    events, first = np.unique(event[order], return_index=True)
    out = np.full(len(counts), -1)
    out[events] = alike[order[first]] - candidates.offsets[events]
    return out


def pad(column: ak.Array) -> NDArray:
    """A jagged column as (events, 2), filled up with zeros."""
    return ak.to_numpy(ak.fill_none(ak.pad_none(column, LEPTONS, clip=True), 0))


@dataclass(frozen=True)
class Batch:
    """Some events as tensors.

    features: (candidates, 8), momenta in units of 50 GeV. categories: (candidates,) rows of the category table.
    event: (candidates,) number of each one's event. target: (events, 2) true pTmiss, removed leptons included, GeV.
    latents: (candidates, width), see Dataset.
    """

    features: Tensor
    categories: Tensor
    event: Tensor
    target: Tensor
    latents: Tensor

    def sum_by_event(self, values: Tensor) -> Tensor:
        """(events, k) sums of (candidates, k)."""
        return values.new_zeros(len(self.target), values.shape[1]).index_add(0, self.event, values)

    def to(self, device: str) -> Batch:
        """The same on a device."""
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def batch(
    dataset: Dataset, events: NDArray[np.integer], removed: NDArray[np.bool_], angle: NDArray[np.floating] | None = None
) -> Batch:
    """Events of a dataset, without some leptons, and rotated in phi.

    events: (batch,) numbers. removed: (batch, 2) mask of the two leading leptons to leave out, which the target counts
    as missing. angle: (batch,) rad.
    """
    start, stop = dataset.offsets[events], dataset.offsets[events + 1]
    counts = stop - start
    features, categories, latents = (
        np.concatenate([column[a:b] for a, b in zip(start, stop, strict=True)])
        for column in (dataset.features, dataset.categories, dataset.latents)
    )
    first = np.cumsum(counts) - counts
    removed = removed & (dataset.lepton[events] >= 0)
    keep = np.ones(len(features), bool)
    keep[(first[:, np.newaxis] + dataset.lepton[events])[removed]] = False
    event = np.repeat(np.arange(len(events)), counts)[keep]
    features = features[keep]
    target = dataset.target[events] + (removed[..., np.newaxis] * dataset.lepton_momentum[events]).sum(axis=1)
    if angle is not None:
        features[:, 6:] = rotate(features[:, 6:], angle[event])
        target = rotate(target, angle)
    arrays = features, categories[keep].astype(np.int64), event, target.astype(np.float32), latents[keep]
    return Batch(*map(torch.from_numpy, arrays))


def rotate(vectors: NDArray, angle: NDArray) -> NDArray:
    """(n, 2) vectors, rotated by angles (n,), rad."""
    cos, sin = np.cos(angle, dtype=vectors.dtype), np.sin(angle, dtype=vectors.dtype)
    return np.stack([cos * vectors[:, 0] - sin * vectors[:, 1], sin * vectors[:, 0] + cos * vectors[:, 1]], axis=1)


@dataclass(frozen=True)
class Loader:
    """Shuffled batches of a dataset.

    Each event is rotated by a random angle, and loses none, one or both of its leading leptons. The same seed and epoch
    give the same batches.
    """

    dataset: Dataset
    size: int
    seed: int
    remove_leptons: bool = True

    def __len__(self) -> int:
        return max(len(self.dataset) // self.size, 1)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch; events that do not fill a batch are left out."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.dataset))
        for i in range(len(self)):
            rng = np.random.default_rng([self.seed, number, i])
            events = order[i * self.size : (i + 1) * self.size]
            yield batch(
                self.dataset, events, self.draw_removed(len(events), rng), rng.uniform(0, 2 * np.pi, len(events))
            )

    def draw_removed(self, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """(n, 2) mask of the leptons to remove: none, one or both of an event with equal probability."""
        how_many = rng.integers(0, LEPTONS + 1, n) if self.remove_leptons else np.zeros(n, np.int64)
        return rng.permuted(np.arange(LEPTONS) < how_many[:, np.newaxis], axis=1)


def plain(dataset: Dataset, size: int) -> Iterator[Batch]:
    """All events in their order, for a measurement: without the leading leptons, and not rotated."""
    for start in range(0, len(dataset), size):
        events = np.arange(start, min(start + size, len(dataset)))
        yield batch(dataset, events, np.ones((len(events), LEPTONS), bool))
