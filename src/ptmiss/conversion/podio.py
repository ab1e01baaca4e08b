"""Collections of podio files (EDM4hep) as flat columns and offsets, whichever layout the file has.

A collection is a branch of structs. Its relations and vectors are branches beside it: ``_X_hits`` in files of podio
since 0.16, ``X#1`` and ``X_1`` before. Links, which were associations, point ``_from`` and ``_to``, before that
``_rec`` and ``_sim``, or ``#0`` and ``#1``. The tree is a TTree or an RNTuple; uproot reads both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import awkward as ak
import numpy as np
import uproot
from numpy.typing import NDArray

from ptmiss.errors import ColumnError, FileError, PtmissError
from ptmiss.events import first_line
from ptmiss.segments import Offsets, from_counts

TREE, METADATA = "events", "podio_metadata"
NEWEST = 1  # major version of podio whose layout is known
IDS = ("events___idTable/m_collectionIDs", "CollectionIDs/m_collectionIDs", "events___idTable")
NAMES = ("events___idTable/m_names", "CollectionIDs/m_names", "events_collectionNames")
ENDS = (("_{0}_from", "_{0}_to"), ("_{0}_rec", "_{0}_sim"), ("{0}#0", "{0}#1"))
"""Branches with the ends of a link, by the age of the layout."""


class Relation(NamedTuple):
    """Objects that others point to, flat: collection (n,) its number in the file; place (n,) in the event's part."""

    collection: NDArray[np.int64]
    place: NDArray[np.int64]
    offsets: Offsets


class Link(NamedTuple):
    """Weighted links between objects of two collections, flat; see :class:`Relation`."""

    weight: NDArray[np.float64]
    source: Relation
    target: Relation


