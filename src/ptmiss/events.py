"""Event files: what is in them, checked before any event is read, and the schema under which coffea reads them."""

from __future__ import annotations

import glob
import hashlib
import uuid
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet
import uproot
from coffea.nanoevents import NanoEventsFactory, PFNanoAODSchema
from numpy.typing import NDArray

from ptmiss.errors import FileError

TREE = "Events"


PLAIN = ("PFCands", "PFCand", "PV")


class EventSchema(PFNanoAODSchema):
    """Coffea's PFNano schema, quiet about what a file does not have, with some collections as plain records.

    A plain record has no behaviour and so asks for no column that an analysis may not need: v15 files store no charge
    of the candidates, skims no position of the vertex.
    """

    warn_missing_crossrefs = False
    mixins = {name: kind for name, kind in PFNanoAODSchema.mixins.items() if name not in PLAIN}  # noqa: RUF012

    def __init__(self, base_form: Mapping[str, Any], *args: Any, **kwargs: Any):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Branch Photon_\w+ already exists", RuntimeWarning)
            super().__init__(base_form, *args, **kwargs)


@dataclass(frozen=True)
class EventFile:
    """One input file, looked into but not yet read. size: bytes of all its events, uncompressed; 0 if not known."""

    path: str
    tree: str
    format: str
    entries: int
    identity: bytes
    branches: frozenset[str]
    size: int = 0

    def events(self, start: int = 0, stop: int | None = None) -> Any:
        """The events in a range of entries as coffea NanoEvents with virtual columns: read when first touched."""
        options = {"schemaclass": EventSchema, "entry_start": start, "entry_stop": stop, "mode": "virtual"}
        if self.format == "parquet":
            return NanoEventsFactory.from_parquet(self.path, **options).events()
        return NanoEventsFactory.from_root({self.path: self.tree}, **options).events()


def expand(patterns: Iterable[str], strict: bool = True) -> list[str]:
    """Paths of local files, globs and URLs, in the order given; a glob's files sorted.

    A glob that matches nothing is an error; so is a path where there is no file, if ``strict``.
    """
    return [path for pattern in patterns for path in _matches(pattern, strict)]


def _matches(pattern: str, strict: bool) -> list[str]:
    if "://" in pattern:
        return [pattern]
    if glob.has_magic(pattern) and not Path(pattern).exists():
        found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  (patterns may be absolute)
        if not found:
            raise FileError(f"no file matches {pattern}")
        return found
    if strict and not Path(pattern).is_file():
        raise FileError(f"no such file: {pattern}")
    return [pattern]


def inspect(path: str, tree: str = TREE) -> EventFile:
    """Entries and branches of a ROOT (TTree, RNTuple) or parquet file; FileError says what is wrong with it."""
    try:
        return _inspect_parquet(path) if path.endswith(".parquet") else _inspect_root(path, tree)
    except FileNotFoundError as error:
        raise FileError(f"no such file: {path}") from error
    except ImportError as error:
        raise FileError(f"cannot open {path}: {_first_line(error)}") from error
    except uproot.KeyInFileError as error:
        raise FileError(f"{path} has no tree {tree!r}; there: {', '.join(_names(path)) or 'nothing'}") from error
    except Exception as error:  # a damaged file can fail in any way
        raise FileError(f"{path} is not a readable {_kind(path)} file: {_first_line(error)}") from error


def _inspect_root(path: str, tree: str) -> EventFile:
    with uproot.open(path) as file:
        events = file[tree]
        if "://" not in path and (size := Path(path).stat().st_size) < file.file.fEND:
            raise EOFError(f"it ends at byte {size} of {file.file.fEND} (truncated?)")
        branches = frozenset(events.keys(recursive=False))
        size = getattr(events, "uncompressed_bytes", 0)  # an RNTuple does not say
        return EventFile(path, tree, "root", events.num_entries, file.file.uuid.bytes, branches, size)


def _inspect_parquet(path: str) -> EventFile:
    file = pyarrow.parquet.ParquetFile(path)
    identity = hashlib.md5(path.encode(), usedforsecurity=False).digest()
    size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
    return EventFile(path, TREE, "parquet", file.metadata.num_rows, identity, frozenset(file.schema_arrow.names), size)


def _names(path: str) -> list[str]:
    with uproot.open(path) as file:
        return sorted(file.keys(recursive=False, cycle=False))


def _kind(path: str) -> str:
    return "parquet" if path.endswith(".parquet") else "ROOT"


def _first_line(error: BaseException) -> str:
    if "expected Chunk of length" in str(error):  # uproot read past the end
        return "it ends before its contents do (truncated?)"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(":") if lines else type(error).__name__


def event_weight(events: Any) -> NDArray[np.float64]:
    """Generator weight of each event; 1 in data."""
    if "genWeight" in events.fields:
        return ak.to_numpy(events.genWeight).astype(np.float64)
    return np.ones(len(events))


def identifier(identity: bytes) -> str:
    """A file's identity as text."""
    return str(uuid.UUID(bytes=identity))
