"""What a network reads and answers as compact histograms, of one candidate in so many.

The bins are the same for all networks and files, so that sketches of a training and of a run can be compared, see
ptmiss.networks.drift. Events are dealt into groups by their number; the groups tell how much a sketch varies by chance.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hist
import numpy as np
from numpy.typing import NDArray

from ptmiss.candidates import CATEGORIES, VOCABULARY
from ptmiss.errors import FileError
from ptmiss.files import write_atomically
from ptmiss.networks.features import FEATURES, SCALE
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.registry import Model

FILE = "sketch.json"  # beside the weights
SKETCHES = "sketches"  # of a processor's output
STRIDE = 128  # one candidate in so many: a sketch takes about a hundredth of the time to read and weigh them
GROUPS = 8
CATEGORY, WEIGHT = "category", "weight"
ROWS = int(np.prod([len(VOCABULARY[category]) for category in CATEGORIES]))
IMPACT = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)  # cm
BOTH_SIGNS = (*(-edge for edge in reversed(IMPACT)), 0.0, *IMPACT)

EDGES: dict[str, tuple[float, ...]] = {
    "dxy": BOTH_SIGNS,
    "dz": BOTH_SIGNS,
    "eta": tuple(np.linspace(-5, 5, 21)),
    "mass": (1e-3, 0.1, 0.12, 0.15, 0.3, 0.6),
    "pt": tuple(np.geomspace(0.1, 100, 19)),
    "puppiWeight": (1e-3, *np.linspace(0.1, 0.9, 9), 0.999),
    "phi": tuple(np.linspace(-np.pi, np.pi, 17)),
    WEIGHT: tuple(np.linspace(-0.5, 2, 26)),
}
"""Inner edges of the bins, cm and GeV; the outermost bins reach to infinity. Tracks alone have dxy and dz."""
INPUTS = (*EDGES, CATEGORY)
BINS = max(ROWS, *(len(edges) + 1 for edges in EDGES.values()))

Counts = Mapping[str, NDArray[np.int64]]
"""(GROUPS, bins) counts by input; ``category`` is the row of the category table, ``weight`` the network's answer."""


def size(name: str) -> int:
    """Number of bins of an input."""
    return ROWS if name == CATEGORY else len(EDGES[name]) + 1


def bins(inputs: Inputs, weights: NDArray) -> dict[str, NDArray[np.intp]]:
    """(n,) bin of each candidate, by the name of the input; -1 for one without it. weights: (n,)."""
    columns = {name: inputs.features[:, FEATURES.index(name)] for name in EDGES if name in FEATURES}
    columns["pt"] = SCALE * columns["pt"]
    columns |= {"phi": np.arctan2(inputs.features[:, 7], inputs.features[:, 6]), WEIGHT: weights}
    found = {name: np.searchsorted(EDGES[name], columns[name], side="right") for name in EDGES}
    neutral = inputs.rows // (ROWS // len(VOCABULARY["charge"])) == VOCABULARY["charge"].index(0)
    for name in ("dxy", "dz"):
        found[name] = np.where(neutral, -1, found[name])
    return found | {CATEGORY: inputs.rows.astype(np.intp)}


def count(model: Model, inputs: Inputs) -> dict[str, NDArray[np.int64]]:
    """Counts of some events, all of their candidates."""
    weights = model.momentum_weights(model.outputs(inputs))
    group = np.repeat(np.arange(len(inputs.offsets) - 1) % GROUPS, np.diff(inputs.offsets))
    found = {}
    for name, where in bins(inputs, weights).items():
        there = where >= 0
        place = group[there] * size(name) + where[there]
        found[name] = np.bincount(place, minlength=GROUPS * size(name)).reshape(GROUPS, -1)
    return found


def book(networks: Sequence[str]) -> hist.Hist:
    """An empty histogram of what some networks see, which processors can add up."""
    return hist.Hist(
        hist.axis.StrCategory(list(networks), name="network", overflow=False),
        hist.axis.StrCategory(INPUTS, name="input", overflow=False),
        hist.axis.Integer(0, GROUPS, name="group", flow=False),
        hist.axis.Integer(0, BINS, name="bin", flow=False),
        storage=hist.storage.Int64(),
    )


def add(histogram: hist.Hist | None, network: str, counts: Counts) -> None:
    """Add counts to those of a network."""
    assert histogram is not None
    number = list(histogram.axes["network"]).index(network)
    for i, name in enumerate(INPUTS):
        histogram.view()[number, i, :, : size(name)] += counts[name]


def of(histogram: hist.Hist, network: str) -> dict[str, NDArray[np.int64]]:
    """The counts of a network."""
    view = histogram.view()[list(histogram.axes["network"]).index(network)]
    return {name: view[i, :, : size(name)].astype(np.int64) for i, name in enumerate(INPUTS)}


@dataclass(frozen=True)
class Sketch:
    """What a network saw in its training. about: how the sketch was made."""

    counts: Counts
    about: Mapping[str, Any]


def write(path: Path, counts: Counts, about: Mapping[str, Any]) -> None:
    """Write a sketch as JSON, an input a line."""
    lines = [
        f"    {json.dumps(name)}: {json.dumps(values.tolist(), separators=(',', ':'))}"
        for name, values in counts.items()
    ]
    inner = ",\n".join(lines)
    write_atomically(path, f'{{\n  "about": {json.dumps(about)},\n  "counts": {{\n{inner}\n  }}\n}}\n')


def read(path: Path) -> Sketch:
    """A sketch; FileError if it is none, or has other bins."""
    try:
        found = json.loads(path.read_text())
        counts = {name: np.asarray(found["counts"][name], np.int64) for name in INPUTS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path} is no sketch of a training: {error}") from error
    for name, values in counts.items():
        if values.shape != (GROUPS, size(name)) or (values < 0).any():
            raise FileError(f"{path}: {name} has shape {values.shape}, expected {(GROUPS, size(name))} counts")
    return Sketch(counts, found.get("about", {}))


def total(parts: Iterable[Counts]) -> dict[str, NDArray[np.int64]]:
    """The sum of counts."""
    out = {name: np.zeros((GROUPS, size(name)), np.int64) for name in INPUTS}
    for part in parts:
        for name, values in part.items():
            out[name] += values
    return out
