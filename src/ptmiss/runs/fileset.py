"""Filesets: coffea's JSON, checked key by key before anything is opened.

``{"dy": {"files": ["a.root"], "treename": "Events", "metadata": {"kind": "mc", "cross_section": 6077.2}}}``,
or ``{"dy": ["a.root", "b*.root"]}`` for short. Files are paths, globs or URLs, or a map from those to tree names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ptmiss.errors import FileError, FilesetError, hint
from ptmiss.events import TREE, expand

RESERVED = {"dataset", "filename", "treename", "entrystart", "entrystop", "fileuuid"}  # coffea fills these


class Metadata(BaseModel):
    """What is known of a dataset. Keys of your own are passed on to the processor."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: Literal["data", "mc"] = Field("mc", description="recorded data or simulation")
    role: Literal["signal", "background"] = Field("signal", description="backgrounds can be subtracted from data")
    cross_section: float | None = Field(None, gt=0, description="pb, of simulation")
    luminosity: float | None = Field(None, gt=0, description="fb^-1, of data")
    era: str | None = Field(None, description="data-taking period")
    triggers: tuple[str, ...] = Field((), description="HLT branches, any of which an event must have fired")
    golden_json: str | None = Field(None, description="file of certified luminosity sections")

    @model_validator(mode="after")
    def _no_near_misses(self) -> Metadata:
        for key in self.model_extra or {}:
            if key in RESERVED:
                raise ValueError(f"{key!r} is filled by the runner")
            if near := hint(key, self.__class__.model_fields, likeness=0.8):  # a slip of the pen
                raise ValueError(f"unknown key {key!r}{near}")
        return self


class Dataset(BaseModel):
    """Files of one dataset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: tuple[str, ...] | dict[str, str] = Field(min_length=1)
    treename: str = TREE
    metadata: Metadata = Field(default_factory=lambda: Metadata.model_validate({}))

    @model_validator(mode="before")
    @classmethod
    def _list_of_files(cls, value: Any) -> Any:
        return {"files": value} if isinstance(value, list | str) else value

    @field_validator("files", mode="before")
    @classmethod
    def _one_file(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    def trees(self) -> Iterator[tuple[str, str]]:
        """Path and tree name of every file, globs expanded."""
        named = self.files.items() if isinstance(self.files, Mapping) else ((f, self.treename) for f in self.files)
        seen = set()
        for pattern, tree in named:
            for path in expand([pattern], strict=False):
                if path in seen:
                    raise FilesetError(f"{path} is listed twice in one dataset; its events would count twice")
                seen.add(path)
                yield path, tree


Fileset = dict[str, Dataset]


def parse(content: Mapping[str, Any], source: str = "fileset") -> Fileset:
    """A fileset from what its JSON holds; FilesetError names dataset, key and value of the first mistake."""
    if not isinstance(content, Mapping) or not content:
        raise FilesetError(f"{source}: expected a map from dataset names to files")
    return {name: _dataset(name, value, source) for name, value in content.items()}


def read(path: Path) -> Fileset:
    """A fileset from a JSON file."""
    try:
        return parse(json.loads(path.read_text()), str(path))
    except FileNotFoundError as error:
        raise FileError(f"no such fileset: {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot read fileset {path}: {error}") from error
    except json.JSONDecodeError as error:
        raise FilesetError(f"{path}: not JSON (line {error.lineno}: {error.msg})") from error


def _dataset(name: str, value: Any, source: str) -> Dataset:
    try:
        return Dataset.model_validate(value)
    except ValidationError as errors:
        first = min(
            errors.errors(), key=lambda error: error["type"] != "extra_forbidden"
        )  # a slip of the pen explains more
        where = ".".join(str(part) for part in first["loc"] if part not in ("tuple[str, ...]", "dict[str,str]"))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"unknown key{hint(where, Dataset.model_fields)}; known: {', '.join(Dataset.model_fields)}"
        elif message.startswith("Input should be") and isinstance(first["input"], str | int | float):
            message += f", not {first['input']!r}"
        raise FilesetError(f"{source}: dataset {name!r}, {where or 'value'}: {message}") from None
