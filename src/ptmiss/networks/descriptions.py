"""What a weights file says of itself, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ptmiss.files import AnyPath, cached_by_file
from ptmiss.networks.card import stated
from ptmiss.networks.registry import CARD, load_weights, weights_file
from ptmiss.networks.weights import read_tensors

ADVICE = "advice"
CANDIDATES = "candidates"  # in a provenance: the reconstruction that made those of the training
FOR_CODE = ("scale", "vocabulary", "configuration")  # for the code that runs the network, not for readers


def facts(model: AnyPath) -> dict[str, str]:
    """Name, network, number of parameters, file, and how it was made, of a model's name, file or folder."""
    path = weights_file(model)
    _, metadata = read_tensors(path)
    found = {"parameters": str(load_weights(model).parameters), "file": str(path)}
    found |= {k: in_words(json_or_text(v)) for k, v in metadata.items() if k not in (*FOR_CODE, "provenance")}
    first = {key: found.pop(key) for key in ("name", "architecture") if key in found}
    return first | found | dict(flat(json_or_text(metadata.get("provenance", ""))))


@cached_by_file
def trained_on(path: Path) -> dict[str, str]:
    """The reconstruction of the candidates that the network in a weights file was trained on; empty for a file's own.

    Its name and what else tells it from another, see Reconstruction.identity.
    """
    _, metadata = read_tensors(path)
    made = json_or_text(metadata.get("provenance", ""))
    return dict(made.get(CANDIDATES, {})) if isinstance(made, Mapping) else {}


def json_or_text(text: str) -> Any:
    """The content of a text that may be JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def flat(provenance: Any) -> Iterator[tuple[str, str]]:
    """How a model was made as keys and words; the settings of its recipe one by one."""
    if not isinstance(provenance, Mapping):
        yield "made", str(provenance)
        return
    for key, value in provenance.items():
        if key == "recipe":
            yield from ((f"recipe {name}", str(setting)) for name, setting in value.items())
        else:
            yield key, in_words(value)


def in_words(value: Any) -> str:
    """JSON without its signs; events of a file as ``FILE=N``."""
    if isinstance(value, Mapping):
        if {"file", "events"} <= value.keys():
            return f"{value['file']}={value['events']}"
        return ", ".join(
            f"{key}={part['events']}" if isinstance(part, Mapping) and "events" in part else f"{key} {in_words(part)}"
            for key, part in value.items()
        )
    return ", ".join(map(in_words, value)) if isinstance(value, list) else str(value)


def card(model: AnyPath) -> str:
    """The card of a model, without its front matter; empty if it has none."""
    path = weights_file(model).with_name(CARD)
    text = path.read_text() if path.is_file() else ""
    return text.removeprefix("---\n").partition("\n---\n")[2].lstrip() if text.startswith("---\n") else text


def advice(model: AnyPath) -> str:
    """What a card's front matter says about when to take the model; empty if it has none."""
    path = weights_file(model).with_name(CARD)
    return str(stated(path).get(ADVICE, "")) if path.is_file() else ""
