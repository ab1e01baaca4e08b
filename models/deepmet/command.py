"""From event files to a model in a directory: what ``ptmiss train deepmet`` does."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from shlex import join
from typing import Any

import numpy as np
from pydantic import ValidationError

from ptmiss import sample
from ptmiss.errors import OptionError
from ptmiss.events import expand, identifier, inspect

from .. import curves
from ..cards import ship
from ..training import LOG, Progress, check_device
from . import dataset
from .dataset import Dataset
from .linear import fit
from .network import LAYOUTS
from .recipe import Recipe, train, validate

HELD_OUT = 0.1
EMBEDDED = ("zmumu", "ttbar", "wmunu")

Sources = Mapping[str, int | None]


def train_files(
    events: Sources,
    validation: Sources,
    output: Path,
    name: str | None,
    recipe: Mapping[str, Any],
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> str:
    """Train on event files, or on the embedded events where none are named; returns what there is to see.

    events, validation: how many of each file's first events, None for all.
    """
    events = events or {str(sample.events(kind)): None for kind in EMBEDDED}
    linear = recipe["network"] == "linear"
    chosen = checked({**recipe, "network": "cmssw-v1"} if linear else recipe)
    check_device(chosen.device)
    if linear and validation:
        raise OptionError("--validation: the linear baseline is a fit, with no epoch to choose")
    if not LAYOUTS[chosen.network].is_deepmet:
        raise OptionError(f"--network {chosen.network!r} is there for studies: inference cannot run it")
    training, held_out = read(events, progress), read(validation, progress) if validation else None
    used = {"training": described(events), "validation": described(validation)}
    made = {"command": join(["ptmiss", *sys.argv[1:]]), "events": used, "seed": chosen.seed}
    if not linear and held_out is None:
        training, held_out = split(training, chosen.seed)
    if force:
        shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    if held_out is None:
        model = replace(fit(training, chosen.seed, progress), name=name or "linear")
        ship(model, output, made, {})
        return f"{model.parameters} parameters -> {output}"
    name = name or "deepmet"
    network, run = train(training, held_out, chosen, output, used, progress)
    log = run.run()
    numbers = validate(network, held_out, chosen)
    ship(network.model(name), output, {**made, "recipe": chosen.model_dump(mode="json")}, numbers)
    (figure,) = curves.draw(log, output / "training")
    best = ", ".join(f"{key} {value:.4g}" for key, value in numbers.items())
    return f"best of {len(log)} epochs: {best}\nlog {output / LOG}, figure {figure}\n{name} -> {output}"


def checked(recipe: Mapping[str, Any]) -> Recipe:
    """A recipe from options; OptionError says which has a wrong value."""
    try:
        return Recipe(**recipe)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + "-".join(map(str, first["loc"])).replace("_", "-")
        raise OptionError(f"{option} {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}") from error


def read(sources: Sources, progress: Progress | None) -> Dataset:
    """The events of files, so many of each."""
    return Dataset.joined([dataset.read([path], n, progress) for path, n in sources.items()])


def split(events: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Events to train on, and a tenth to choose the best epoch with."""
    held_out = np.random.default_rng(seed).random(len(events)) < HELD_OUT
    if not 0 < np.count_nonzero(held_out) < len(events):
        raise OptionError(f"{len(events)} events are too few to hold some back; --validation names others")
    return events.select(~held_out), events.select(held_out)


def described(sources: Sources) -> list[dict[str, Any]]:
    """Which events were used: name and identity of each file, and how many events of it."""
    out = []
    for pattern, n in sources.items():
        for path in expand([pattern]):
            file = inspect(path)
            used = min(n or file.entries, file.entries)
            out.append({"file": Path(path).name, "events": used, "uuid": identifier(file.identity)})
    return out
