"""Numbers looked up in any file of correctionlib: scale factors, weights, jet energy corrections, maps of jets.

correctionlib answers outside of a binning with its last bin where the file says so, and names inputs by their position.
Here inputs have names, a value that a category lacks is an error that offers the nearest, and values outside of a
binning are found and counted before they are looked up.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import correctionlib
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptmiss.errors import CorrectionError, FileError, UnknownName
from ptmiss.files import AnyPath, as_path, cached_by_file
from ptmiss.typing import Array

SCHEMA = 2  # of correctionlib
Node = Any  # of a correction as JSON: a number, or a mapping with a nodetype
Category = str | int
Given = Mapping[str, ArrayLike | str]  # inputs by their names


@dataclass(frozen=True)
class LookupFile:
    """The corrections of the file ``path``; content: as JSON; set: correctionlib's evaluators."""

    path: str
    content: dict[str, Any]
    set: correctionlib.CorrectionSet

    @cached_property
    def lookups(self) -> dict[str, Lookup]:
        """All corrections by their names, compound ones last."""
        simple, compound = self.content["corrections"], self.content.get("compound_corrections") or []
        evaluators = [*((c, self.set) for c in simple), *((c, self.set.compound) for c in compound)]
        return {c["name"]: Lookup(self.path, c, of[c["name"]]) for c, of in evaluators}

    def __getitem__(self, name: str) -> Lookup:
        if name not in self.lookups:
            raise UnknownName(f"correction of {self.path}", name, self.lookups)
        return self.lookups[name]


