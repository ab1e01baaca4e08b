"""Results of a run: a directory with a manifest and histograms, in formats that cannot run code.

* ``manifest.json``: command, versions, processor, inputs; and for each dataset the cut flow, the notes, and the events
  that were read and skipped
* ``histograms.zip``: all histograms as uhi JSON and arrays, named ``dataset/histogram``; the manifest has its hash

The files that the run itself needs are in the same directory, see ptmiss.runs.directory.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import hist
import uhi.io.zip
from pydantic import BaseModel, ConfigDict

from ptmiss.errors import FileError, OptionError
from ptmiss.files import AnyPath, as_path, digest, parquet, userfiles, write_atomically

MANIFEST, HISTOGRAMS = "manifest.json", "histograms.zip"
LISTING = ".written"  # files that were written to a directory, one a line: what --force may remove
FORCE = "--force replaces what ptmiss wrote there, and leaves other files"

Outputs = Mapping[str, Any]


@dataclass(frozen=True)
class RunResult:
    """Results of a run.

    Attributes:
        manifest: how it was made. ``datasets`` has, by name, ``metadata``, ``files`` and all outputs but histograms.
        histograms: the histograms by dataset and name.
    """

    manifest: Mapping[str, Any]
    histograms: Mapping[str, Mapping[str, hist.Hist]]

    def __repr__(self) -> str:
        events = {name: about.get("ledger", {}).get("events") for name, about in self.manifest["datasets"].items()}
        return "\n".join(
            f"{name}: {'' if events[name] is None else f'{events[name]} events, '}histograms {', '.join(found)}"
            for name, found in self.histograms.items()
        )


class LedgerRecord(BaseModel):
    """What a manifest says of a dataset's events."""

    model_config = ConfigDict(extra="allow")

    listed: int = 0
    events: int = 0
    sumw: float = 0.0
    skipped: list[dict[str, Any]] = []
    duplicates: dict[str, Any] | None = None


class DatasetRecord(BaseModel):
    """What a manifest says of a dataset."""

    model_config = ConfigDict(extra="allow")

    metadata: dict[str, Any] = {}
    ledger: LedgerRecord = LedgerRecord()


class ManifestRecord(BaseModel):
    """What the manifest of a run has; what is there is of these types, and never null."""

    model_config = ConfigDict(extra="allow")

    datasets: dict[str, DatasetRecord]
    sha256: dict[str, str]


def as_json(manifest: Mapping[str, Any]) -> str:
    """A manifest as indented text."""
    return json.dumps(manifest, indent=2) + "\n"


def check_writable(directory: AnyPath, force: bool = False, option: str = "--output") -> None:
    """Raise OptionError if the directory has content, unless ``force`` allows to replace what this package wrote."""
    directory = as_path(directory)
    if directory.exists() and not directory.is_dir():
        raise OptionError(f"{option} {directory} is a file, expected a directory")
    if directory.exists() and any(directory.iterdir()) and not force:
        raise OptionError(f"{option} {directory} is not empty ({FORCE})")
    if (directory / MANIFEST).exists() and Path(MANIFEST) not in own_files(directory):
        raise OptionError(f"{option} {directory} has a {MANIFEST} of something else, choose another directory")


