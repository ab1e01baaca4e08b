"""Friend trees: pTmiss of every event of a file, as a ROOT tree to read beside that file.

The tree ``Friends`` has the entries of the file's events, in their order: ``run luminosityBlock event``;
``ptmiss_selected``, whether the selection found a boson or a single lepton; of each estimator ``ptmiss_<estimator>_pt``
(GeV) and ``ptmiss_<estimator>_phi`` (rad), float32, NaN where it has no answer, and of its systematics
``ptmiss_<estimator>_pt_jes_up`` and so on. What a branch's name may not have, as the dot of ``stored.PuppiMET``, is an
underscore. ``manifest.json`` beside the trees says how they were made, and under ``friends`` which is whose.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import uproot
from numpy.typing import NDArray

from ptmiss import results
from ptmiss.errors import OptionError
from ptmiss.files import AnyPath, as_path, remove_abandoned, write_atomically
from ptmiss.progress import log
from ptmiss.runs.inputs import InputFile
from ptmiss.runs.runner import Run

TREE = "Friends"
IDENTITY = ("run", "luminosityBlock", "event")
SELECTED = "ptmiss_selected"


def check_startable(directory: AnyPath, force: bool) -> Path:
    """The directory of friend trees, if it may be written; OptionError else."""
    results.check_writable(directory, force, "--friend")
    return as_path(directory)


def check(estimators: Iterable[str], sources: Sequence[InputFile]) -> None:
    """Raise OptionError if two files would have one friend, or two estimators one branch."""
    for what, names in (
        ("files", places([source.file.path for source in sources])),
        ("estimators", [(name, branch_name(name)) for name in estimators]),
    ):
        if twice := [name for name, count in Counter(made for _, made in names).items() if count > 1]:
            same = ", ".join(given for given, made in names if made == twice[0])
            raise OptionError(f"--friend: {what} {same} would both be {twice[0]}")


def places(paths: Sequence[str]) -> list[tuple[str, str]]:
    """Each file, and the path of its friend: that below the folder which all files share, as ``.root``."""
    parts = [PurePosixPath(path if "://" in path else Path(path).absolute()).parts for path in paths]
    folders = [each[:-1] for each in parts]
    levels = enumerate(zip(*folders, strict=False))
    shared = next((depth for depth, level in levels if len(set(level)) > 1), min(map(len, folders)))
    own = [PurePosixPath(*(part for part in each[shared:] if part not in ("/", ".."))) for each in parts]
    return [(path, str(place.with_suffix(".root"))) for path, place in zip(paths, own, strict=True)]


def branch_name(column: str) -> str:
    """The name of a branch for a column of the recoil table, or the part of it that an estimator's name is."""
    return re.sub(r"\W", "_", re.sub("^met_", "ptmiss_", column))


def branches(rows: pa.Table) -> dict[str, NDArray]:
    """Branches (events,) of rows of a recoil table."""
    found = np.isfinite(rows["boson_pt"].to_numpy()) | np.isfinite(rows["lepton_pt"].to_numpy())
    mets = {branch_name(name): rows[name].to_numpy() for name in rows.column_names if name.startswith("met_")}
    return {name: rows[name].to_numpy() for name in IDENTITY} | {SELECTED: found} | mets


def write(run: Run, directory: Path, made: Mapping[str, Any]) -> None:
    """Write the friends of the files of a finished run, and how they were made, all or none.

    A file that is empty, or of which something was skipped, has none.
    """
    paths = [file["path"] for dataset in made["datasets"].values() for file in dataset["files"]]
    skipped = {entry.path: entry.reason for entry in run.directory.ledger.skipped}
    whole = {path: place for path, place in places(paths) if path not in skipped}
    for path, reason in skipped.items():
        log.warning("no friend of %s: %s", path, reason)
    remove_abandoned(directory)
    with results.replacing_directory(directory) as temporary:
        for path, place in whole.items():
            (temporary / place).parent.mkdir(parents=True, exist_ok=True)
            write_tree(temporary / place, (branches(rows) for rows in rows_of(run, path)))
        manifest = {**made, "tree": TREE, "friends": whole}
        write_atomically(temporary / results.MANIFEST, results.as_json(manifest))


def rows_of(run: Run, path: str) -> Iterator[pa.Table]:
    """Rows of the chunks of a file, in the order of its entries."""
    return (run.directory.store.read(part.address).out["rows"] for part in run.stored if part.path == path)


def write_tree(path: Path, blocks: Iterable[Mapping[str, NDArray]]) -> None:
    """Write blocks of branches, all (events,), as one tree."""
    with uproot.recreate(path, compression=uproot.ZSTD(5)) as file:
        tree = None
        for block in blocks:
            tree = tree or file.mktree(TREE, {name: values.dtype for name, values in block.items()})
            tree.extend(dict(block))
