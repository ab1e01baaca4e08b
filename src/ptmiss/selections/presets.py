"""Selections by name, and of files that users write."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ptmiss.errors import OptionError, UnknownName
from ptmiss.files import AnyPath, as_path, userfiles
from ptmiss.selections.weights.schema import in_folder

from .schema import Selection

PLACE = Path(__file__).parents[1] / "data" / "selections"
PRESETS = tuple(sorted(path.stem for path in PLACE.glob("*.toml")))
BASE, DEFAULT = "base", "default"
FILES = (
    "leptons.momentum.file",
    "leptons.momenta.*.file",
    "jets.identification_file",
    "jets.identification_files.*",
    "quality.golden_json",
    "quality.veto_map.file",
    "quality.veto_maps.*.file",
)
"""Keys that name files."""


def load_selection(given: Selection | AnyPath | Mapping[str, Any] = DEFAULT) -> Selection:
    """A selection by its name or of a file.

    Args:
        given: one of PRESETS; or a TOML or JSON file; or a selection, which is returned as it is, or its record in a
            manifest. A file has the keys that differ from the preset that its key ``base`` names, ``default`` without
            one.

    Returns:
        The selection: every cut, pT and mass in GeV.

    Raises:
        UnknownName: there is no such preset, and no such file.
        OptionError: the file has an unknown key, or a value that is not allowed.
    """
    if isinstance(given, Selection):
        return given
    if isinstance(given, Mapping):
        return userfiles.validate(Selection, given, "selection: ", OptionError)
    if isinstance(given, str) and given in PRESETS:
        return preset(given)
    path = as_path(given)
    if path.suffix not in (".toml", ".json"):
        raise UnknownName("selection", str(given), PRESETS)
    return userfiles.validate(Selection, _content(path), f"selection {path}: ", OptionError)


def selection_of(made: Mapping[str, Any]) -> Selection:
    """The selection with which a result was made, of its provenance; the default one of a table made by hand."""
    return load_selection(made.get("selection") or DEFAULT)


def of_channel(given: Selection | AnyPath | Mapping[str, Any], channel: str | None) -> Selection:
    """A selection that has a channel; OptionError if it has others."""
    selection = load_selection(given)
    if channel is None or channel in selection.channels:
        return selection
    has = ", ".join(selection.channels) or "no channel"
    presets = ", ".join(name for name in PRESETS if channel in preset(name).channels)
    raise OptionError(f"the selection is of {has}, expected one of {channel}: {presets} are")


@lru_cache
def preset(name: str) -> Selection:
    """A selection by name."""
    if name not in PRESETS:
        raise UnknownName("selection", name, PRESETS)
    return Selection.model_validate(_content(PLACE / f"{name}.toml"))


def _content(path: Path) -> dict[str, Any]:
    """What a file says, on top of the preset that it starts from."""
    found = userfiles.content(path, "selection")
    if not isinstance(found, dict):
        raise OptionError(f"selection {path}: expected keys and values")
    found = beside({**found, "weights": in_folder(found.get("weights", {}), path.parent)}, path.parent)
    own = found.get("btag")
    if isinstance(own, Mapping) and "taggers" in own:
        found["btag"] = {"eras": {}, **own}
    base = found.pop(BASE, DEFAULT)
    if path == PLACE / f"{base}.toml":
        return found
    return merge(preset(base).model_dump(), found, Selection)


def beside(content: Any, folder: Path, place: tuple[str, ...] = ()) -> Any:
    """Content of a selection whose files are taken from a folder, that of the selection."""
    if isinstance(content, Mapping):
        return {name: beside(value, folder, (*place, name)) for name, value in content.items()}
    is_file = isinstance(content, str) and content and any(fnmatch(".".join(place), each) for each in FILES)
    return str(folder / content) if is_file else content


def merge(below: Mapping[str, Any], above: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Content of a model on top of other content, key by key in its sections."""
    merged = dict(below)
    for name, value in above.items():
        field = model.model_fields.get(name)
        inner = userfiles.section_of(field) if field else None
        both = isinstance(value, Mapping) and isinstance(below.get(name), Mapping)
        merged[name] = merge(below[name], value, inner) if inner and both else value
    return merged
