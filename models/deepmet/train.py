"""From event files to a model in a directory: what ``ptmiss train deepmet`` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ptmiss import sample
from ptmiss.errors import OptionError
from ptmiss.models.cards import ship
from ptmiss.models.deepmet import dataset
from ptmiss.models.deepmet.dataset import Dataset
from ptmiss.models.deepmet.linear import fit
from ptmiss.models.deepmet.network import LAYOUTS
from ptmiss.models.deepmet.recipe import Recipe, train, validate
from ptmiss.models.training import Progress, check_device
from ptmiss.models.workflow import Sources, begin, checked, made, split, told

EMBEDDED = ("zmumu", "ttbar", "wmunu")


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
    chosen = checked(Recipe, {**recipe, "network": "cmssw-v1"} if linear else recipe)
    check_device(chosen.device)
    if linear and validation:
        raise OptionError("--validation: the linear baseline is a fit, with no epoch to choose")
    if not LAYOUTS[chosen.network].is_deepmet:
        raise OptionError(f"--network {chosen.network!r} is there for studies: inference cannot run it")
    training, held_out = read(events, progress), read(validation, progress) if validation else None
    about = made(events, validation, chosen.seed)
    if not linear and held_out is None:
        training, held_out = split(training, chosen.seed)
    begin(output, force)
    if held_out is None:
        model = replace(fit(training, chosen.seed, progress), name=name or "linear")
        ship(model, output, about, {})
        return f"{model.parameters} parameters -> {output}"
    name = name or "deepmet"
    network, run = train(training, held_out, chosen, output, about["events"], progress)
    log = run.run()
    numbers = validate(network, held_out, chosen)
    ship(network.model(name), output, {**about, "recipe": chosen.model_dump(mode="json")}, numbers)
    return told(log, numbers, output, name)


def read(sources: Sources, progress: Progress | None) -> Dataset:
    """The events of files, so many of each."""
    return Dataset.concatenate([dataset.read([path], n, progress) for path, n in sources.items()])
