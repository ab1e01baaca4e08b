"""The fit of the baseline with 64 weights, by least squares."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ptmiss.networks.features import SCALE
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.linear import CLASSES, Linear, classes
from ptmiss.segments import from_counts

from ..training import Progress
from .dataset import Batch, Dataset, Loader

EPOCHS = 3  # on average once with both leptons, once with one, once without


def fit(training: Dataset, seed: int, progress: Progress | None = None, batch_size: int = 256) -> Linear:
    """The weights with the least squared distance to the true pTmiss. A class that never occurs has weight 1."""
    loader = Loader(training, batch_size, seed)
    normal, right = np.zeros((CLASSES, CLASSES)), np.zeros(CLASSES)
    for i, batch in enumerate(batches(loader)):
        for component, sums in enumerate(class_sums(batch)):
            normal += sums.T @ sums
            right += sums.T @ batch.target.numpy()[:, component].astype(np.float64)
        if progress:
            progress("fit", i + 1, EPOCHS * len(loader))
    weight = np.ones(CLASSES)
    seen = np.flatnonzero(np.diag(normal))
    weight[seen] = np.linalg.lstsq(normal[np.ix_(seen, seen)], right[seen])[0]
    return Linear({"weight": weight.astype(np.float32)})


def batches(loader: Loader) -> Iterator[Batch]:
    """All batches of all epochs."""
    return (batch for epoch in range(EPOCHS) for batch in loader.epoch(epoch))


def class_sums(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Minus the sums of px and of py of each class, GeV, (events, 64) each."""
    features, event = batch.features.numpy(), batch.event.numpy()
    offsets = from_counts(np.bincount(event, minlength=len(batch.target)))
    found = classes(Inputs(features, batch.categories.numpy().astype(np.uint8), offsets))
    cell, cells = event * CLASSES + found, len(batch.target) * CLASSES
    px, py = (
        -SCALE * np.bincount(cell, features[:, column].astype(np.float64), cells).reshape(-1, CLASSES)
        for column in (6, 7)
    )
    return px, py
