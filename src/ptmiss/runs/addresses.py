"""Addresses of chunks: a hash of everything that a chunk's output depends on.

* the input: path, tree, UUID and entries of the file, size and time of modification of a local one; the range of entries
* the dataset: its name and metadata
* the code: the sources of the processor's modules and of those that they import (outside of installed packages), all
  sources of ptmiss, and the versions of the packages that it computes with
* the parameters: the processor's attributes, with the content of every file that they or the metadata name: weights,
  corrections, certified luminosity sections

Two chunks of one address are the same; anything that differs gives another address, and is never mixed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import sys
import sysconfig
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import numpy as np
from coffea.processor import ProcessorABC
from coffea.processor.executor import WorkItem

import ptmiss
from ptmiss.events import identifier
from ptmiss.provenance import versions

FORMAT = 1  # of a chunk's file
WINGS = ("ptmiss.processors", "ptmiss.models", "ptmiss.calibration")

Recipe = dict[str, Any]


def recipe(processor: ProcessorABC) -> Recipe:
    """What all chunks of a run have in common, as JSON can hold it, by what a person would call it."""
    return {
        "format": FORMAT,
        "ptmiss": [ptmiss.__version__, package_digest()],
        "packages": versions(),
        "processor": [type(processor).__qualname__, sources(type(processor))],
        "parameters": described(vars(processor)),
    }


def address(recipe: Recipe, item: WorkItem) -> str:
    """The address of a chunk."""
    dataset = {"dataset": item.dataset, "metadata": described(item.usermeta or {})}
    entries = [item.entrystart, item.entrystop]
    return digest(json.dumps([recipe, dataset, file_identity(item), entries], sort_keys=True).encode())[:32]


def file_identity(item: WorkItem) -> dict[str, Any]:
    """What tells an input file from another, or from itself before it was changed."""
    identity = {"path": item.filename, "tree": item.treename, "uuid": identifier(item.fileuuid)}
    if "://" in item.filename:
        return identity
    status = Path(item.filename).stat()
    return identity | {"size": status.st_size, "modified": status.st_mtime_ns}


def described(value: Any) -> Any:
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
            return {str(key): described(part) for key, part in value.items()}
        case set() | frozenset():
            return sorted((described(part) for part in value), key=json.dumps)
        case list() | tuple():
            return [described(part) for part in value]
        case type() | ModuleType():
            return value.__qualname__ if isinstance(value, type) else value.__name__
    return _object(value)


def _object(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        attributes = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif type(value).__module__ in sys.modules and hasattr(value, "__dict__") and not callable(value):
        attributes = vars(value)
    else:
        return {"class": type(value).__qualname__, "sha256": digest(cloudpickle.dumps(value))}
    return {"class": type(value).__qualname__, **described(attributes)}


def digest(content: bytes) -> str:
    """SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def file_digest(path: str) -> str | None:
    """SHA-256 of a local file; None if the text names none."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=1)
def package_digest() -> str:
    """SHA-256 over all sources of ptmiss and its wings."""
    roots = [Path(ptmiss.__file__).parent]
    found = [importlib.util.find_spec(wing) for wing in WINGS]
    roots += [Path(spec.origin).parent for spec in found if spec and spec.origin]
    files = sorted((root.name, path.relative_to(root), path) for root in roots for path in root.rglob("*.py"))
    return digest(b"".join(f"{name}/{place}\0".encode() + path.read_bytes() for name, place, path in files))


def sources(cls: type) -> dict[str, str]:
    """SHA-256 of the source of each module that a class depends on, installed packages and ptmiss left out."""
    return {module.__name__: _source_digest(module, cls) for module in own_modules(cls)}


def own_modules(cls: type) -> list[ModuleType]:
    """The modules of a class and its bases, and those that they import, that no package installed; by name."""
    found: dict[str, ModuleType] = {}
    names = [base.__module__ for base in cls.__mro__]
    while names:
        name = names.pop()
        module = sys.modules.get(name)
        if module is not None and name not in found and _is_own(module):
            found[name] = module
            names += _imported(module)
    return [found[name] for name in sorted(found)]


def _imported(module: ModuleType) -> Iterator[str]:
    for value in list(vars(module).values()):
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str):
            yield name


def _is_own(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if file is None or module.__name__.partition(".")[0] == "ptmiss":
        return module.__name__ == "__main__"
    return not any(Path(file).is_relative_to(place) for place in _installed())


@lru_cache(maxsize=1)
def _installed() -> Collection[Path]:
    packages = {Path(str(package.__file__)).parents[1] for package in (np, cloudpickle)}
    return packages | {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}


def _source_digest(module: ModuleType, cls: type) -> str:
    if file := getattr(module, "__file__", None):
        return digest(Path(file).read_bytes())
    return digest(
        cloudpickle.dumps(cls)
    )  # of a notebook: another in each session, so nothing of before is taken for it


def changes(old: Recipe, new: Recipe) -> list[str]:
    """What differs between the recipes of two runs, in words."""
    return [name for name in new if json.dumps(old.get(name)) != json.dumps(new[name])]
