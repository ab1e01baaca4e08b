"""From event files to a model in a directory: what ``ptmiss train mlpf`` does."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from shlex import join
from typing import Any

import numpy as np
from pydantic import ValidationError

from ptmiss import candidates as pf_candidates
from ptmiss import sample
from ptmiss.errors import OptionError
from ptmiss.events import expand, inspect

from .. import curves
from ..cards import ship
from ..deepmet.command import HELD_OUT, Sources, described
from ..training import LOG, Progress, check_device
from . import dataset, physics, reconstruction
from .dataset import Dataset
from .physics import Particles
from .recipe import Recipe, check_init, train, true, validate
from .reconstruction import MLPF

EMBEDDED = ("ttbar", "zmumu")
SHOWN = {
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
    chosen = checked(recipe)
    check_device(chosen.device)
    check_init(chosen)
    if force:
        shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    training = read(events, progress)
    training, held_out = (training, read(validation, progress)) if validation else split(training, chosen.seed)
    used = {"training": described(events), "validation": described(validation)}
    made = {"command": join(["ptmiss", *sys.argv[1:]]), "events": used, "seed": chosen.seed}
    network, run = train(training, held_out, chosen, output, used, progress)
    log = run.run()
    numbers = validate(network, held_out, chosen) | rule_based(validation)
    about = {**made, "recipe": chosen.model_dump(mode="json"), "seconds": round(float(log["seconds"].sum()))}
    ship(MLPF(network, name), output, about, numbers, reconstruction.save)
    (figure,) = curves.draw(log, output / "training", SHOWN)
    best = ", ".join(f"{key} {value:.4g}" for key, value in numbers.items())
    return f"best of {len(log)} epochs: {best}\nlog {output / LOG}, figure {figure}\n{name} -> {output}"


def limited(sources: Sources, limit: int | None) -> Sources:
    """No more than so many events of each file."""
    return {path: min(n or limit, limit) if limit else n for path, n in sources.items()}


def checked(recipe: Mapping[str, Any]) -> Recipe:
    """A recipe from options; OptionError says which has a wrong value."""
    try:
        chosen = Recipe(**recipe)
        chosen.configuration()
        return chosen
    except ValidationError as error:
        first = error.errors()[0]
        name, *part = first["loc"] or ["preset"]
        option = f"--{name} ".replace("_", "-") + "".join(f"{key}=" for key in part)
        raise OptionError(f"{option}{first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}") from error


def read(sources: Sources, progress: Progress | None) -> Dataset:
    """The events of files, so many of each."""
    return Dataset.joined([dataset.read([path], n, progress) for path, n in sources.items()])


def split(events: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Events to train on, and a tenth to choose the best epoch with."""
    held_out = np.random.default_rng(seed).random(len(events)) < HELD_OUT
    if not 0 < np.count_nonzero(held_out) < len(events):
        raise OptionError(f"{len(events)} events are too few to hold some back; --validation names others")
    return events.select(np.flatnonzero(~held_out)), events.select(np.flatnonzero(held_out))


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
    numbers = physics.measured(physics.joined(found), physics.joined(truth))
    return {f"pf_{name}": value for name, value in numbers.items()}