@dataclass(frozen=True)
class Frames:
    """A range of events of a podio file that is open."""

    path: str
    tree: Any
    metadata: Any
    start: int = 0
    stop: int | None = None

    @cached_property
    def branches(self) -> frozenset[str]:
        """Names of collections, relations and vectors."""
        return frozenset(name.partition(".")[0] for name in self.tree.keys(recursive=False))

    @property
    def collections(self) -> list[str]:
        """Names of the collections alone."""
        return sorted(name for name in self.branches if name[0] != "_" and "#" not in name and name[:2] != "GP")

    def ranges(self, size: int, limit: int | None = None) -> Iterator[Self]:
        """The same file, up to ``size`` events at a time, and at most its first ``limit``."""
        stop = min(self.tree.num_entries, limit or self.tree.num_entries)
        for start in range(0, stop, size):
            yield type(self)(self.path, self.tree, self.metadata, start, min(start + size, stop))

    def require(self, wanted: Sequence[str]) -> None:
        """Raise ColumnError unless the file has these collections."""
        if missing := [name for name in wanted if name not in self.branches]:
            raise ColumnError(f"{self.path} has no {', '.join(missing)}; there: {', '.join(self.collections)}")

    def first_of(self, names: Sequence[str]) -> str:
        """The first of some names that is there; ColumnError if there is none."""
        if found := [name for name in names if name in self.branches]:
            return found[0]
        raise ColumnError(f"{self.path} has no {' or '.join(names)}; there: {', '.join(self.collections)}")

    def jagged(self, branch: str, member: str = "") -> ak.Array:
        """A member of a branch's structs, or a branch of numbers, (events, var)."""
        if branch not in self.branches or (member and not self.has(branch, member)):
            raise ColumnError(f"{self.path}: {branch} has no {member}" if member else f"{self.path} has no {branch}")
        place = f"{branch}.{member}" if member and self.is_ttree else branch
        try:
            found = self.tree[place].array(entry_start=self.start, entry_stop=self.stop)
        except Exception as error:  # a damaged file can fail in any way
            raise FileError(f"{self.path}: {place} cannot be read: {first_line(error)}") from error
        for name in member.split(".") if member and not self.is_ttree else ():
            found = found[name]
        return found

    @property
    def is_ttree(self) -> bool:
        """Whether the events are in a TTree, and not in an RNTuple."""
        return hasattr(self.tree, "branches")

    def columns(self, branch: str, members: Sequence[str]) -> tuple[dict[str, NDArray], Offsets]:
        """Members of a branch's structs as flat columns, and offsets (events + 1,)."""
        jagged = {member: self.jagged(branch, member) for member in members}
        counts = ak.to_numpy(ak.num(next(iter(jagged.values()))))
        return {member: ak.to_numpy(ak.flatten(column)) for member, column in jagged.items()}, from_counts(counts)

    def numbers_of(self, branch: str) -> tuple[NDArray, Offsets]:
        """A branch of numbers, flat, and its offsets (events + 1,)."""
        jagged = self.jagged(branch)
        return ak.to_numpy(ak.flatten(jagged)), from_counts(ak.to_numpy(ak.num(jagged)))

    def has(self, branch: str, member: str) -> bool:
        """Whether a branch's structs have a member."""
        if self.is_ttree:
            return f"{branch}.{member}" in self.tree
        return member.partition(".")[0] in self.tree[branch].array(entry_stop=0).fields

    def relation(self, branch: str) -> Relation:
        """The objects that a branch of relations points to."""
        columns, offsets = self.columns(branch, ("collectionID", "index"))
        return Relation(columns["collectionID"].astype(np.int64), columns["index"].astype(np.int64), offsets)

    def link(self, name: str) -> Link:
        """The links of a collection of them."""
        ends = next((both for both in ENDS if {end.format(name) for end in both} <= self.branches), None)
        if ends is None:
            raise ColumnError(f"{self.path}: {name} has no branches of its ends, {' or '.join(a for a, _ in ENDS)}")
        columns, _ = self.columns(name, ("weight",))
        source, target = (self.relation(end.format(name)) for end in ends)
        return Link(columns["weight"].astype(np.float64), source, target)

    def side(self, collection: str, name: str, number: int, kind: str) -> str:
        """The branch of a relation (``kind`` '#') or vector ('_') by its name, or by its number in old files."""
        return next(
            (one for one in (f"_{collection}_{name}", f"{collection}{kind}{number}") if one in self.branches), ""
        )

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each collection, by which relations name it."""
        ids, names = (
            next((self.metadata[place] for place in places if place in self.metadata), None) for places in (IDS, NAMES)
        )
        if ids is None or names is None:
            raise FileError(f"{self.path} has no table of its collections' numbers in {METADATA}")
        return dict(zip(names.array()[0].tolist(), map(int, ids.array()[0].tolist()), strict=True))


def open_file(path: str) -> Frames:
    """The events of a podio file; FileError if it is none, or one of a podio whose layout is not known."""
    try:
        file = uproot.open({path: None})
        there = file.keys(cycle=False)
    except Exception as error:  # a damaged file can fail in any way
        raise FileError(f"{path} is not a readable ROOT file: {first_line(error)}") from error
    metadata = next((name for name in (METADATA, "metadata") if name in there), None)
    if TREE not in there or metadata is None:
        raise FileError(f"{path} is no podio file: it has {', '.join(there) or 'nothing'}, not {TREE} and {METADATA}")
    try:
        frames = Frames(path, file[TREE], file[metadata])
        check_version(frames)
    except PtmissError:
        raise
    except Exception as error:
        raise FileError(f"{path} is not a readable podio file: {first_line(error)}") from error
    return frames


def check_version(frames: Frames) -> None:
    """Raise FileError if a later podio wrote the file."""
    found = version(frames.metadata)
    if found and found[0] > NEWEST:
        written = ".".join(map(str, found))
        raise FileError(f"{frames.path} was written by podio {written}; layouts up to {NEWEST}.x are read")


def version(metadata: Any) -> tuple[int, ...]:
    """The version of podio that wrote a file; empty if it does not say."""
    names = {name.replace(".", "/"): name for name in list(metadata.keys())}
    parts = [names.get(f"PodioBuildVersion/{part}") for part in ("major", "minor", "patch")]
    if all(parts):
        return tuple(int(metadata[part].array()[0]) for part in parts)
    return tuple(map(int, metadata["PodioBuildVersion"].array()[0])) if "PodioBuildVersion" in names else ()
