"""Model cards: what a model is, what it saw, how it was made, what it reaches, and where it must not be trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ptmiss.errors import FileError
from ptmiss.files import write_atomically
from ptmiss.networks.registry import CARD, WEIGHTS, Weights, save_model
from ptmiss.networks.weights import fingerprint
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
    """Write weights file and card of a model into a directory; returns the weights' hash.

    made: command, seed, recipe and events, for the card and for the weights file; save: how its weights are written.
    """
    digest = save(model, directory / WEIGHTS, json.dumps(made))
    write_atomically(directory / CARD, card(model, made, validation))
    return digest


def card(model: Weights, made: Mapping[str, Any], validation: Mapping[str, float]) -> str:
    """The card, with front matter as on a model hub."""
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


def add_results(directory: Path, tables: Mapping[str, str]) -> None:
    """Put tables of test results in markdown, by title, into the card of a directory, in place of those there."""
    path = directory / CARD
    if not path.is_file():
        raise FileError(f"no such model card: {path}")
    text = path.read_text()
    head, mark, rest = text.partition(RESULTS)
    if not mark:
        raise FileError(f"{path} has no line {RESULTS!r}")
    intro = rest.strip().split("\n\n")[0]
    parts = [f"### {title}\n\n{found}" for title, found in tables.items()]
    write_atomically(path, "\n\n".join([f"{head}{RESULTS}", intro, *parts]) + "\n")


def markdown(found: pd.DataFrame) -> str:
    """Widths of a comparison, GeV with errors, and the gains against each reference, %."""
    references = [
        c.removeprefix("rms_perp_vs_") for c in map(str, found) if re.fullmatch(r"rms_perp_vs_.*(?<!_error)", c)
    ]
    widths = [f"{kind}_{component}" for kind in ("rms", "half") for component in ("par", "perp")]
    titles = {"rms": "RMS", "half": "half 68 % width"}
    head = ["estimator", "response", *(f"{titles[w.split('_')[0]]} {w.split('_')[1]}" for w in widths)]
    head += [f"RMS {c} vs {r}, %" for r in references for c in ("par", "perp")]
    lines = [head, ["---"] * len(head)]
    for row in found[found["axis"] == "inclusive"].to_dict("records"):
        cells = [row["estimator"], f"{row['response']:.3f} ± {row['response_error']:.3f}"]
        cells += [f"{row[w]:.2f} ± {row[f'{w}_error']:.2f}" for w in widths]
        cells += [
            f"{100 * row[key]:+.1f} ± {100 * row[f'{key}_error']:.1f}" if row["estimator"] != r else ""
            for r in references
            for key in (f"rms_par_vs_{r}", f"rms_perp_vs_{r}")
        ]
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
