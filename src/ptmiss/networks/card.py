"""The front matter of a model's card, checked, and whether a card fits its weights.

A card is a ``README.md`` beside the weights, as on a model hub: YAML between two lines of ``---``, then Markdown.
Keys of a hub that are not named here are let be.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ptmiss.errors import WeightsError

CARD = "README.md"
RULE = "---\n"
VERSION = r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"


class Card(BaseModel):
    """What a card states of a model."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    library_name: Literal["ptmiss"] = Field(description="the library that runs the model")
    ptmiss_version: str = Field(description="version of ptmiss that wrote the weights")
    license: str = Field(min_length=1, description="licence of the weights, by its SPDX name in small letters")
    model_name: str = Field(pattern=r"^[\w.-]+$", description="name of the model")
    version: str = Field(
        pattern=f"^{VERSION}$",
        description="MAJOR.MINOR.PATCH: other inputs or outputs, other weights, another card",
    )
    architecture: Literal["deepmet", "attention", "linear", "mlpf", "superclusters"] = Field(
        description="kind of network"
    )
    parameters: int = Field(gt=0, description="number of trainable parameters")
    padding: int = Field(ge=0, description="slots to which an event is padded; 0 for none")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the weights")
    training_data: str = Field(min_length=1, description="the events that it was trained on")
    advice: str = Field("", description="when to take the model, in a line")

    @property
    def release(self) -> tuple[int, ...]:
        """The version as numbers, which sort."""
        return numbers(self.version)


def numbers(version: str) -> tuple[int, ...]:
    """A version, or the beginning of one, as numbers."""
    return tuple(map(int, version.split(".")))


def front_matter(text: str) -> str:
    """What stands between the first two rules of a card; empty if there is none."""
    return text.removeprefix(RULE).partition(f"\n{RULE}")[0] if text.startswith(RULE) else ""


def stated(path: Path) -> dict[str, Any]:
    """Keys and values of a card's front matter as they are; WeightsError if it is no YAML mapping."""
    try:
        found = yaml.safe_load(front_matter(path.read_text())) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: the front matter is no YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path}: the front matter is {type(found).__name__}, expected keys and values")
    return found


def read(path: Path) -> Card:
    """A card, checked; WeightsError names the first key that is wrong."""
    if not path.is_file():
        raise WeightsError(f"no such card: {path}")
    try:
        return Card.model_validate(stated(path))
    except ValidationError as error:
        first = error.errors()[0]
        key, said = ".".join(map(str, first["loc"])), first["msg"]
        given = "" if first["type"] == "missing" else f", not {first['input']!r}"
        raise WeightsError(f"{path}: {key}: {said[0].lower()}{said[1:]}{given}") from error


def check_fits(path: Path, actual: dict[str, Any]) -> None:
    """Raise WeightsError if a card states something else than the weights are; keys that it has not are let be.

    actual: ``sha256 architecture parameters padding`` of the weights.
    """
    if path.is_file():
        said = stated(path)
        for key, value in actual.items():
            if key in said and said[key] != value:
                raise WeightsError(
                    f"{path} does not fit the weights beside it: {key} {said[key]}, the file has {value}"
                )


def is_version(text: str) -> bool:
    """Whether a text is a version, or the beginning of one: ``1``, ``1.2``, ``1.2.0``."""
    return re.fullmatch(r"\d+(\.\d+){0,2}", text) is not None
