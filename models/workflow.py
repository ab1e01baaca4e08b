"""What the verbs that train share: a recipe of options, events held back, a directory to begin in, what is told at the end."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import join
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from ptmiss.errors import OptionError
from ptmiss.events import expand, identifier, inspect
from ptmiss.models import training_plot
from ptmiss.models.training import LOG

HELD_OUT = 0.1

Sources = Mapping[str, int | None]
"""Event files, and how many of the first events of each; None for all."""


class Events(Protocol):
    """Events for a training."""

    def __len__(self) -> int:
        """How many."""

    def select(self, mask: NDArray[np.bool_], /) -> Self:
        """Those in a mask."""


Recipe = TypeVar("Recipe")
Some = TypeVar("Some", bound=Events)


def checked(kind: Callable[..., Recipe], recipe: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from options; OptionError says which has a wrong value. where: the option of what several decide."""
    try:
        return kind(**recipe)
    except ValidationError as error:
        first = error.errors()[0]
        name, *part = first["loc"] or [where]
        option = f"--{name} ".replace("_", "-") + "".join(f"{key}=" for key in part)
        said = first["msg"].removeprefix("Value error, ")
        raise OptionError(f"{option}{first['input']!r}: {said[0].lower()}{said[1:]}") from error


def split(events: Some, seed: int) -> tuple[Some, Some]:
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


def made(training: Sources, validation: Sources, seed: int) -> dict[str, Any]:
    """How a model is made: the command, the events, the seed."""
    used = {"training": described(training), "validation": described(validation)}
    return {"command": join(["ptmiss", *sys.argv[1:]]), "events": used, "seed": seed}


def begin(output: Path, force: bool) -> None:
    """The directory of a training, without what was there if that is to go."""
    if force:
        shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)


def told(
    log: pd.DataFrame,
    numbers: Mapping[str, float],
    output: Path,
    name: str,
    shown: Mapping[str, str] = training_plot.QUANTITIES_DRAWN,
) -> str:
    """What there is to see of a training; draws its log. shown: see curves."""
    (figure,) = training_plot.draw(log, output / "training", shown)
    best = ", ".join(f"{key} {value:.4g}" for key, value in numbers.items())
    return f"best of {len(log)} epochs: {best}\nlog {output / LOG}, figure {figure}\n{name} -> {output}"
