"""The verb ``ptmiss train deepmet``: from event files to a model in a directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ptmiss import sample
from ptmiss.errors import OptionError
from ptmiss.estimators import reconstruction
from ptmiss.estimators.network import NEEDED
from ptmiss.estimators.reconstruction import PF, Reconstruction
from ptmiss.files import AnyPath, as_path
from ptmiss.models import tuning
from ptmiss.models.cards import ship
from ptmiss.models.deepmet import dataset
from ptmiss.models.deepmet.dataset import Dataset
from ptmiss.models.deepmet.linear import fit
from ptmiss.models.deepmet.network import LAYOUTS, Layout
from ptmiss.models.deepmet.recipe import FRESH, SPACE, Recipe, validate
from ptmiss.models.sources import Sources
from ptmiss.models.training import Progress, check_device
from ptmiss.models.workflow import begin, check_output, describe_training, hold_out, make_recipe, summary
from ptmiss.networks import sketches
from ptmiss.networks.descriptions import CANDIDATES
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
    candidates: str = PF,
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
        candidates: those of the files, ``pf``, or what makes them of the files' elements: ``mlpf``, ``elements``,
            ``targets``, or the weights of an MLPF; see ptmiss.estimators.reconstruction.
        tune: number of trials of a search for better settings, in place of one training; see ptmiss.models.tuning.
        force: begin again.
        progress: called with what is done (events read, warm start, training and its loss), how many, and of how many.

    Returns:
        A summary of the result in a few lines.

    Raises:
        OptionError: an option has a wrong value.
        UnknownName: there are no such candidates.
        FileError: a file cannot be read, or has no truth.
        ColumnError: a file has no candidates, or no elements to make them of.
    """
    output = as_path(output)
    (tuning.check_output if tune else check_output)(output, force)
    events = events or {str(sample.events(kind)): None for kind in EMBEDDED}
    made_by = reconstruction.of_candidates(candidates)
    if recipe.get("network") == LINEAR:
        if tune:
            raise OptionError("--tune makes no sense with --network linear: a fit has no settings")
        return _fit_linear(events, validation, made_by, output, name, recipe, force, progress)
    chosen = make_recipe(Recipe, recipe)
    if tune:
        space = tuning.free(SPACE, recipe, FRESH)
        return _tune(events, validation, made_by, output, chosen, space, tune, force, progress)
    return _train(events, validation, made_by, output, name, chosen, force, progress)


def _fit_linear(
    events: Sources,
    validation: Sources,
    made_by: Reconstruction | None,
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
    training = read(events, made_by, NEEDED, progress)
    begin(output, force, chosen.start_from)
    model = replace(fit(training, chosen.seed, progress), name=name or LINEAR)
    about = describe(events, validation, chosen.seed, made_by)
    ship(model, output, about, {})
    sketch(model, training, output, about)
    return f"{model.parameters} parameters -> {output}"


def _train(
    events: Sources,
    validation: Sources,
    made_by: Reconstruction | None,
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
    columns = require_latents(LAYOUTS[recipe.network], made_by)
    about, name = describe(events, validation, recipe.seed, made_by), name or "deepmet"
    training, held_out = split(events, validation, recipe.seed, made_by, columns, progress)
    begin(output, force, recipe.start_from)
    network, run = recipe.train(training, held_out, output, inputs_of(about), progress)
    log = run.run()
    numbers = validate(network, held_out, recipe)
    model = network.model(name)
    ship(model, output, {**about, "recipe": recipe.model_dump(mode="json")}, numbers)
    sketch(model, training, output, about)
    return summary(log, numbers, output, name)


def _tune(
    events: Sources,
    validation: Sources,
    made_by: Reconstruction | None,
    output: Path,
    recipe: Recipe,
    space: tuning.Space,
    trials: int,
    force: bool,
    progress: Progress | None,
) -> str:
    """A search over a space."""
    check_device(recipe.device)
    columns = require_latents(LAYOUTS[recipe.network], made_by)
    about = describe(events, validation, recipe.seed, made_by)
    both = split(events, validation, recipe.seed, made_by, columns, progress)
    tuning.begin(output, force)
    return tuning.Search(recipe, space, both, inputs_of(about), output).run(trials, progress)


def require_latents(layout: Layout, made_by: Reconstruction | None) -> tuple[str, ...]:
    """The columns of candidates that a network needs; OptionError if what makes the candidates has not its latents."""
    given = made_by.latents if made_by else 0
    if layout.latents and given != layout.latents:
        whose = f"{made_by.name} gives {given or 'none'}" if made_by else "the files have none"
        raise OptionError(
            f"--network latents needs {layout.latents} latents of each candidate, and {whose}: "
            "--candidates mlpf has them"
        )
    return layout.columns


def describe(events: Sources, validation: Sources, seed: int, made_by: Reconstruction | None) -> dict[str, Any]:
    """For a model card: see describe_training; and ``candidates``, if they are not those of the files."""
    candidates = {CANDIDATES: made_by.identity} if made_by else {}
    return describe_training(events, validation, seed) | candidates


def inputs_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a description on which a checkpoint depends: the events and their candidates."""
    return about["events"] | ({CANDIDATES: about[CANDIDATES]} if CANDIDATES in about else {})


def sketch(model: Model, training: Dataset, output: Path, about: Mapping[str, Any]) -> None:
    """Write what the network reads and answers in some events of its training, for runs to compare with."""
    some = training.select(np.arange(len(training)) % max(len(training) // SKETCHED, 1) == 0)
    inputs = Inputs(some.features, some.categories, some.offsets, some.latents)
    sketches.write(output / sketches.FILE, sketches.count(model, inputs), about)


def split(
    events: Sources,
    validation: Sources,
    seed: int,
    made_by: Reconstruction | None,
    columns: Sequence[str],
    progress: Progress | None,
) -> tuple[Dataset, Dataset]:
    """Events to train on, and those to validate on: a tenth of all if no files are named for it."""
    training = read(events, made_by, columns, progress)
    return (training, read(validation, made_by, columns, progress)) if validation else hold_out(training, seed)


def read(
    sources: Sources, made_by: Reconstruction | None, columns: Sequence[str], progress: Progress | None
) -> Dataset:
    """The events of files; sources: number of events from each; made_by, columns: see dataset.read."""
    files = [dataset.parts([path], n, progress, made_by, columns) for path, n in sources.items()]
    return Dataset.concatenate(chain.from_iterable(files))
