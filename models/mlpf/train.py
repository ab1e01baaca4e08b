"""From event files to a model in a directory: what ``ptmiss train mlpf`` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptmiss import candidates as pf_candidates
from ptmiss import sample
from ptmiss.events import expand, inspect
from ptmiss.models.cards import ship
from ptmiss.models.mlpf import dataset, monitoring, reconstruction
from ptmiss.models.mlpf.dataset import Dataset
from ptmiss.models.mlpf.monitoring import Particles
from ptmiss.models.mlpf.recipe import Recipe, check_init, train, true, validate
from ptmiss.models.mlpf.reconstruction import MLPF
from ptmiss.models.training import Progress, check_device
from ptmiss.models.workflow import Sources, begin, checked, made, split, told

EMBEDDED = ("ttbar", "zmumu")
QUANTITIES_DRAWN = {
    "met_rms": r"RMS of $p_\mathrm{T}^\mathrm{miss}$ residual (GeV)",
    "jet_width_20": "IQR / median, jets of 20 to 60 GeV",
    "jet_width_60": "IQR / median, jets of 60 to 200 GeV",
}


def train_files(
    events: Sources,
    validation: Sources,
    output: Path,
    name: str,
    recipe: Mapping[str, Any],
    *,
    limit: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> str:
    """Train on event files, or on the embedded events where none are named; returns what there is to see.

    events, validation: how many of each file's first events, None for all; limit: of each file.
    """
    events = limited(events or {str(sample.events(kind)): None for kind in EMBEDDED}, limit)
    chosen = checked(configured, recipe, "preset")
    check_device(chosen.device)
    check_init(chosen)
    training = read(events, progress)
    training, held_out = (training, read(validation, progress)) if validation else split(training, chosen.seed)
    about = made(events, validation, chosen.seed)
    begin(output, force)
    network, run = train(training, held_out, chosen, output, about["events"], progress)
    log = run.run()
    numbers = validate(network, held_out, chosen) | rule_based(validation)
    about |= {"recipe": chosen.model_dump(mode="json"), "seconds": round(float(log["seconds"].sum()))}
    ship(MLPF(network, name), output, about, numbers, reconstruction.save)
    return told(log, numbers, output, name, QUANTITIES_DRAWN)


def limited(sources: Sources, limit: int | None) -> Sources:
    """No more than so many events of each file."""
    return {path: min(n or limit, limit) if limit else n for path, n in sources.items()}


def configured(**options: Any) -> Recipe:
    """A recipe whose network can be made."""
    chosen = Recipe(**options)
    chosen.configuration()
    return chosen


def read(sources: Sources, progress: Progress | None) -> Dataset:
    """The events of files, so many of each."""
    return Dataset.concatenate([dataset.read([path], n, progress) for path, n in sources.items()])


def rule_based(sources: Sources) -> dict[str, float]:
    """What the files' own particle flow reaches on the validation events, as ``pf_…``; nothing without files."""
    columns, truth = ("pt", "eta", "phi", "mass"), []
    found = []
    for pattern, n in sources.items():
        for path in expand([pattern]):
            source = inspect(path)
            if pf_candidates.collection(source.branches) is None:
                return {}
            events = source.events(0, min(n or source.entries, source.entries))
            c = pf_candidates.read(events, columns)
            energy = np.hypot(c["pt"] * np.cosh(c["eta"]), c["mass"])
            found.append(Particles.of(c["pt"], c["eta"], c["phi"], energy, c.offsets))
            truth.append(true(dataset.prepared(events)))
    if not found or any(len(a.offsets) != len(b.offsets) for a, b in zip(found, truth, strict=True)):
        return {}
    numbers = monitoring.measured(monitoring.concatenate(found), monitoring.concatenate(truth))
    return {f"pf_{name}": value for name, value in numbers.items()}
