"""The verb ``ptmiss train superclusters``: from event files to a model in a directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptmiss.errors import OptionError
from ptmiss.files import AnyPath, as_path
from ptmiss.models.cards import ship
from ptmiss.models.sources import Sources
from ptmiss.models.superclusters import dataset
from ptmiss.models.superclusters.dataset import Dataset
from ptmiss.models.superclusters.recipe import Recipe, validate
from ptmiss.models.training import Progress, check_device
from ptmiss.models.workflow import begin, check_output, describe_training, hold_out, make_recipe, summary
from ptmiss.networks import superclusters

QUANTITIES_DRAWN = {"resolution": "Half width of energy over the true one", "member": "Cross-entropy of clusters"}


def train_files(
    events: Sources,
    validation: Sources,
    output: AnyPath,
    name: str,
    recipe: Mapping[str, Any],
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> str:
    """Train a network of superclusters on event files with material in the tracker.

    Args:
        events: files, and the number of events from each; None for all.
        validation: the same for the events that choose the epoch. Without files, a tenth of all windows.
        output: directory of weights, card, log and checkpoint. A training in it continues from its checkpoint.
        name: the model's name.
        recipe: options, see ptmiss.models.superclusters.recipe.Recipe.
        force: begin again.
        progress: called with what is done, how many, and of how many.

    Returns:
        A summary of the result in a few lines.

    Raises:
        OptionError: an option has a wrong value, or there are no files.
        ColumnError: a file does not know what showered in its clusters.
    """
    output = as_path(output)
    check_output(output, force)
    if not events:
        raise OptionError("name files of events: no embedded events have material in the tracker")
    chosen = make_recipe(Recipe, recipe)
    check_device(chosen.device)
    training = read(events, progress)
    training, held_out = (training, read(validation, progress)) if validation else hold_out(training, chosen.seed)
    about = describe_training(events, validation, chosen.seed)
    begin(output, force)
    network, run = chosen.train(training, held_out, output, about["events"], progress)
    log = run.run()
    numbers = validate(network, held_out, chosen)
    about |= {"recipe": chosen.model_dump(mode="json"), "seconds": round(float(log["seconds"].sum()))}
    ship(network.model(name), output, about, numbers, superclusters.save)
    return summary(log, numbers, output, name, QUANTITIES_DRAWN)


def read(sources: Sources, progress: Progress | None) -> Dataset:
    """The windows of files; sources: number of events from each."""
    return Dataset.concatenate([dataset.read([path], n, progress) for path, n in sources.items()])
