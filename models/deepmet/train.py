"""The verb ``ptmiss train deepmet``: from event files to a model in a directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ptmiss import sample
from ptmiss.errors import OptionError
from ptmiss.files import AnyPath, as_path
from ptmiss.models import tuning
from ptmiss.models.cards import ship
from ptmiss.models.deepmet import dataset
from ptmiss.models.deepmet.dataset import Dataset
from ptmiss.models.deepmet.linear import fit
from ptmiss.models.deepmet.network import LAYOUTS
from ptmiss.models.deepmet.recipe import SPACE, Recipe, validate
from ptmiss.models.sources import Sources
from ptmiss.models.training import Progress, check_device
from ptmiss.models.workflow import begin, check_output, describe_training, hold_out, make_recipe, summary
from ptmiss.networks import sketches
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.registry import Model

EMBEDDED = ("zmumu", "ttbar", "wmunu")
LINEAR = "linear"
SKETCHED = 1000  # events


def train_files(
    events: Sources,
    validation: Sources,
    output: AnyPath,
    name: str | None,
    recipe: Mapping[str, Any],
    *,
    tune: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> str:
    """Train a DeepMET or the linear baseline on event files.

    Args:
        events: files, and the number of events from each; None for all. Without files, the embedded events.
        validation: the same for the events that choose the epoch. Without files, a tenth of all events.
        output: directory of weights, card, log and checkpoint. A training in it continues from its checkpoint.
        name: the model's name.
        recipe: options, see ptmiss.models.deepmet.recipe.Recipe; ``network`` may be ``linear``.
        tune: number of trials of a search for better settings, in place of one training; see ptmiss.models.tuning.
        force: begin again.
        progress: called with what is done (events read, warm start, training and its loss), how many, and of how many.

    Returns:
        A summary of the result in a few lines.

    Raises:
        OptionError: an option has a wrong value.
        FileError: a file cannot be read, or has no truth.
    """
    output = as_path(output)
    (tuning.check_output if tune else check_output)(output, force)
    events = events or {str(sample.events(kind)): None for kind in EMBEDDED}
    if recipe.get("network") == LINEAR:
        if tune:
            raise OptionError("--tune makes no sense with --network linear: a fit has no settings")
        return _fit_linear(events, validation, output, name, recipe, force, progress)
    chosen = make_recipe(Recipe, recipe)
    if tune:
        return _tune(events, validation, output, chosen, tuning.free(SPACE, recipe), tune, force, progress)
    return _train(events, validation, output, name, chosen, force, progress)


def _fit_linear(
    events: Sources,
    validation: Sources,
    output: Path,
    name: str | None,
    recipe: Mapping[str, Any],
    force: bool,
    progress: Progress | None,
) -> str:
    """The linear baseline: one fit of 64 weights, without epochs."""
    if validation:
        raise OptionError("--validation makes no sense with --network linear: a fit has no epochs to choose from")
    chosen = make_recipe(Recipe, {**recipe, "network": "cmssw-v1"})
    training = read(events, progress)
    begin(output, force, chosen.start_from)
    model = replace(fit(training, chosen.seed, progress), name=name or LINEAR)
    about = describe_training(events, validation, chosen.seed)
    ship(model, output, about, {})
    sketch(model, training, output, about)
    return f"{model.parameters} parameters -> {output}"


def _train(
    events: Sources,
    validation: Sources,
    output: Path,
    name: str | None,
    recipe: Recipe,
    force: bool,
    progress: Progress | None,
) -> str:
    """A DeepMET network, by epochs."""
    check_device(recipe.device)
    if not LAYOUTS[recipe.network].is_deepmet:
        raise OptionError(f"--network {recipe.network!r} is for studies only: inference cannot run it")
    about, name = describe_training(events, validation, recipe.seed), name or "deepmet"
    training = read(events, progress)
    training, held_out = (training, read(validation, progress)) if validation else hold_out(training, recipe.seed)
    begin(output, force, recipe.start_from)
    network, run = recipe.train(training, held_out, output, about["events"], progress)
    log = run.run()
    numbers = validate(network, held_out, recipe)
    model = network.model(name)
    ship(model, output, {**about, "recipe": recipe.model_dump(mode="json")}, numbers)
    sketch(model, training, output, about)
    return summary(log, numbers, output, name)


def _tune(
    events: Sources,
    validation: Sources,
    output: Path,
    recipe: Recipe,
    space: tuning.Space,
    trials: int,
    force: bool,
    progress: Progress | None,
) -> str:
    """A search over a space."""
    check_device(recipe.device)
    about = describe_training(events, validation, recipe.seed)
    training = read(events, progress)
    split = (training, read(validation, progress)) if validation else hold_out(training, recipe.seed)
    tuning.begin(output, force)
    return tuning.Search(recipe, space, split, about["events"], output).run(trials, progress)


def sketch(model: Model, training: Dataset, output: Path, about: Mapping[str, Any]) -> None:
    """Write what the network reads and answers in some events of its training, for runs to compare with."""
    some = training.select(np.arange(len(training)) % max(len(training) // SKETCHED, 1) == 0)
    inputs = Inputs(some.features, some.categories, some.offsets)
    sketches.write(output / sketches.FILE, sketches.count(model, inputs), about)


def read(sources: Sources, progress: Progress | None) -> Dataset:
    """The events of files; sources: number of events from each."""
    return Dataset.concatenate([dataset.read([path], n, progress) for path, n in sources.items()])
