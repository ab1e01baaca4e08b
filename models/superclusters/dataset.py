"""Windows around seeds of simulated events with material, and of which particle each cluster is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import awkward as ak
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptmiss.elements import ECAL
from ptmiss.errors import ColumnError, OptionError
from ptmiss.events import EventFile, expand, inspect, read_chunks
from ptmiss.networks.superclusters import FEATURES
from ptmiss.segments import Offsets, event_of, from_counts
from ptmiss.simulation.windows import Places, around

from ..training import Progress

CHUNK = 500  # events read at a time
LEAST_ET, LEAST_SHARE = 3.0, 0.5
"""Least transverse energy (GeV) of a seed to train on, and least share of its energy that its particle left."""
ELEMENT, SHOWER = "PFElement", "PFElementShower"
NEEDED = (f"{ELEMENT}_nCells", f"{SHOWER}_particle", f"{SHOWER}_energy", f"{SHOWER}_share")
DPHI = FEATURES.index("dphi")


class Batch(NamedTuple):
    """Some windows as tensors.

    features: (clusters, 13); energy, share: (clusters,) GeV and the part that the seed's particle left; window:
    (clusters,) the window of each; first: (windows,) row of each seed; true: (windows,) GeV, energy of its particle.
    """

    features: Tensor
    energy: Tensor
    share: Tensor
    window: Tensor
    first: Tensor
    true: Tensor


@dataclass(frozen=True)
class Dataset:
    """Windows for the training, see Batch; offsets: (windows + 1,)."""

    features: NDArray[np.float32]
    energy: NDArray[np.float32]
    share: NDArray[np.float32]
    offsets: Offsets
    true: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.true)

    def rows(self, windows: NDArray[np.int64]) -> tuple[NDArray[np.int64], Offsets]:
        """Rows of the clusters of some windows, and their offsets."""
        counts = np.diff(self.offsets)[windows]
        offsets = from_counts(counts)
        return np.repeat(self.offsets[windows] - offsets[:-1], counts) + np.arange(offsets[-1]), offsets

    def select(self, windows: NDArray[np.bool_]) -> Dataset:
        """The windows of a mask, (windows,)."""
        rows, offsets = self.rows(np.flatnonzero(windows))
        return Dataset(self.features[rows], self.energy[rows], self.share[rows], offsets, self.true[windows])

    def batch(self, windows: NDArray[np.int64], mirrored: NDArray[np.bool_] | None = None) -> Batch:
        """Some windows; those of a mask (windows,) are mirrored in phi."""
        rows, offsets = self.rows(windows)
        features, window = self.features[rows], event_of(offsets)
        if mirrored is not None:
            features[:, DPHI] *= np.where(mirrored, -1, 1)[window]
        arrays = (features, self.energy[rows], self.share[rows], window, offsets[:-1], self.true[windows])
        return Batch(*map(torch.from_numpy, arrays))

    @staticmethod
    def concatenate(parts: Sequence[Dataset]) -> Dataset:
        """All windows of some datasets."""
        offsets = from_counts(np.concatenate([np.diff(part.offsets) for part in parts]))
        columns = ("features", "energy", "share", "true")
        features, energy, share, true = (np.concatenate([getattr(p, name) for p in parts]) for name in columns)
        return Dataset(features, energy, share, offsets, true)


@dataclass(frozen=True)
class Loader:
    """Batches of windows in an order of the seed and the epoch, each window mirrored in phi or not."""

    dataset: Dataset
    size: int
    seed: int

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, the same in every call."""
        rng = np.random.default_rng([self.seed, number])
        order = rng.permutation(len(self.dataset))
        for windows in np.array_split(order, len(self)):
            yield self.dataset.batch(windows, rng.random(len(windows)) < 0.5)


def read(paths: Iterable[str], n: int | None = None, progress: Progress | None = None) -> Dataset:
    """The windows of files; n: events from each."""
    files = [inspect(path) for path in expand(paths)]
    for file in files:
        require(file)
    parts = [of_events(events) for events in read_chunks(files, CHUNK, n, progress, "reading events")]
    found = Dataset.concatenate(parts)
    if not len(found):
        names = ", ".join(file.path for file in files)
        raise OptionError(f"no electron or photon above {LEAST_ET:g} GeV in {names}")
    return found


def require(file: EventFile) -> None:
    """Raise ColumnError unless a file knows what showered in its clusters."""
    if missing := [name for name in NEEDED if name not in file.branches]:
        raise ColumnError(
            f"{file.path} lacks {', '.join(missing)}: ptmiss simulate --set material=1 --elements -1 writes them"
        )


def of_events(events: ak.Array) -> Dataset:
    """Windows around the hardest cluster of each electron and photon of some events."""
    mask = events[ELEMENT]["type"] == ECAL
    offsets = from_counts(ak.to_numpy(ak.sum(mask, axis=1)))

    def column(collection: str, name: str) -> NDArray:
        return ak.to_numpy(ak.flatten(events[collection][name][mask]))

    places = Places(*(column(ELEMENT, name) for name in ("caloEta", "caloPhi", "energy", "width", "nCells")))
    particle, true, share = (column(SHOWER, name) for name in ("particle", "energy", "share"))
    return of_places(places, particle, true, share, offsets)


def of_places(places: Places, particle: NDArray, true: NDArray, share: NDArray, offsets: Offsets) -> Dataset:
    """The same of flat arrays (clusters,), see ptmiss.simulation.truth.Showers; offsets: (events + 1,)."""
    found = around(places, offsets, LEAST_ET)
    own = (event_of(offsets) << 32) + particle
    seeds = hardest(own, places.et)[found.seed] & (particle[found.seed] >= 0) & (share[found.seed] > LEAST_SHARE)
    same = own[found.row] == np.repeat(own[found.seed], np.diff(found.offsets))
    of_seed = np.where(same, share[found.row], 0)
    energy = np.asarray(places.energy)[found.row]
    energy, of_seed, true = (column.astype(np.float32) for column in (energy, of_seed, true[found.seed]))
    return Dataset(found.features, energy, of_seed, found.offsets, true).select(seeds)


def hardest(own: NDArray[np.int64], et: NDArray) -> NDArray[np.bool_]:
    """(clusters,) the one with the largest transverse energy of those with the same number ``own``."""
    order = np.lexsort((et, own))
    out = np.zeros(len(own), np.bool_)
    out[order] = np.append(np.diff(own[order]) != 0, True)
    return out
