"""Steps that all verbs of training share: a recipe from options, validation events, the directory, the summary."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import join
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from ptmiss import results
from ptmiss.errors import OptionError
from ptmiss.models import sources, training_plot
from ptmiss.models.sources import Sources
from ptmiss.models.training import CHECKPOINT, LOG
from ptmiss.networks.registry import CARD, WEIGHTS, load_weights, weights_file
from ptmiss.networks.sketches import FILE as SKETCH
from ptmiss.progress import log

HELD_OUT = 0.1
FIGURE = "training"
WRITTEN = (CHECKPOINT, LOG, WEIGHTS, CARD, SKETCH, f"{FIGURE}.png")


class Events(Protocol):
    """Events for a training."""

    def __len__(self) -> int:
        """Number of events."""

    def select(self, mask: NDArray[np.bool_], /) -> Self:
        """The events in a mask, shape (events,)."""


Recipe = TypeVar("Recipe")
Some = TypeVar("Some", bound=Events)


def make_recipe(kind: Callable[..., Recipe], recipe: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from options; OptionError names the option with a wrong value.

    where: the option to name if the error is one of several together.
    """
    try:
        return kind(**recipe)
    except ValidationError as error:
        first = error.errors()[0]
        name, *part = first["loc"] or [where]
        option = f"--{name} ".replace("_", "-") + "".join(f"{key}=" for key in part)
        said = first["msg"].removeprefix("Value error, ")
        raise OptionError(f"{option}{first['input']!r}: {said[0].lower()}{said[1:]}") from error


def hold_out(events: Some, seed: int) -> tuple[Some, Some]:
    """Events to train on, and a random tenth that chooses the best epoch."""
    held_out = np.random.default_rng(seed).random(len(events)) < HELD_OUT
    if not 0 < np.count_nonzero(held_out) < len(events):
        raise OptionError(f"{len(events)} events are too few to hold some back; --validation names others")
    return events.select(~held_out), events.select(held_out)


def describe_training(training: Sources, validation: Sources, seed: int) -> dict[str, Any]:
    """For a model card: the command, the events, the seed. Validation events that are trained on are told."""
    used = {"training": sources.describe(training), "validation": sources.describe(validation)}
    if both := sources.common(used["validation"], used["training"]):
        log.warning("the validation events of %s are also trained on", ", ".join(both))
    return {"command": join(["ptmiss", *sys.argv[1:]]), "events": used, "seed": seed}


def check_output(output: Path, force: bool) -> None:
    """Raise OptionError unless a training may begin in a directory, or go on from a checkpoint in it."""
    if not (output / CHECKPOINT).is_file():
        results.check_writable(output, force)


def begin(output: Path, force: bool, start: Path | None = None) -> None:
    """Make the directory of a training.

    Args:
        output: the directory.
        force: remove what an earlier training wrote there; all other files stay.
        start: weights that the training starts from.

    Raises:
        OptionError: the weights to start from are what this training would replace.
        FileError: the weights to start from cannot be read.
    """
    if start is not None:
        load_weights(start)
        if weights_file(start).resolve() == (output / WEIGHTS).resolve():
            raise OptionError(f"--output {output} would replace the weights that the training starts from: {start}")
    if force or not (output / CHECKPOINT).is_file():
        results.claim(output, WRITTEN)


def summary(
    epochs: pd.DataFrame,
    numbers: Mapping[str, float],
    output: Path,
    name: str,
    shown: Mapping[str, str] = training_plot.QUANTITIES_DRAWN,
) -> str:
    """Draw the epochs of a training, and describe its result in three lines; shown: see training_plot.draw."""
    (figure,) = training_plot.draw(epochs, output / FIGURE, shown)
    best = ", ".join(f"{key} {value:.4g}" for key, value in numbers.items())
    return f"best of {len(epochs)} epochs: {best}\nlog {output / LOG}, figure {figure}\n{name} -> {output}"
