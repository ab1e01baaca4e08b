"""Networks in a run: what they read beside what they saw in their training, for the manifest and for a reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hist

from ptmiss import candidates as pf_candidates
from ptmiss.errors import OptionError
from ptmiss.estimators import Estimator, NetworkEstimator
from ptmiss.estimators.evaluation import network_of
from ptmiss.events import expand, inspect, read_chunks
from ptmiss.files import AnyPath, as_path, check_file
from ptmiss.files.provenance import provenance
from ptmiss.networks import drift, sketches
from ptmiss.networks.registry import load_model, weights_file
from ptmiss.progress import Callback

MONITORING = "monitoring"
CHUNK = 500  # events


def monitor(seen: hist.Hist, estimators: Iterable[Estimator]) -> dict[str, Any]:
    """For a manifest, by network: see ptmiss.networks.drift.measure; and ``shares``, both sketches for a figure.

    A network without a sketch beside its weights has none to be compared with, and is left out.
    """
    found = {}
    for estimator in estimators:
        network = network_of(estimator)
        path = network and Path(network.weights).with_name(sketches.FILE)
        if path and path.is_file():
            counts, known = sketches.of(seen, estimator.name), sketches.read(path).counts
            about = {"shares": drift.shares(counts, known).round(7).to_dict("list")}
            found[estimator.name] = drift.measure(counts, known) | about
    return found


def warnings(dataset: Mapping[str, Any]) -> Iterator[str]:
    """What a dataset's manifest says of networks that read something else than in their training."""
    for name, found in dataset.get(MONITORING, {}).items():
        for said in found["warnings"]:
            yield f"{name}: {said}"


def sketch(
    model: AnyPath,
    files: Iterable[AnyPath],
    output: AnyPath | None = None,
    *,
    max_events: int | None = None,
    force: bool = False,
    progress: Callback | None = None,
) -> Path:
    """Write what a network reads and answers in event files, as a sketch that runs are compared with; its path.

    output: a JSON file, ``sketch.json`` beside the weights without one. max_events: most events of each file.
    """
    weights = weights_file(model)
    path = weights.with_name(sketches.FILE) if output is None else as_path(output)
    check_file(path, (".json",), force)
    network = NetworkEstimator(load_model(weights).name, str(weights))
    sources = [inspect(place) for place in expand(str(as_path(each)) for each in files)]
    for source in sources:
        network.require(source.branches, source.path)
    parts = []
    for events in read_chunks(sources, CHUNK, max_events, progress):
        inputs = network.prepare(pf_candidates.read(events, network.columns))
        parts.append(sketches.count(network.model, inputs))
    counts = sketches.total(parts)
    if not counts[sketches.CATEGORY].sum():
        raise OptionError(f"no candidates to sketch in {', '.join(map(str, files))}")
    used = {source.path.rpartition("/")[2]: min(source.entries, max_events or source.entries) for source in sources}
    sketches.write(path, counts, provenance(events=used))
    return path