def save(directory: Path, manifest: Mapping[str, Any], outputs: Mapping[str, Outputs]) -> RunResult:
    """Write the histograms of each dataset, then the manifest with their hash, each file whole or not at all.

    Returns both.
    """
    datasets = {
        dataset: {**manifest["datasets"][dataset], **{k: v for k, v in out.items() if not isinstance(v, hist.Hist)}}
        for dataset, out in outputs.items()
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for dataset, out in outputs.items():
            for name, value in out.items():
                if isinstance(value, hist.Hist):
                    uhi.io.zip.write(archive, f"{_quote(dataset)}/{_quote(name)}", value)
    archived = archive_content(content)
    made = as_json({**manifest, "datasets": datasets, "sha256": {HISTOGRAMS: digest(archived)}})
    write_atomically(directory / HISTOGRAMS, archived)
    write_atomically(directory / MANIFEST, made)
    histograms = {name: {k: v for k, v in out.items() if isinstance(v, hist.Hist)} for name, out in outputs.items()}
    return RunResult(json.loads(made), histograms)


def _quote(name: str) -> str:
    """A name without slashes, which part dataset and histogram."""
    return name.replace("%", "%25").replace("/", "%2F")


def _unquote(name: str) -> str:
    return name.replace("%2F", "/").replace("%25", "%")


def archive_content(archive: io.BytesIO) -> bytes:
    """The content of an archive in the order of its names and without times: the same content gives the same bits."""
    out = io.BytesIO()
    with zipfile.ZipFile(archive) as found, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name in sorted(found.namelist()):
            made.writestr(zipfile.ZipInfo(name), found.read(name), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def is_run(path: Path) -> bool:
    """Whether a path is the directory of a run, and no folder of recoil tables."""
    return path.is_dir() and ((path / HISTOGRAMS).is_file() or not parquet.is_table(path))


def load(directory: AnyPath) -> RunResult:
    """Read the results of a run; FileError if they are incomplete or damaged."""
    directory = as_path(directory)
    try:
        manifest = json.loads((directory / MANIFEST).read_text())
        userfiles.validate(ManifestRecord, manifest, f"{directory / MANIFEST}: ", FileError)
        content = (directory / HISTOGRAMS).read_bytes()
        if digest(content) != manifest["sha256"][HISTOGRAMS]:
            raise ValueError(f"{HISTOGRAMS} has another SHA-256 than {MANIFEST} states")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [n.removesuffix(".json") for n in archive.namelist() if n.endswith(".json")]
            found: dict[str, dict[str, hist.Hist]] = {dataset: {} for dataset in manifest["datasets"]}
            for place in names:
                dataset, name = map(_unquote, place.split("/"))
                found[dataset][name] = hist.Hist(uhi.io.zip.read(archive, place))
    except FileNotFoundError as error:
        raise FileError(f"{directory} is not the output of a run: it has no {Path(error.filename).name}") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FileError(f"{directory} is not a readable output of a run: {error}") from error
    return RunResult(manifest, found)


@contextmanager
def replacing_directory(directory: Path) -> Iterator[Path]:
    """A temporary directory to write to. Its files come to ``directory`` after success, and are removed after failure.

    Of what is in ``directory`` already, files that this package wrote there before are removed; all others stay. One of
    the user's whose name is needed is kept as ``<name>.orig``.
    """
    try:
        place = directory if directory.is_dir() else directory.parent
        place.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=place))
    except OSError as error:
        raise FileError(f"cannot write {directory}: {error.strerror}") from error
    try:
        yield temporary
        made = _files(temporary)
        write_atomically(temporary / LISTING, _listing(made))
        if place == directory:
            _exchange(directory, temporary, made)
        else:
            temporary.chmod(0o755)
            temporary.replace(directory)
    except OSError as error:
        raise FileError(f"cannot write {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _files(directory: Path) -> list[Path]:
    return sorted(path.relative_to(directory) for path in directory.rglob("*") if not path.is_dir())


def _listing(paths: Iterable[Path]) -> str:
    return "".join(f"{path}\n" for path in sorted(paths))


def own_files(directory: Path) -> set[Path]:
    """The files, relative to a directory, that this package wrote there."""
    listing = directory / LISTING
    return {Path(line) for line in listing.read_text().splitlines()} if listing.is_file() else set()


def make_way(directory: Path, names: Iterable[Path], ours: Container[Path]) -> None:
    """Remove files that this package wrote to a directory; give others of these names the ending ``.orig``."""
    for name in names:
        path = directory / name
        if name in ours:
            path.unlink(missing_ok=True)
        elif path.is_symlink() or path.exists():
            spare = (path.with_name(f"{path.name}.orig{number or ''}") for number in count())
            path.rename(next(other for other in spare if not other.exists()))


def claim(directory: Path, names: Iterable[str]) -> None:
    """Make way in a directory for files of these names, and note that this package writes them."""
    directory.mkdir(parents=True, exist_ok=True)
    paths, ours = {Path(name) for name in names}, own_files(directory)
    make_way(directory, paths, ours)
    write_atomically(directory / LISTING, _listing(ours | paths))


def _exchange(directory: Path, new: Path, made: Sequence[Path]) -> None:
    """Replace what this package wrote to a directory by other files; the manifest goes first and comes last."""
    ours = own_files(directory)
    make_way(directory, sorted(ours | set(made), key=lambda path: path.name != MANIFEST), ours)
    (new / LISTING).replace(directory / LISTING)
    for path in sorted(made, key=lambda path: path.name == MANIFEST):
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (new / path).replace(directory / path)
    for folder in {directory / path.parent for path in ours} - {directory}:
        with suppress(OSError):  # it has something
            folder.rmdir()
