"""``ptmiss convert``: files of open full simulation into event files, each checked by all gates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ptmiss import results, truth
from ptmiss.conversion import arrayrecord, edm4hep, export, formats, gates, output, records
from ptmiss.conversion.contents import FIELDS, Contents
from ptmiss.errors import FileError, OptionError, UnknownName
from ptmiss.events import expand, inspect
from ptmiss.files import AnyPath, as_path, check_file, replacing
from ptmiss.files.provenance import provenance

Progress = Callable[[str, int, int], None]
BEGINNINGS = {b"root": "EDM4hep", b"PAR1": "parquet"}
ARRAYRECORD = ".array_record"
WRITERS = {".parquet": formats.write_parquet, ARRAYRECORD: formats.write_arrayrecord}


def convert(
    files: Sequence[str],
    to: AnyPath,
    *,
    detector: str | None = None,
    max_events: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Convert files, see ptmiss.verbs.convert; the paths of what was written."""
    place, paths = as_path(to), expand(files)
    if place.suffix in WRITERS:
        return [export_file(paths, check_file(place, tuple(WRITERS), force), max_events)]
    if detector is not None and detector not in FIELDS:
        raise UnknownName("detector", detector, FIELDS)
    if not is_file(place):
        results.check_writable(place, force)
    kinds = {path: kind_of(path) for path in paths}
    if detector is None and (edm := [path for path, kind in kinds.items() if kind == "EDM4hep"]):
        raise OptionError(f"{edm[0]} does not say its magnetic field: name its --detector, {' or '.join(FIELDS)}")
    with open_outputs(place, paths, force) as outputs:
        made = []
        for number, path in enumerate(paths):
            about = provenance(files=[path], format=kinds[path], detector=detector, max_events=max_events)
            parts = pass_gates(path, read(path, kinds[path], detector, max_events))
            made.append(output.write(parts, outputs[path], about))
            if progress:
                progress("converted", number + 1, len(paths))
        if not is_file(place):
            (outputs[paths[0]].parent / results.MANIFEST).write_text(results.as_json({"conversions": made}))
    return [place] if is_file(place) else [place / f"{stem(path)}.root" for path in paths]


def export_file(paths: Sequence[str], place: Path, limit: int | None) -> Path:
    """Write an event file with elements in a format of the public MLPF."""
    if len(paths) > 1:
        raise OptionError(f"--output {place} is one file for {len(paths)}: convert each by itself")
    file = inspect(paths[0])
    truth.require(file.branches, file.path)
    with replacing(place) as temporary:
        if not WRITERS[place.suffix](export.tables(file, limit), temporary):
            raise FileError(f"{file.path}: no event with elements")
    return place


def read(path: str, kind: str, detector: str | None, limit: int | None) -> Iterator[Contents]:
    """The events of a file, some at a time."""
    if kind == "EDM4hep":
        return edm4hep.read(path, str(detector), limit)
    return (records if kind == "parquet" else arrayrecord).read(path, limit)


def pass_gates(path: str, parts: Iterator[Contents]) -> Iterator[Contents]:
    """The same events, once they have passed all gates."""
    first = 0
    for found in parts:
        gates.check(found, path, first)
        first += len(found)
        yield found


def kind_of(path: str) -> str:
    """The format of a file, by its first bytes, or its name; FileError for another."""
    with Path(path).open("rb") as file:
        begin = file.read(4)
    if begin in BEGINNINGS:
        return BEGINNINGS[begin]
    if ARRAYRECORD in Path(path).name:
        return "ArrayRecord"
    raise FileError(f"{path} is none of EDM4hep (ROOT), parquet and ArrayRecord (NAME{ARRAYRECORD}…)")


def is_file(place: Path) -> bool:
    """Whether an output names a file and not a directory."""
    return place.suffix == ".root"


def stem(path: str) -> str:
    """The name of a converted file without its ending."""
    return Path(path).name.removesuffix(".root").removesuffix(".parquet")


@contextmanager
def open_outputs(place: Path, paths: Sequence[str], force: bool) -> Iterator[dict[str, Path]]:
    """Where to write each file; all come to their places after success, and none after failure."""
    names = [f"{stem(path)}.root" for path in paths]
    if not is_file(place):
        if len(set(names)) < len(names):
            raise OptionError(f"two files of the same name for {place}: {', '.join(sorted(names))}")
        with results.replacing_directory(place) as temporary:
            yield {path: temporary / name for path, name in zip(paths, names, strict=True)}
        return
    if len(paths) > 1:
        raise OptionError(f"--output {place} is one file for {len(paths)}: name a directory")
    with replacing(check_file(place, (".root",), force)) as temporary:
        yield {paths[0]: temporary}
