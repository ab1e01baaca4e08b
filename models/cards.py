"""Model cards: what a model is, how it was trained and on which events, its results, and its limits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ptmiss import tables
from ptmiss.errors import FileError, OptionError
from ptmiss.files import AnyPath, as_path, write_atomically
from ptmiss.models import sources
from ptmiss.networks.descriptions import CANDIDATES, in_words
from ptmiss.networks.registry import CARD, WEIGHTS, Weights, save_model, shipped_models, weights_file
from ptmiss.networks.weights import fingerprint, read_tensors
from ptmiss.resolutions.comparison import WIDTHS
from ptmiss.version import __version__

RESULTS = "## Results"
BEFORE = "before"
FIRST = "1.0.0"
UNKNOWN = (
    "Nobody compared the events of these tables with those of the training. Errors by a paired bootstrap over events."
)
UNSEEN = (
    "On {events}: not in the training, its validation or what it began with, by identity of the file and by the "
    "simulation's process and seed. Errors by a paired bootstrap over events."
)


def ship(
    model: Weights,
    directory: Path,
    made: Mapping[str, Any],
    validation: Mapping[str, float],
    save: Callable[[Any, Path, str], str] = save_model,
) -> str:
    """Write the weights file and the card of a model into a directory; returns the hash of the weights.

    made: command, seed, recipe and events, for the card and the weights file, which also has the files of the model
    that the training began with: a later version of that may take its place. save: writes the weights.
    """
    before = {BEFORE: began_with(made)} if made.get("recipe", {}).get("start_from") else {}
    digest = save(model, directory / WEIGHTS, json.dumps({**made, **before}))
    write_atomically(directory / CARD, card(model, made, validation))
    return digest


def card(model: Weights, made: Mapping[str, Any], validation: Mapping[str, float]) -> str:
    """The card of a model, with front matter as on a model hub."""
    front = {
        "library_name": "ptmiss",
        "ptmiss_version": __version__,
        "license": "bsd-3-clause",
        "model_name": model.name,
        "version": FIRST,
        "architecture": model.architecture,
        "parameters": model.parameters,
        "padding": model.padding,
        "sha256": fingerprint(model.tensors),
        "training_data": training_data(made),
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in front.items()]
    made_lines = [f"* {key}: `{value if isinstance(value, str) else json.dumps(value)}`" for key, value in made.items()]
    numbers = [f"* {name}: {value:.4g}" for name, value in validation.items()]
    head = ["---", *lines, "---", "", f"# {model.name}", "", "## How it was made", "", *made_lines, ""]
    chosen = [f"Validation events, {choice(made)}:", "", *numbers, ""] if numbers else []
    limits = sources.limits(files_used(made, "training")) + whose_candidates(model.name, made)
    return "\n".join([*head, *chosen, "## Limits", "", limits, "", RESULTS, "", UNKNOWN, ""])


def whose_candidates(name: str, made: Mapping[str, Any]) -> str:
    """What made the candidates of a training, and how to run the model on such; empty for those of files."""
    if CANDIDATES not in made:
        return ""
    maker = made[CANDIDATES]["reconstruction"]
    return f" Its candidates were those of `{maker}`, not those of files: run it as `{name}_{maker}`."


def choice(made: Mapping[str, Any]) -> str:
    """What the validation events did."""
    last = made.get("recipe", {}).get("choice") == "last"
    return "after the last epoch, which is kept" if last else "which chose the epoch"


def files_used(made: Mapping[str, Any], *purposes: str) -> list[Mapping[str, Any]]:
    """The files that were used for purposes (``training``, ``validation``), as far as a provenance says."""
    events = made.get("events", {})
    if not events.keys() & {"training", "validation"}:  # as older files have it
        return [{"file": name, **about} for name, about in events.items() if isinstance(about, Mapping)]
    return [file for purpose in purposes for file in events.get(purpose, [])]


def training_data(made: Mapping[str, Any]) -> str:
    """The events of a training in a line: how they were simulated, else the files."""
    told = made.get("simulation") or in_words(made.get("events", {}))
    return str(told) or "not told"


def add_results(directory: AnyPath, results: Mapping[str, str], events: Iterable[str] = ()) -> None:
    """Write tables of test results into the card of a model, in place of earlier ones.

    Args:
        directory: that of the model.
        results: tables in Markdown by title.
        events: the event files that the tables are of; they are compared with those of the training.

    Raises:
        FileError: the directory has no card, or the card no place for results.
        OptionError: the training saw some of these events.
    """
    path = as_path(directory) / CARD
    if not path.is_file():
        raise FileError(f"no such model card: {path}")
    text = path.read_text()
    head, mark, rest = text.partition(RESULTS)
    if not mark:
        raise FileError(f"{path} has no line {RESULTS!r}")
    tested = sources.describe(dict.fromkeys(events))
    intro = unseen_statement(directory, tested) if tested else rest.strip().split("\n\n")[0]
    parts = [f"### {title}\n\n{found}" for title, found in results.items()]
    write_atomically(path, "\n\n".join([f"{head}{RESULTS}", intro, *parts]) + "\n")


def unseen_statement(model: AnyPath, tested: Sequence[Mapping[str, Any]]) -> str:
    """The sentence that a model saw none of the tested events; OptionError if it did."""
    seen = sources.common(tested, history(model))
    if seen:
        raise OptionError(f"the training of {model} saw events of {', '.join(seen)}: they are no test of it")
    names = ", ".join(f"{one['file']} ({one['events']})" for one in tested)
    return UNSEEN.format(events=names)


def history(model: AnyPath) -> list[Mapping[str, Any]]:
    """All files that a model was trained or validated on, and the model that it began with, as far as files say it."""
    _, metadata = read_tensors(weights_file(model))
    try:
        made = json.loads(metadata.get("provenance", ""))
    except json.JSONDecodeError:
        return []
    before = made[BEFORE] if BEFORE in made else began_with(made)
    return [*files_used(made, "training", "validation"), *before]


def began_with(made: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The files that were used for the model that a training began with, and for those before it."""
    start = made.get("recipe", {}).get("start_from")
    return history(start) if start and (start in shipped_models() or Path(start).exists()) else []


def markdown(found: pd.DataFrame) -> str:
    """A comparison as a Markdown table: widths (GeV) with errors, and the gains against each reference (%)."""
    references = [
        c.removeprefix("rms_perp_vs_") for c in map(str, found) if re.fullmatch(r"rms_perp_vs_.*(?<!_error)", c)
    ]
    head = ["estimator", "response", "RMS par", "RMS perp", "half width par", "half width perp"]
    head += [f"RMS {c} vs {r}, %" for r in references for c in ("par", "perp")]
    lines = []
    for row in found[found["axis"] == "inclusive"].to_dict("records"):
        cells = [row["estimator"], tables.with_error(row, "response", 3)]
        cells += [tables.with_error(row, width, 2) for width in WIDTHS]
        cells += [tables.percent(row, f"rms_{c}_vs_{r}", 1) for r in references for c in ("par", "perp")]
        lines.append(cells)
    return tables.markdown(head, lines)
