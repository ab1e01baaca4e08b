"""Addresses of chunks: a hash of everything that a chunk's output depends on.

* the input: path, tree, UUID and entries of the file, size and time of modification of a local one; the range of
  entries
* the dataset: its name and metadata
* the code: the sources of the user's modules that the processor needs, all sources of ptmiss, and the versions of
  Python,
  of the packages that those import and of all that ptmiss computes with; see ptmiss.runs.dependencies
* the parameters: the processor's attributes, with the content of every file that they or the metadata name: weights,
  corrections, certified luminosity sections

Two chunks of one address are the same; anything that differs gives another address, and is never mixed.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
from collections.abc import Mapping
from functools import lru_cache
from glob import glob
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import numpy as np
from coffea.processor import ProcessorABC
from coffea.processor.executor import WorkItem
from pydantic import BaseModel

from ptmiss.events import identifier
from ptmiss.files import digest
from ptmiss.files.provenance import versions
from ptmiss.runs import dependencies
from ptmiss.version import __version__

FORMAT = 2  # of a chunk's file

Recipe = dict[str, Any]


def recipe(processor: ProcessorABC) -> Recipe:
    """What all chunks of a run have in common, as JSON can hold it, by what a person would call it."""
    code = dependencies.of(processor)
    return {
        "format": FORMAT,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "ptmiss": [__version__, package_digest()],
        "packages": code.packages | versions(),
        "processor": [type(processor).__qualname__, code.sources],
        "parameters": describe(vars(processor)),
    }


def address(recipe: Recipe, item: WorkItem) -> str:
    """The address of a chunk."""
    dataset = {"dataset": item.dataset, "metadata": describe(item.usermeta or {})}
    entries = [item.entrystart, item.entrystop]
    return digest(json.dumps([recipe, dataset, file_identity(item), entries], sort_keys=True).encode())[:32]


def file_identity(item: WorkItem) -> dict[str, Any]:
    """What tells an input file from another, or from itself before it was changed."""
    identity = {"path": item.filename, "tree": item.treename, "uuid": identifier(item.fileuuid)}
    if "://" in item.filename:
        return identity
    status = Path(item.filename).stat()
    return identity | {"size": status.st_size, "modified": status.st_mtime_ns}


def describe(value: Any) -> Any:
    """A parameter as JSON can hold it: the same in every process for equal values; a file's name with its content."""
    match value:
        case None | bool() | int() | float():
            return value
        case str() | Path():
            content = file_digest(str(value))
            return {"file": Path(value).name, "sha256": content} if content else str(value)
        case np.ndarray():
            return {"array": str(value.dtype), "shape": value.shape, "sha256": digest(value.tobytes())}
        case Mapping():
            return {str(key): describe(part) for key, part in value.items()}
        case set() | frozenset():
            return sorted((describe(part) for part in value), key=json.dumps)
        case list() | tuple():
            return [describe(part) for part in value]
        case type() | ModuleType():
            return value.__qualname__ if isinstance(value, type) else value.__name__
    return _object(value)


def _object(value: Any) -> Any:
    if isinstance(value, BaseModel):
        attributes = value.model_dump()
    elif dataclasses.is_dataclass(value):
        attributes = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif type(value).__module__ in sys.modules and hasattr(value, "__dict__") and not callable(value):
        attributes = vars(value)
    else:
        return {"class": type(value).__qualname__, "sha256": digest(cloudpickle.dumps(value))}
    return {"class": type(value).__qualname__, **describe(attributes)}


def file_digest(path: str) -> str | None:
    """SHA-256 of a local file; None if the text names none."""
    try:
        return digest(Path(path))
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=1)
def package_digest() -> str:
    """SHA-256 over all sources of ptmiss."""
    return folder_digest(Path(__file__).parents[1])


def folder_digest(root: Path) -> str:
    """SHA-256 over all modules in a folder and below, links to folders followed."""
    places = sorted(glob("**/*.py", root_dir=root, recursive=True))  # noqa: PTH207  (Path.rglob follows no links)
    return digest(b"".join(f"{place}\0".encode() + (root / place).read_bytes() for place in places))


def changes(old: Recipe, new: Recipe) -> list[str]:
    """What differs between the recipes of two runs, in words."""
    return [name for name in new if json.dumps(old.get(name)) != json.dumps(new[name])]
