"""Event files: their content, checked before any event is read, and the schema with which coffea reads them."""

from __future__ import annotations

import glob
import io
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import awkward as ak
import fsspec.core
import numpy as np
import pyarrow.parquet
import uproot
from coffea.nanoevents import NanoEventsFactory, PFNanoAODSchema
from numpy.typing import NDArray

from ptmiss.errors import FileError
from ptmiss.files import digest

TREE = "Events"
SUMS = ("Runs", "LuminosityBlocks")  # trees with sums over all generated events, which skims keep
SUMW, COUNT = (
    ("genEventSumw", "genEventSumw_"),
    ("genEventCount", "genEventCount_"),
)  # as in NanoAOD, and in its version 6
SUMW2 = ("genEventSumw2", "genEventSumw2_")
THEORY = ("LHEScaleSumw", "LHEPdfSumw", "PSSumw")
BEAMS = "Beams"
"""Collection with px of both beams and the angle at which they cross: events of an electron collider have it."""

GENERATOR = ("genWeight", "Generator_", "GenPart_", "nGenPart", "GenMET_", "LHEWeight_")
STATED = (
    "size",
    "mtime",
    "ETag",
    "Content-MD5",
    "Digest",
    "Last-Modified",
    "LastModified",
    "last_modified",
    "checksum",
)
"""What file systems say of a file, by any of their names for it."""

PLAIN = ("PFCands", "PFCand", "PV")
"""Collections that are read as plain records."""

MASSIVE = ("Electron", "Muon", "Tau", "Jet", "FatJet")
"""Collections that are plain too where a skim has no masses of them."""


class EventSchema(PFNanoAODSchema):
    """Coffea's PFNano schema, without warnings about missing cross references, and with some plain records.

    A plain record has no behaviour, and so requires no column. With a behaviour, files of NanoAOD v15 would fail, which
    store no charge of the candidates, and so would skims without the position of the vertex.
    """

    warn_missing_crossrefs = False
    mixins = {name: kind for name, kind in PFNanoAODSchema.mixins.items() if name not in PLAIN}  # noqa: RUF012

    def __init__(self, base_form: Mapping[str, Any], *args: Any, **kwargs: Any):
        base_form = with_counters(base_form)
        massless = {name for name in MASSIVE if f"{name}_mass" not in base_form["fields"]}
        self.mixins = {name: kind for name, kind in type(self).mixins.items() if name not in massless}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Branch Photon_\w+ already exists", RuntimeWarning)
            super().__init__(base_form, *args, **kwargs)


def with_counters(base_form: Mapping[str, Any]) -> dict[str, Any]:
    """A form with a counter for each collection, ``nJet``, where uproot wrote one for each column, ``nJet_pt``."""
    forms = dict(zip(base_form["fields"], base_form["contents"], strict=True))
    for name in base_form["fields"]:
        collection, _, column = name[1:].partition("_")
        if name.startswith("n") and column and f"{collection}_{column}" in forms:
            forms.setdefault(f"n{collection}", forms[name])
    return {**base_form, "fields": list(forms), "contents": list(forms.values())}


@dataclass(frozen=True)
class Generated:
    """The generated events of which a file has a part; events: their number, None if the file states only weights.

    sumw2: the sum of squared weights, None if the file has none. theory: what scales, PDFs and the shower make of the
    sum of weights, relative to it, by the column's name: ``LHEScaleSumw``, ``LHEPdfSumw``, ``PSSumw``. sections: a hash
    of the file's luminosity sections where it has fewer events than this; empty if it does not list them.
    """

    events: int | None
    sumw: float
    sumw2: float | None = field(default=None, compare=False)
    theory: Mapping[str, tuple[float, ...]] = field(default_factory=dict, compare=False)
    sections: str = field(default="", compare=False)


