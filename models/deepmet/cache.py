"""What a reconstruction made of event files, kept in the user's cache: to run an MLPF takes longer than an epoch.

A range of entries is found again if the file, the reconstruction and the code of ptmiss are the same; other code may
make other candidates. The folder is that of ptmiss.runs.inspections. It may be removed at any time.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptmiss.estimators.reconstruction import Reconstruction
from ptmiss.events import EventFile, identifier
from ptmiss.files import digest, write_atomically
from ptmiss.runs.addresses import package_digest
from ptmiss.runs.inspections import folder

FOLDER = "candidates"

Columns = Mapping[str, NDArray]


def kept(
    source: EventFile,
    entries: tuple[int, int],
    made_by: Reconstruction,
    wanted: Sequence[str],
    make: Callable[[], Columns],
) -> Columns:
    """Columns of a range of entries of a file: those that were kept, else what ``make`` makes, which is kept.

    wanted: columns of the candidates that they are made of.
    """
    path = place(source, entries, made_by, wanted)
    if path is None:
        return make()
    if (found := load(path)) is None:
        found = make()
        save(path, found)
    return found


def place(source: EventFile, entries: tuple[int, int], made_by: Reconstruction, wanted: Sequence[str]) -> Path | None:
    """Where a range of entries of a file is kept; None if nothing is."""
    parent = folder()
    if parent is None:
        return None
    depends_on = [package_digest(), identifier(source.identity), source.tree, entries, made_by.identity, [*wanted]]
    return parent / FOLDER / f"{digest(json.dumps(depends_on, sort_keys=True).encode())[:32]}.npz"


def load(path: Path) -> Columns | None:
    """The columns in a file; None if there is no such file, or it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def save(path: Path, columns: Columns) -> None:
    """Keep columns in a file."""
    content = BytesIO()
    np.savez(content, **columns)  # type: ignore[arg-type]
    write_atomically(path, content.getvalue())