@dataclass(frozen=True)
class Lookup:
    """One correction of the file ``path``; content: as JSON; evaluator: correctionlib's."""

    path: str
    content: dict[str, Any]
    evaluator: Any

    @property
    def name(self) -> str:
        """Its name in the file."""
        return str(self.content["name"])

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Type of each input by its name, in their order: ``real``, ``int`` or ``string``."""
        return {entry["name"]: entry["type"] for entry in self.content["inputs"]}

    @property
    def compound(self) -> bool:
        """Whether it applies others one after the other; these keep what their file says of values outside."""
        return "data" not in self.content

    def __call__(self, given: Given, clamp: bool = False) -> Array:
        """Values of the correction.

        Args:
            given: all inputs by their names, in the units of the file: arrays of shape (values,), or one value for all.
            clamp: take the nearest bin for what is outside of a binning.

        Returns:
            (values,) what the file says; a number without dimensions if no input has any.

        Raises:
            UnknownName: an input that does not exist, or a value of a category that is not in the file.
            CorrectionError: an input is missing, not a number, or, without ``clamp``, outside of the binning.
        """
        if not clamp and not self.compound:
            self.require_inside(given, self.outside(given))
        evaluator = self._clamped if clamp and not self.compound else self.evaluator
        return self._evaluate(evaluator, given)

    def outside(self, given: Given) -> NDArray[np.bool_]:
        """(values,) which of them are outside of a binning, whose nearest bin would answer for them, or none."""
        return np.asarray(self._evaluate(self._flags, given) > 0)

    def require_inside(self, given: Given, outside: NDArray[np.bool_], count: str | None = None) -> None:
        """Raise CorrectionError if some values are outside; count: how many of what, as the error says it."""
        if not np.any(outside):
            return
        ranges = {name: limits for name, limits in self.ranges(given).items() if np.isfinite(limits).any()}
        first = int(np.argmax(np.atleast_1d(outside)))
        values = (
            f"{name} = {_value(given[name], outside, first):g} of {low:g} to {high:g}"
            for name, (low, high) in ranges.items()
        )
        raise CorrectionError(
            f"{count or f'{np.count_nonzero(outside)} of {np.size(outside)} values'} are outside of the range of "
            f"{self.name} in {self.path}: the first has {', '.join(values)}"
        )

    def ranges(self, given: Given) -> dict[str, tuple[float, float]]:
        """Lowest and highest edge of each binned input, of its absolute value where the file takes that."""
        found: dict[str, tuple[float, float]] = {}
        for node in self._reached(given):
            for name, (low, high) in _edges(node):
                lowest, highest = found.get(name, (low, high))
                found[name] = min(low, lowest), max(high, highest)
        return found

    def categories(self, name: str, given: Given = MappingProxyType({})) -> list[Category]:
        """Values that an input of a category can have, where others have given values; none if it has any value."""
        nodes = (node for node in self._reached(given) if _is(node, "category") and node["input"] == name)
        return list(dict.fromkeys(key for node in nodes for key in _keys(node)))

    def require(self, given: Given) -> None:
        """Raise UnknownName if an input has another name, or if a category lacks a value given for it."""
        for name in given:
            if name not in self.inputs:
                raise UnknownName(f"input of {self.name} in {self.path}", name, self.inputs)
        fixed = tuple((name, value) for name, value in given.items() if isinstance(value, Category))
        if fixed not in self._answered:
            for name, value in fixed:
                self._require_category(name, value, {other: v for other, v in fixed if other != name})
            self._answered.add(fixed)

    def _require_category(self, name: str, value: Category, others: Given) -> None:
        nodes = [node for node in self._reached(others) if _is(node, "category") and node["input"] == name]
        if not nodes or any(value in _keys(node) or node.get("default") is not None for node in nodes):
            return
        known = sorted({str(key) for node in nodes for key in _keys(node)})
        raise UnknownName(f"{name} of {self.name} in {self.path}", str(value), known)

    @cached_property
    def _answered(self) -> set[tuple[tuple[str, Category], ...]]:
        """Values of categories that were found to be there: large files are searched once."""
        return set()

    def _reached(self, given: Given) -> Iterator[Node]:
        return _reached(self.content.get("data", 0.0), given)

    def _evaluate(self, evaluator: Any, given: Given) -> Array:
        self.require(given)
        if missing := [name for name in self.inputs if name not in given]:
            raise CorrectionError(
                f"{self.name} in {self.path} needs {missing[0]}; its inputs: {', '.join(self.inputs)}"
            )
        try:
            return np.asarray(evaluator.evaluate(*(self._input(name, given[name]) for name in self.inputs)))
        except (RuntimeError, IndexError, ValueError) as error:
            raise CorrectionError(f"{self.name} in {self.path}: {str(error).splitlines()[0]}") from error

    def _input(self, name: str, value: Any) -> Any:
        kind = self.inputs[name]
        if kind == "string":
            return value
        values = np.asarray(value, np.int64 if kind == "int" else np.float64)
        if not np.isfinite(values).all():
            bad = np.count_nonzero(~np.isfinite(values))
            raise CorrectionError(
                f"{bad} of {values.size} values of {name} are not numbers: {self.name} in {self.path}"
            )
        return values if values.ndim else values.item()

    @cached_property
    def _flags(self) -> Any:
        """A correction with the same binnings that is 1 outside of them and 0 inside."""
        return self._rewrite(_flag)

    @cached_property
    def _clamped(self) -> Any:
        return self._rewrite(_clamp)

    def _rewrite(self, rewrite: Callable[[Node], Node]) -> Any:
        correction = self.content | {"data": rewrite(self.content["data"])}
        content = {"schema_version": SCHEMA, "corrections": [correction]}
        return correctionlib.CorrectionSet.from_string(json.dumps(content))[self.name]


def _value(values: ArrayLike | str, outside: NDArray[np.bool_], first: int) -> float:
    """That of one input where something is outside first."""
    return float(np.broadcast_to(np.asarray(values), np.shape(np.atleast_1d(outside)))[first])


def _is(node: Node, kind: str) -> bool:
    return isinstance(node, Mapping) and node["nodetype"] == kind


def _keys(category: Node) -> list[Category]:
    return [item["key"] for item in category["content"]]


def _reached(node: Node, given: Given) -> Iterator[Node]:
    """The nodes of a tree that can answer where categories have the given values."""
    if not isinstance(node, Mapping):
        return
    yield node
    for part in _parts(node, given):
        yield from _reached(part, given)


def _parts(node: Node, given: Given) -> list[Node]:
    if node["nodetype"] == "category":
        value = given.get(node["input"])
        chosen = [item["value"] for item in node["content"] if not isinstance(value, Category) or item["key"] == value]
        return [*chosen, node.get("default")]
    if node["nodetype"] in ("binning", "multibinning"):
        return [*node["content"], node["flow"]]
    return [node["content"]] if node["nodetype"] == "transform" else []


def _edges(node: Node) -> Iterator[tuple[str, tuple[float, float]]]:
    """Name, lowest and highest edge of each input of a binning."""
    if _is(node, "binning"):
        yield node["input"], _limits(node["edges"])
    elif _is(node, "multibinning"):
        yield from zip(node["inputs"], map(_limits, node["edges"]), strict=True)


def _limits(edges: Any) -> tuple[float, float]:
    return (edges["low"], edges["high"]) if isinstance(edges, Mapping) else (float(edges[0]), float(edges[-1]))


def _flag(node: Node) -> Node:
    """A node that is 1 where the nearest bin, or none, would answer, and 0 elsewhere."""
    if not isinstance(node, Mapping) or node["nodetype"] in ("formula", "formularef", "hashprng"):
        return 0.0
    return _map_nodes(node, _flag, lambda flow: 1.0 if flow in ("clamp", "error") else flow)


def _clamp(node: Node) -> Node:
    """A node whose nearest bin answers for what is outside, where the file has no other answer."""
    if not isinstance(node, Mapping) or node["nodetype"] in ("formula", "formularef", "hashprng"):
        return node
    return _map_nodes(node, _clamp, lambda flow: "clamp" if flow == "error" else flow)


def _map_nodes(node: Node, inner: Callable[[Node], Node], flow: Callable[[str], Node]) -> Node:
    """A node whose parts are replaced; flow: what takes the place of a rule for values outside."""
    match node["nodetype"]:
        case "category":
            items = [item | {"value": inner(item["value"])} for item in node["content"]]
            default = node.get("default")
            return node | {"content": items, "default": None if default is None else inner(default)}
        case "transform":
            return node | {"content": inner(node["content"])}
    outside = node["flow"]
    return node | {
        "content": [inner(part) for part in node["content"]],
        "flow": flow(outside) if isinstance(outside, str) else inner(outside),
    }


@cached_by_file
def load(path: AnyPath) -> LookupFile:
    """The corrections of a file of correctionlib, JSON or gzipped JSON, read once while it stays as it is.

    Raises FileError if there is no such file, CorrectionError if it is another.
    """
    path = as_path(path)
    content = read(path)
    try:
        return LookupFile(str(path), content, correctionlib.CorrectionSet.from_string(json.dumps(content)))
    except (RuntimeError, IndexError, ValueError) as error:
        raise CorrectionError(f"{path} is not correctionlib JSON: {str(error).splitlines()[0]}") from error


def read(path: AnyPath) -> dict[str, Any]:
    """A file of correctionlib as JSON; errors as those of ``load``."""
    path = as_path(path)
    try:
        raw = path.read_bytes()
        content = json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
        version = content["schema_version"]
    except FileNotFoundError as error:
        raise FileError(f"no such correction file: {path}") from error
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise CorrectionError(f"{path} is not a correction file: expected correctionlib JSON, plain or gzip") from error
    if version != SCHEMA:
        raise CorrectionError(f"{path} has correctionlib schema {version}, expected {SCHEMA}")
    return dict(content)
