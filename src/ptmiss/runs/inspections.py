"""What was found in local event files, kept between runs: a file is opened again when it is another, or ptmiss is.

One SQLite file in the user's cache, ``$XDG_CACHE_HOME/ptmiss`` or ``~/.cache/ptmiss``, or in the folder that
``$PTMISS_CACHE`` names; if that is empty nothing is kept. A file is the same while its size, times of content and of
status, and inode are. Without the cache, or with a damaged one, every file is opened.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ptmiss.events import EventFile, Generated
from ptmiss.files import digest
from ptmiss.runs.addresses import package_digest

NAME = "inspections.sqlite"
PATIENCE = 2.0  # s for another process that writes
TABLES = """
create table if not exists files (path text, tree text, stamp text, content text, primary key (path, tree));
create table if not exists branches (digest text primary key, names text);
"""

Place = tuple[str, str]  # path and tree


def folder() -> Path | None:
    """The folder of the cache; None to keep nothing."""
    chosen = os.environ.get("PTMISS_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ptmiss"


def load(wanted: Iterable[Place]) -> dict[Place, EventFile]:
    """Those of the files that are known and did not change; files with the same branches share their names."""
    places: dict[Place, list[str]] = {}
    for path, tree in wanted:
        if "://" not in path:
            places.setdefault((_key(path), tree), []).append(path)
    found: dict[Place, EventFile] = {}
    with suppress(sqlite3.Error, OSError, ValueError, KeyError, TypeError), _database() as database:
        names = {key: frozenset(json.loads(text)) for key, text in database.execute("select * from branches")}
        for key, tree, known, content in database.execute("select path, tree, stamp, content from files"):
            given = places.get((key, tree), ())
            for path in given if given and known == stamp(key) else ():
                found[path, tree] = _file(json.loads(content) | {"path": path}, names)
    return found


def save(files: Sequence[EventFile], stamps: Mapping[str, str]) -> None:
    """Keep what was found in files; stamps: of each local path, taken before the file was opened."""
    local = [file for file in files if file.path in stamps]
    branches = {file.branches: digest(json.dumps(sorted(file.branches)).encode()) for file in local}
    rows = [(_key(f.path), f.tree, stamps[f.path], json.dumps(_content(f, branches[f.branches]))) for f in local]
    with suppress(sqlite3.Error, OSError), _database() as database, database:
        lists = [(key, json.dumps(sorted(names))) for names, key in branches.items()]
        database.executemany("insert or ignore into branches values (?, ?)", lists)
        database.executemany("insert or replace into files values (?, ?, ?, ?)", rows)


def stamp(path: str) -> str:
    """What tells a local file from another under its name, and from itself after a change; empty without a file."""
    try:
        status = Path(path).stat()
    except OSError:
        return ""
    each = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    return json.dumps([package_digest(), *each])


def _key(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100  (Path.absolute keeps "..")


@contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    place = folder()
    if place is None:
        raise sqlite3.Error("no cache is wanted")
    place.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(place / NAME, timeout=PATIENCE)) as database:
        database.executescript(TABLES)
        yield database


def _content(file: EventFile, branches: str) -> dict[str, Any]:
    generated = None if file.generated is None else asdict(file.generated)
    return vars(file) | {"identity": file.identity.hex(), "branches": branches, "generated": generated}


def _file(content: dict[str, Any], branches: Mapping[str, frozenset[str]]) -> EventFile:
    generated = content["generated"]
    if generated is not None:
        theory = {name: tuple(values) for name, values in generated["theory"].items()}
        generated = Generated(**generated | {"theory": theory})
    identity = bytes.fromhex(content["identity"])
    return EventFile(
        **content | {"identity": identity, "branches": branches[content["branches"]], "generated": generated}
    )