@dataclass(frozen=True)
class EventFile:
    """One input file that was opened, but none of whose events was read yet.

    size: bytes of all its events, uncompressed; 0 if the file does not say. generated: from its tree ``Runs``.
    recorded: whether these are runs of a detector.
    """

    path: str
    tree: str
    format: str
    entries: int
    identity: bytes
    branches: frozenset[str]
    size: int = 0
    generated: Generated | None = None
    recorded: bool = False

    @property
    def kind(self) -> str | None:
        """``mc`` for a file with a generator's branches, ``data`` with runs of a detector; None if neither is there."""
        if self.generated or any(name.startswith(GENERATOR) for name in self.branches):
            return "mc"
        return "data" if self.recorded else None

    def events(self, start: int = 0, stop: int | None = None) -> Any:
        """Coffea's NanoEvents of a range of entries. Columns are virtual: each is read when it is first used."""
        options = {"schemaclass": EventSchema, "entry_start": start, "entry_stop": stop, "mode": "virtual"}
        if self.format == "parquet":
            return NanoEventsFactory.from_parquet(self.path, **options).events()
        return NanoEventsFactory.from_root({self.path: self.tree}, **options).events()

    def ranges(self, size: int, limit: int | None = None) -> Iterator[tuple[int, int]]:
        """Ranges of similar length, at most ``size`` entries each: of the file, or of its first ``limit`` entries."""
        entries = min(self.entries, limit or self.entries)
        pieces = -(-entries // size)
        return ((piece * entries // pieces, (piece + 1) * entries // pieces) for piece in range(pieces))

    def chunks(self, size: int, limit: int | None = None) -> Iterator[Any]:
        """The events of each of these ranges."""
        return (self.events(start, stop) for start, stop in self.ranges(size, limit))


def read_chunks(
    files: Sequence[EventFile],
    size: int,
    limit: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    what: str = "read",
) -> Iterator[Any]:
    """The events of files one after the other, up to ``size`` at a time and ``limit`` from each.

    progress: called after the work on each chunk with ``what``, the events done, and all events.
    """
    total, done = sum(min(file.entries, limit or file.entries) for file in files), 0
    for events in chain.from_iterable(file.chunks(size, limit) for file in files):
        yield events
        done += len(events)
        if progress:
            progress(what, done, total)


def expand(patterns: Iterable[str], strict: bool = True) -> list[str]:
    """Paths of local files, globs and URLs, in the given order; the files of a glob are sorted.

    FileError if a glob matches nothing, and, with ``strict``, if there is no file at a path.
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
        raise FileError(_missing(pattern))
    return [pattern]


def _missing(path: str) -> str:
    """There is no such file; after a colon some write the name of a tree."""
    file, colon, tree = path.rpartition(":")
    hint = f' (a fileset names a tree: {{"files": {{"{file}": "{tree}"}}}})' if colon and Path(file).is_file() else ""
    return f"no such file: {path}{hint}"


def inspect(path: str, tree: str = TREE) -> EventFile:
    """Entries and branches of a ROOT (TTree, RNTuple) or parquet file; FileError if it is not readable."""
    try:
        return _inspect_parquet(path) if path.endswith(".parquet") else _inspect_root(path, tree)
    except FileNotFoundError as error:
        raise FileError(_missing(path)) from error
    except ImportError as error:
        raise FileError(f"cannot open {path}: {first_line(error)}") from error
    except uproot.KeyInFileError as error:
        raise FileError(f"{path} has no tree {tree!r}; there: {', '.join(_trees(path)) or 'none'}") from error
    except Exception as error:  # a damaged file can fail in any way
        raise FileError(f"{path} is not a readable {_kind(path)} file: {first_line(error)}") from error


def _inspect_root(path: str, tree: str) -> EventFile:
    with uproot.open({path: None}) as file:
        events = file[tree]
        if not hasattr(events, "num_entries"):
            raise uproot.KeyInFileError(tree, because="it is no tree", file_path=path)
        if "://" not in path and (size := Path(path).stat().st_size) < file.file.fEND:
            raise EOFError(f"it ends at byte {size} of {file.file.fEND} (truncated?)")
        branches = frozenset(events.keys(recursive=False))
        size = getattr(events, "uncompressed_bytes", 0)  # an RNTuple does not say
        about = _of_runs(file, tree.rpartition("/")[0], events.num_entries)
        identity = file.file.uuid.bytes
        if not any(identity):  # written without one
            identity = _identity(path, events.num_entries, file.file.fEND)
        return EventFile(path, tree, "root", events.num_entries, identity, branches, size, *about)


def _of_runs(file: Any, folder: str, entries: int) -> tuple[Generated | None, bool]:
    """What was generated, and whether the runs are those of a detector: of the trees of sums beside the events."""
    trees = [file[place] for name in SUMS if (place := f"{folder}/{name}".lstrip("/")) in file]
    for tree in trees:
        there = tree.keys(recursive=False)
        weights, counts = (next((f for f in spelled if f in there), None) for spelled in (SUMW, COUNT))
        if weights:
            sums = {name: _column(tree, name).sum() for name in (weights, counts) if name}
            squares = next((float(_column(tree, name).sum()) for name in SUMW2 if name in there), None)
            count = int(sums[counts]) if counts else None
            sections = _sections(trees[-1]) if count and count > entries else ""
            return Generated(count, float(sums[weights]), squares, _theory(tree, weights), sections), False
    runs = [_column(tree, "run") for tree in trees if "run" in tree.keys(recursive=False)]
    return None, any(len(numbers) > 0 and bool((numbers > 1).all()) for numbers in runs)


def _sections(tree: Any) -> str:
    """A hash of the luminosity sections that a tree lists; empty if it lists none."""
    names = ("run", "luminosityBlock")
    if not {*names} <= {*tree.keys(recursive=False)}:
        return ""
    return digest(b"".join(_column(tree, name).astype(np.int64).tobytes() for name in names))


def _theory(tree: Any, weights: str) -> dict[str, tuple[float, ...]]:
    """Sums of theory weights of all rows, each stored relative to the row's sum of weights; none where rows differ."""
    share = _column(tree, weights) / (_column(tree, weights).sum() or 1)
    found: dict[str, tuple[float, ...]] = {}
    for name in THEORY:
        spelled = next((each for each in (name, f"{name}_") if each in tree.keys(recursive=False)), None)
        rows = ak.to_list(tree[spelled].array()) if spelled else []
        if rows and rows[0] and {len(row) for row in rows} == {len(rows[0])}:
            found[name] = tuple(map(float, share @ np.asarray(rows, np.float64)))
    return found


def _column(tree: Any, name: str) -> NDArray[Any]:
    return np.asarray(tree[name].array())


def _inspect_parquet(path: str) -> EventFile:
    files, place = fsspec.core.url_to_fs(path)
    with files.open(place) as opened:
        file = pyarrow.parquet.ParquetFile(opened)
        metadata, branches = file.metadata, frozenset(file.schema_arrow.names)
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    footer, info = io.BytesIO(), files.info(place)
    metadata.write_metadata_file(footer)
    identity = _identity(path, {name: str(info[name]) for name in STATED if name in info}, footer.getvalue())
    return EventFile(path, TREE, "parquet", metadata.num_rows, identity, branches, size)


def _identity(*known: object) -> bytes:
    """16 bytes of what is known of a file without a UUID: of parquet its footer, and what its place says of it.

    The footer has sizes, positions and ranges of all columns. Other content with the same footer and size, at a place
    that names no time and no checksum, cannot be told from the old.
    """
    return bytes.fromhex(digest(repr(known).encode()))[:16]


def _trees(path: str) -> list[str]:
    with uproot.open({path: None}) as file:
        names = file.classnames(cycle=False).items()
        return sorted(name for name, kind in names if kind in ("TTree", "ROOT::RNTuple"))


def _kind(path: str) -> str:
    return "parquet" if path.endswith(".parquet") else "ROOT"


def first_line(error: BaseException) -> str:
    """What went wrong with a file, in a line."""
    if "expected Chunk of length" in str(error):  # uproot read past the end
        return "it ends before its contents do (truncated?)"
    if "attempting to get bytes" in str(error):
        return "its server gives no ranges of bytes; download it first"
    if "Protocol not known" in str(error):
        return f"{error} (a plug-in of fsspec for it has to be installed; https:// may do)"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(":") if lines else type(error).__name__


def event_weight(events: Any) -> NDArray[np.float64]:
    """(events,) generator weight; 1 in data, 0 where it is no finite number (see :func:`without_weight`)."""
    weight = _generator_weight(events)
    return np.where(np.isfinite(weight), weight, 0.0)


def without_weight(events: Any) -> int:
    """How many events have a generator weight that is no finite number."""
    return int(np.count_nonzero(~np.isfinite(_generator_weight(events))))


def _generator_weight(events: Any) -> NDArray[np.float64]:
    if "genWeight" in events.fields:
        return ak.to_numpy(events.genWeight).astype(np.float64)
    return np.ones(len(events))


def identifier(identity: bytes) -> str:
    """A file's identity as text."""
    return str(uuid.UUID(bytes=identity))
