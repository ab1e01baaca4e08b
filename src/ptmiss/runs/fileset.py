"""Filesets: coffea's JSON, checked key by key before anything is opened.

``{"dy": {"files": ["a.root"], "treename": "Events", "metadata": {"kind": "mc", "cross_section": 6077.2}}}``,
or ``{"dy": ["a.root", "b*.root"]}`` for short. Files are paths, globs or URLs, or a map from those to tree names. Of a
fileset that coffea preprocessed only paths and trees are taken: steps, entries, UUIDs and forms are found out again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ptmiss.errors import FilesetError, hint
from ptmiss.events import TREE, expand
from ptmiss.files import AnyPath, as_path, userfiles

RESERVED = {"dataset", "filename", "treename", "entrystart", "entrystop", "fileuuid"}  # coffea fills these
PREPROCESSED = {"form", "save_form"}  # of a dataset, by coffea
OF_SIMULATION = ("role", "unweighted", "cross_section", "sumw")


class Metadata(BaseModel):
    """What is known of a dataset. Keys of your own are passed on to the processor."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: Literal["data", "mc"] | None = Field(
        None, description="recorded data or simulation; found out where the files have what a generator made"
    )
    role: Literal["signal", "background"] | None = Field(
        None, description="of simulation: whether corrections map its recoil"
    )
    pseudo_data: bool = Field(False, description="simulation that stands for data")
    unweighted: bool = Field(False, description="simulation without genWeight: every event counts 1")
    cross_section: float | None = Field(None, gt=0, allow_inf_nan=False, description="pb, of simulation")
    sumw: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="sum of weights of all that was generated, where the files do not have it in `Runs`",
    )
    luminosity: float | None = Field(None, gt=0, allow_inf_nan=False, description="fb^-1, of data")
    process: str | None = Field(None, description="what a fit calls it; datasets of one process are added")
    era: str | None = Field(None, description="data-taking period")
    triggers: tuple[str, ...] = Field((), description="HLT branches, any of which an event must have fired")
    veto_triggers: tuple[str, ...] = Field(
        (), description="HLT branches of the datasets before this one, none of which an event must have fired"
    )
    golden_json: str | None = Field(None, description="file of certified luminosity sections")

    @model_validator(mode="after")
    def _of_one_kind(self) -> Metadata:
        if self.pseudo_data and self.kind != "data":
            raise ValueError("pseudo_data stand for data: expected kind 'data' beside them")
        if self.kind == "data" and self.of_simulation:
            raise ValueError(f"{self.of_simulation[0]} is of simulation: expected kind 'mc', or none of it")
        return self

    @property
    def of_simulation(self) -> list[str]:
        """Keys that only simulation has, of those that are given."""
        return [key for key in OF_SIMULATION if getattr(self, key)]

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
        if isinstance(value, Mapping):
            return {key: part for key, part in value.items() if key not in PREPROCESSED}
        return {"files": value} if isinstance(value, list | str) else value

    @field_validator("files", mode="before")
    @classmethod
    def _files(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {path: of.get("object_path") if isinstance(of, Mapping) else of for path, of in value.items()}
        return [value] if isinstance(value, str) else value

    @field_validator("metadata", mode="before")
    @classmethod
    def _nothing_known(cls, value: Any) -> Any:
        return {} if value is None else value

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
    return {
        name: userfiles.validate(Dataset, value, f"{source}: dataset {name!r}, ", FilesetError)
        for name, value in content.items()
    }


def read(path: AnyPath) -> Fileset:
    """A fileset from a JSON file."""
    path = as_path(path)
    try:
        content = userfiles.json_content(userfiles.text(path, "fileset"))
    except json.JSONDecodeError as error:
        raise FilesetError(f"{path}: not JSON (line {error.lineno}: {error.msg})") from error
    except ValueError as error:
        raise FilesetError(f"{path}: {error}") from error
    return parse(content, str(path))
