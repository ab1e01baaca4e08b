"""What a run leaves: a directory with a manifest and histograms, in formats that cannot run code.

* ``manifest.json``: how it was made: command, versions, processor, inputs, and of each dataset its cut flow, its notes,
  and what was read and skipped
* ``histograms.zip``: all histograms as uhi JSON and arrays, named ``dataset/histogram``; the manifest has its hash

Beside them is what the run needed while it went on, see ptmiss.runs.directory.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hist
import uhi.io.zip

from ptmiss.errors import FileError, OptionError
from ptmiss.files import write_atomically

MANIFEST, HISTOGRAMS = "manifest.json", "histograms.zip"

Outputs = Mapping[str, Any]


@dataclass(frozen=True)
class RunResult:
    """Results of a run.

    manifest: how it was made, with ``datasets`` by name: ``metadata``, ``files`` and what is not a histogram.
    histograms: histograms by dataset and name.
    """

    manifest: Mapping[str, Any]
    histograms: Mapping[str, Mapping[str, hist.Hist]]


def as_json(manifest: Mapping[str, Any]) -> str:
    """A manifest as people read it."""
    return json.dumps(manifest, indent=2) + "\n"


def check_writable(directory: Path, force: bool = False) -> None:
    """Raise OptionError if results are there already, unless they may be replaced."""
    if directory.exists() and not directory.is_dir():
        raise OptionError(f"--output {directory} is a file, expected a directory")
    if directory.exists() and any(directory.iterdir()) and not force:
        raise OptionError(f"--output {directory} is not empty (--force replaces it)")


def save(directory: Path, manifest: Mapping[str, Any], outputs: Mapping[str, Outputs]) -> None:
    """Write the outputs of each dataset, then the manifest with their hash, each whole or not at all."""
    datasets = {
        dataset: {**manifest["datasets"][dataset], **{k: v for k, v in out.items() if not isinstance(v, hist.Hist)}}
        for dataset, out in outputs.items()
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for dataset, out in outputs.items():
            for name, value in out.items():
                if isinstance(value, hist.Hist):
                    uhi.io.zip.write(archive, f"{dataset}/{name}", value)
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    made = as_json({**manifest, "datasets": datasets, "sha256": {HISTOGRAMS: digest}})
    write_atomically(directory / HISTOGRAMS, content.getvalue())
    write_atomically(directory / MANIFEST, made)


def load(directory: Path) -> RunResult:
    """Read the results of a run."""
    try:
        manifest = json.loads((directory / MANIFEST).read_text())
        content = (directory / HISTOGRAMS).read_bytes()
        if hashlib.sha256(content).hexdigest() != manifest["sha256"][HISTOGRAMS]:
            raise ValueError(f"{HISTOGRAMS} is not the one that {MANIFEST} is about")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [n.removesuffix(".json").rsplit("/", 1) for n in archive.namelist() if n.endswith(".json")]
            found: dict[str, dict[str, hist.Hist]] = {dataset: {} for dataset in manifest["datasets"]}
            for dataset, name in names:
                found[dataset][name] = hist.Hist(uhi.io.zip.read(archive, f"{dataset}/{name}"))
    except FileNotFoundError as error:
        raise FileError(f"{directory} is not the output of a run: it has no {Path(error.filename).name}") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FileError(f"{directory} is not a readable output of a run: {error}") from error
    return RunResult(manifest, found)


@contextmanager
def replacing_directory(directory: Path) -> Iterator[Path]:
    """A temporary directory beside ``directory`` that takes its place on success and is removed on failure."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    except OSError as error:
        raise FileError(f"cannot write {directory}: {error.strerror}") from error
    try:
        yield temporary
        temporary.chmod(0o755)
        if directory.exists():
            shutil.rmtree(directory)
        temporary.replace(directory)
    except OSError as error:
        raise FileError(f"cannot write {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
