"""Small files that users write, as checked models: whatever is wrong with one is a line."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from ptmiss.errors import FileError, PtmissError, hint
from ptmiss.files import AnyPath, as_path

Model = TypeVar("Model", bound=BaseModel)
Number = Annotated[float, Strict()]
Whole = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
UNIT = "unit"


class Section(BaseModel):
    """Keys that belong together. A number with a unit may be text that names it: ``"25 GeV"``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _in_its_unit(cls, value: Any, info: ValidationInfo) -> Any:
        expected = unit(cls.model_fields[str(info.field_name)])
        if isinstance(value, list | tuple):
            return [_number(each, expected) for each in value] if expected else value
        return _number(value, expected) if expected else value


def key(default: Any, description: str, unit: str = "", **constraints: Any) -> Any:
    """A key of a section: its default, what it means, and its unit if it has one."""
    return Field(default, description=description, json_schema_extra={UNIT: unit} if unit else None, **constraints)


def unit(field: FieldInfo) -> str:
    """The unit of a key; empty if it has none."""
    extra = field.json_schema_extra
    return str(extra.get(UNIT, "")) if isinstance(extra, dict) else ""


def _number(value: Any, expected: str) -> Any:
    """A number, from itself or from text with its unit."""
    if not isinstance(value, str):
        return value
    text, _, given = value.strip().partition(" ")
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"expected a number of {expected}, not {value!r}") from None
    if given.strip() != expected:
        raise ValueError(f"expected {expected}, not {value!r}")
    return number


class Documented(NamedTuple):
    """A key of a model as a reader sees it: its place ``leptons.pt``, unit, default and description."""

    place: str
    unit: str
    default: Any
    description: str


def documented(model: type[BaseModel], place: str = "") -> Iterator[Documented]:
    """The keys of a model and of its sections."""
    for name, field in model.model_fields.items():
        inner = section_of(field)
        if inner is None:
            default = field.get_default(call_default_factory=True)
            yield Documented(f"{place}{name}", unit(field), default, field.description or "")
        else:
            yield from documented(inner, f"{place}{name}.")


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model that a key holds, of its own or as an option; None for a value."""
    option = get_origin(field.annotation) in (Union, UnionType)
    kinds = get_args(field.annotation) if option else (field.annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def text(path: AnyPath, what: str) -> str:
    """The text of a file; FileError says what it should have been."""
    path = as_path(path)
    try:
        return path.read_text()
    except FileNotFoundError as error:
        raise FileError(f"no such {what}: {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot read {what} {path}: {error}") from error


def content(path: AnyPath, what: str) -> Any:
    """The content of a JSON file, or of a TOML file by any other name; FileError if it is none."""
    path = as_path(path)
    read, kind = (json_content, "JSON") if path.suffix == ".json" else (tomllib.loads, "TOML")
    try:
        return read(text(path, what))
    except ValueError as error:
        raise FileError(f"{what} {path} is not {kind}: {error}") from error


def json_content(text: str) -> Any:
    """What a JSON text holds; ValueError also for a key that is there twice, and for a number that is none."""
    return json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse)


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    keys = Counter(key for key, _ in pairs)
    if twice := [key for key, n in keys.items() if n > 1]:
        raise ValueError(f"key {twice[0]!r} is there twice")
    return dict(pairs)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def validate(
    model: type[Model], content: Any, where: str, raised: type[PtmissError], context: Mapping[str, Any] | None = None
) -> Model:
    """Content as a model; an error of the given type with the place and the first mistake.

    context: what the model's validators may ask for.
    """
    try:
        return model.model_validate(content, context=context)
    except ValidationError as errors:
        raise raised(f"{where}{mistake(errors, model)}") from None


def mistake(errors: ValidationError, model: type[BaseModel]) -> str:
    """The key of the first mistake, and what is wrong with it. A misspelled key comes before a missing one."""
    first = min(errors.errors(), key=lambda error: error["type"] != "extra_forbidden")
    parts = [str(part) for part in first["loc"] if part not in ("tuple[str, ...]", "dict[str,str]")]
    place, message, given = ".".join(parts), first["msg"].removeprefix("Value error, "), first["input"]
    if first["type"] == "extra_forbidden":
        known = [each.place for each in documented(model)]
        message = f"unknown key{hint(place, known)}; known: {', '.join(_siblings(model, parts[:-1]))}"
    elif first["type"] == "path_not_file":
        message = f"no such file: {given}"
    elif message.startswith("Input should be"):
        message = message.replace("a valid tuple", "a list")
        message += f", not {given!r}" if isinstance(given, str | int | float) else ""
    return f"{place or 'value'}: {message}"


def _siblings(model: type[BaseModel], parts: Sequence[str]) -> list[str]:
    """The keys of the section at a place."""
    for part in parts:
        model = (section_of(model.model_fields[part]) if part in model.model_fields else None) or model
    return list(model.model_fields)
