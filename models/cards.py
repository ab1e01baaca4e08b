"""Model cards: what a model is, how it was trained and on which events, its results, and its limits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ptmiss import tables
from ptmiss.errors import FileError
from ptmiss.files import AnyPath, as_path, write_atomically
from ptmiss.networks.registry import CARD, WEIGHTS, Weights, save_model
from ptmiss.networks.weights import fingerprint
from ptmiss.resolutions.comparison import WIDTHS
from ptmiss.version import __version__

RESULTS = "## Results"
UNSEEN = "On events that neither training nor validation saw; errors by a paired bootstrap over events."
LIMITS = (
    "Trained and measured on the project's own simulation, which is CMS-like and never CMS: no number here holds for "
    "collisions. Pile-up from 0 to about 80 collisions; other detectors, other tunes of PUPPI and files that keep only "
    "some of the candidates are outside of what it has seen."
)


def ship(
    model: Weights,
    directory: Path,
    made: Mapping[str, Any],
    validation: Mapping[str, float],
    save: Callable[[Any, Path, str], str] = save_model,
) -> str:
    """Write the weights file and the card of a model into a directory; returns the hash of the weights.

    made: command, seed, recipe and events, for the card and the weights file. save: writes the weights.
    """
    digest = save(model, directory / WEIGHTS, json.dumps(made))
    write_atomically(directory / CARD, card(model, made, validation))
    return digest


def card(model: Weights, made: Mapping[str, Any], validation: Mapping[str, float]) -> str:
    """The card of a model, with front matter as on a model hub."""
    front = {
        "library_name": "ptmiss",
        "ptmiss_version": __version__,
        "license": "bsd-3-clause",
        "model_name": model.name,
        "architecture": model.architecture,
        "parameters": model.parameters,
        "padding": model.padding,
        "sha256": fingerprint(model.tensors),
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in front.items()]
    made_lines = [f"* {key}: `{value if isinstance(value, str) else json.dumps(value)}`" for key, value in made.items()]
    numbers = [f"* {name}: {value:.4g}" for name, value in validation.items()]
    head = ["---", *lines, "---", "", f"# {model.name}", "", "## How it was made", "", *made_lines, ""]
    chosen = ["Validation events, which chose the epoch:", "", *numbers, ""] if numbers else []
    return "\n".join([*head, *chosen, "## Limits", "", LIMITS, "", RESULTS, "", UNSEEN, ""])


def add_results(directory: AnyPath, results: Mapping[str, str]) -> None:
    """Write tables of test results into the card of a model, in place of earlier ones.

    Args:
        directory: that of the model.
        results: tables in Markdown by title.

    Raises:
        FileError: the directory has no card, or the card no place for results.
    """
    path = as_path(directory) / CARD
    if not path.is_file():
        raise FileError(f"no such model card: {path}")
    text = path.read_text()
    head, mark, rest = text.partition(RESULTS)
    if not mark:
        raise FileError(f"{path} has no line {RESULTS!r}")
    intro = rest.strip().split("\n\n")[0]
    parts = [f"### {title}\n\n{found}" for title, found in results.items()]
    write_atomically(path, "\n\n".join([f"{head}{RESULTS}", intro, *parts]) + "\n")


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
