"""Files of parquet that are one table: found, checked, and read some rows at a time, in the memory of a row group.

A table is a file, a folder with files in it at any depth, a glob, or several of these; files of a folder are in the
order of their names. A folder ``name=value`` on the way to a file is a column of it. What is hidden, begins with ``_``
or lies in ``….parts`` is left out. Files of one skim name the ``manifest.json`` beside them, which says for all of them
how they were made.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray

from ptmiss.errors import ColumnError, FileError
from ptmiss.files import AnyPath, as_path, digest

METADATA = "ptmiss"  # key of a file's metadata under which it says how it was made
PART, FILES, MANIFEST = "part", "files", "manifest"  # of a file: its number, of how many, the manifest's SHA-256
ENDING = ".parquet"


@dataclass(frozen=True)
class Part:
    """One file of a table.

    columns: also those that its folders' names are, which are in ``keys``. provenance: how its rows, and those of other
    files of the same skim, were made. number: of the file among these, of ``files``; None where it does not say.
    """

    path: Path
    rows: int
    columns: Sequence[str]
    provenance: Mapping[str, Any]
    keys: Mapping[str, str]
    number: int | None = None
    files: int | None = None


def is_table(path: Path) -> bool:
    """Whether a path looks like a table: a file of parquet, or a folder that has some."""
    return path.suffix == ENDING if path.is_file() else path.is_dir() and next(_inside(path), None) is not None


def find(source: AnyPath | Iterable[AnyPath]) -> list[Part]:
    """The files of a table, in their order; FileError where there is none, or one is not readable."""
    given = [source] if isinstance(source, str | Path) or not isinstance(source, Iterable) else list(source)
    if not given:
        raise FileError("expected at least one recoil table")
    return [_part(path, top) for one in given for path, top in _paths(as_path(one))]


def _paths(path: Path) -> Iterator[tuple[Path, Path]]:
    """Files, and the folder that each was found in."""
    if glob.has_magic(str(path)) and not path.exists():
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  (patterns may be absolute)
        if not found:
            raise FileError(f"no recoil table matches {path}")
        for one in map(Path, found):
            yield from _paths(one)
    elif path.is_dir():
        inside = sorted(_inside(path))
        if not inside:
            raise FileError(f"{path} is a directory without recoil tables, the {ENDING} files that ptmiss skim writes")
        yield from ((one, path) for one in inside)
    else:
        yield path, path.parent


def _inside(folder: Path) -> Iterator[Path]:
    for path in folder.rglob(f"*{ENDING}"):
        names = path.relative_to(folder).parts
        if path.is_file() and not any(n.startswith((".", "_")) or n.endswith(".parts") for n in names):
            yield path


def _part(path: Path, top: Path) -> Part:
    with _readable(path):
        metadata = pa.parquet.read_metadata(path)
    keys = dict(name.split("=", 1) for name in path.relative_to(top).parts[:-1] if "=" in name)
    schema = metadata.schema.to_arrow_schema()
    made, number, files = _provenance(path, (metadata.metadata or {}).get(METADATA.encode(), b"{}"))
    own = {name: value for name, value in keys.items() if name not in schema.names}
    return Part(path, metadata.num_rows, [*schema.names, *own], made, own, number, files)


def _provenance(path: Path, text: bytes) -> tuple[Mapping[str, Any], int | None, int | None]:
    """How a file was made, its number, and of how many, from what it says."""
    try:
        record = json.loads(text)
    except ValueError as error:
        raise FileError(f"{path} does not say how it was made: {METADATA!r} in it is not JSON") from error
    number = record.pop(PART, None)
    if number is None or MANIFEST not in record:
        return record, number, None
    return _manifest(path.parent / f"{MANIFEST}.json", record[MANIFEST]), number, record[FILES]


@lru_cache(maxsize=16)
def _manifest(path: Path, stated: str) -> Mapping[str, Any]:
    """A manifest of this SHA-256; FileError if it is missing or another."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path.parent} has tables of one skim without its {path.name}: {error.strerror}") from error
    if digest(content) != stated:
        raise FileError(f"{path} is not that of the tables beside it: they were written with another")
    return dict(json.loads(content))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileError(f"no such recoil table: {path}") from error
    except (OSError, pa.ArrowInvalid) as error:
        reason = str(error).splitlines()[0]
        reason = "it is of another format" if "magic bytes" in reason else reason
        raise FileError(f"{path} is not a readable parquet file: {reason}") from error


def require_same_columns(parts: Sequence[Part]) -> None:
    """Raise ColumnError if a file has other columns than the first; their order may be another."""
    first = parts[0]
    for part in parts[1:]:
        for one, other in ((part, first), (first, part)):
            if more := [name for name in one.columns if name not in other.columns]:
                raise ColumnError(f"{one.path} has columns that {other.path} has not: {', '.join(more)}")


def batches(
    parts: Sequence[Part], columns: Sequence[str], size: int, only: tuple[str, str] | None = None
) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
    """Row numbers in the whole table, (rows,), and rows, about ``size`` at a time.

    only: a column and the value that it has in the rows that are wanted.
    """
    kept: list[tuple[NDArray[np.int64], pa.Table]] = []
    for numbers, data in _pieces(parts, columns, size, only):
        kept.append((numbers, data))
        if sum(len(rows) for rows, _ in kept) > size // 2:
            yield _join(kept)
            kept = []
    if kept:
        yield _join(kept)


def _join(pieces: Sequence[tuple[NDArray[np.int64], pa.Table]]) -> tuple[NDArray[np.int64], pa.Table]:
    numbers, data = zip(*pieces, strict=True)
    return np.concatenate(numbers), pa.concat_tables(data).combine_chunks()


def _pieces(
    parts: Sequence[Part], columns: Sequence[str], size: int, only: tuple[str, str] | None
) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
    first = 0
    for part in parts:
        with _readable(part.path), pa.parquet.ParquetFile(part.path, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                begins, first = first, first + file.metadata.row_group(group).num_rows
                if only is None or _may_have(file.metadata.row_group(group), *only):
                    yield from _of_group(file, group, begins, part, columns, size, only)


def _may_have(group: Any, column: str, value: str) -> bool:
    """Whether rows of a group may have a value, by what the file says of its smallest and largest."""
    for i in range(group.num_columns):
        chunk = group.column(i)
        if chunk.path_in_schema == column and chunk.statistics and chunk.statistics.has_min_max:
            return bool(chunk.statistics.min <= value <= chunk.statistics.max)
    return True


def _of_group(
    file: Any, group: int, first: int, part: Part, columns: Sequence[str], size: int, only: tuple[str, str] | None
) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
    wanted = list(columns) if only is None or only[0] in columns else [*columns, only[0]]
    stored = [name for name in wanted if name not in part.keys]
    for batch in file.iter_batches(size, [group], stored):
        data = pa.Table.from_batches([batch])
        for name in (name for name in wanted if name in part.keys):
            data = data.append_column(name, pa.repeat(part.keys[name], len(data)))
        numbers = np.arange(first, first + len(data))
        first += len(data)
        if only is not None:
            mask = pa.compute.equal(data[only[0]].cast(pa.string()), only[1])
            data, numbers = data.filter(mask), numbers[mask.to_numpy()]
        yield numbers, data.select(list(columns))


def empty(part: Part, columns: Sequence[str]) -> pa.Table:
    """No rows, in the columns and types of a file."""
    schema = pa.parquet.read_schema(part.path)
    return pa.table({c: pa.array([], pa.string() if c in part.keys else schema.field(c).type) for c in columns})
