"""The directory of a run while it goes on, so that it can be stopped at any moment and gone on with.

* ``plan.json``: the chunks and their addresses, and what these were made of
* ``chunks/``: the finished ones, see ptmiss.runs.chunks; they are kept, so that a run can be completed or extended
* ``ledger.json``: what was skipped and why, and which chunks were cut in halves
* ``log.jsonl``: what happened, one JSON object a line, with its time
* ``.lock``: held by the process that is at work

``manifest.json`` and ``histograms.zip`` appear at the end, see ptmiss.results.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ptmiss.errors import FileError, OptionError
from ptmiss.files import holder, locked, write_atomically
from ptmiss.normalisation import Skipped
from ptmiss.runs import ledger as ledgers
from ptmiss.runs.addresses import Recipe
from ptmiss.runs.chunks import ChunkStore

PLAN, CHUNKS, LEDGER, LOG, LOCK = "plan.json", "chunks", "ledger.json", "log.jsonl", ".lock"


@dataclass(frozen=True)
class Entry:
    """A chunk of a plan."""

    dataset: str
    path: str
    start: int
    stop: int
    address: str

    @property
    def events(self) -> int:
        """Number of entries."""
        return self.stop - self.start


@dataclass
class Plan:
    """What a run consists of.

    recipe: what the chunks' addresses were made of (see ptmiss.runs.addresses); chunksize: events at a time, at most;
    memory: the budget in bytes that it was chosen for.
    """

    recipe: Recipe
    chunksize: int
    memory: int | None = None
    chunks: list[Entry] = field(default_factory=list)


class RunDirectory:
    """A directory that holds a run; it is made, and held for this process, when the run begins.

    resume: keep finished chunks that are there, and use them.
    """

    def __init__(self, path: Path, resume: bool = False):
        self.path, self.resume = path, resume
        self.store = ChunkStore(path / CHUNKS)
        self.ledger = ledgers.Ledger(path / LEDGER)
        self._held = ExitStack()

    @property
    def plan(self) -> Plan | None:
        """The plan of the run that was begun here, if one was."""
        try:
            content = json.loads((self.path / PLAN).read_text())
            return Plan(**content | {"chunks": [Entry(*entry) for entry in content["chunks"]]})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise FileError(f"{self.path / PLAN} is not a readable plan: {error}") from error

    @property
    def before(self) -> Plan | None:
        """The plan of the run that is resumed, if one is."""
        return self.plan if self.resume else None

    def begin(self, plan: Plan) -> None:
        """Hold the directory and write the plan; OptionError if another process is at work in it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot write {self.path}: {error.strerror}") from error
        self._held.enter_context(locked(self.path / LOCK, f"--output {self.path}"))
        if self.resume:
            self.ledger.halved = ledgers.read(self.ledger.path).halved
        else:
            self.store.keep(set())
        content = asdict(plan) | {"chunks": [list(asdict(entry).values()) for entry in plan.chunks]}
        write_atomically(self.path / PLAN, json.dumps(content, indent=1) + "\n")
        self.ledger.save()

    def close(self) -> None:
        """Let go of the directory."""
        self._held.close()

    def log(self, event: str, **details: Any) -> None:
        """Add a line to the log."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **details})
        try:
            with (self.path / LOG).open("a") as file:
                file.write(line + "\n")
        except OSError as error:
            raise FileError(f"cannot write {self.path / LOG}: {error.strerror}") from error

    def remove(self) -> None:
        """Remove all that a run needs while it goes on."""
        shutil.rmtree(self.store.directory, ignore_errors=True)
        for name in (PLAN, LEDGER, LOG):
            (self.path / name).unlink(missing_ok=True)


@contextmanager
def open_directory(path: Path | None, resume: bool = False) -> Iterator[RunDirectory]:
    """The directory for a run, held until the end of the block; None for one that is then removed."""
    if path is None:
        with tempfile.TemporaryDirectory(prefix="ptmiss-") as temporary, open_directory(Path(temporary)) as directory:
            yield directory
        return
    directory = RunDirectory(path, resume)
    try:
        yield directory
    finally:
        directory.close()


def check_startable(path: Path, results: Sequence[str], resume: bool, force: bool) -> None:
    """Raise OptionError unless a run may begin in a directory, or go on in it.

    results: names of files that only a finished run leaves.
    """
    if path.exists() and not path.is_dir():
        raise OptionError(f"--output {path} is a file, expected a directory")
    if worker := holder(path / LOCK):
        raise OptionError(f"--output {path} is in use by {worker}")
    if resume and force:
        raise OptionError("expected --resume or --force, and not both")
    there = {entry.name for entry in path.iterdir()} - {LOCK} if path.is_dir() else set()
    if resume and there and PLAN not in there:
        raise OptionError(f"--output {path} has no run to resume (--force replaces what is there)")
    begun = any(name in there for name in results) or any((path / CHUNKS).glob("*.zip"))
    if not resume and not force and (begun or there - {PLAN, CHUNKS, LEDGER, LOG}):
        option = "--resume goes on with it, --force replaces it" if PLAN in there else "--force replaces it"
        raise OptionError(f"--output {path} is not empty ({option})")


@dataclass(frozen=True)
class Status:
    """How far a run has come.

    done, total: chunks of each dataset; events: those done and all of each dataset; skipped: what it went without;
    worker: who is at work on it; last: the last line of its log.
    """

    done: Mapping[str, int]
    total: Mapping[str, int]
    events: Mapping[str, tuple[int, int]]
    skipped: Sequence[Skipped]
    worker: str | None
    last: Mapping[str, Any]

    @property
    def missing(self) -> bool:
        """Whether events were skipped."""
        return any(entry.events != 0 for entry in self.skipped)


def status(path: Path) -> Status:
    """How far the run in a directory has come; FileError if there is none."""
    directory = RunDirectory(path)
    plan = directory.plan
    if plan is None:
        raise FileError(f"{path} is not the directory of a run: it has no {PLAN}")
    ledger = ledgers.read(directory.ledger.path)
    done: Counter[str] = Counter()
    events: Counter[str] = Counter()
    for entry in plan.chunks:
        found = entry.address in directory.store
        done[entry.dataset] += found
        events[entry.dataset] += found * entry.events
    total, listed = Counter(e.dataset for e in plan.chunks), Counter[str]()
    for entry in plan.chunks:
        listed[entry.dataset] += entry.events
    counted = {name: (events[name], listed[name]) for name in total}
    last = _last_line(path / LOG)
    return Status(done, total, counted, ledger.skipped, holder(path / LOCK), last)


def _last_line(path: Path) -> Mapping[str, Any]:
    for line in reversed(path.read_text().splitlines() if path.is_file() else []):
        try:
            return json.loads(line)
        except json.JSONDecodeError:
            continue  # cut when the disk was full
    return {}
