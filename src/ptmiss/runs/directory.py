"""The directory of a run in progress. A run can be stopped at any moment and resumed later.

* ``plan.json``: the chunks and their addresses, and the inputs to these addresses
* ``chunks/``: the finished chunks, see ptmiss.runs.chunks. They stay, so that a run can be completed or extended
* ``sums/``: the sums of blocks of them, see ptmiss.runs.blocks; without them every chunk is read
* ``ledger.json``: what was skipped and why, and which chunks were halved
* ``log.jsonl``: all events of the run, one JSON object per line, with its time
* ``.lock``: locked by the process that runs

``manifest.json`` and ``histograms.zip`` are written at the end, see ptmiss.results.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ptmiss.errors import FileError, OptionError
from ptmiss.files import AnyPath, as_path, holder, lock, write_atomically
from ptmiss.normalisation import Skipped
from ptmiss.progress import log
from ptmiss.results import FORCE
from ptmiss.runs import ledger as ledgers
from ptmiss.runs.addresses import Recipe
from ptmiss.runs.chunks import ChunkStore

PLAN, CHUNKS, LEDGER, LOG, LOCK = "plan.json", "chunks", "ledger.json", "log.jsonl", ".lock"
SUMS = "sums"


@dataclass(frozen=True)
class Entry:
    """A planned chunk."""

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
    """The plan of a run.

    recipe: inputs to the chunks' addresses (see ptmiss.runs.addresses). chunksize: most events of a chunk. memory:
    budget in bytes for which it was chosen.
    """

    recipe: Recipe
    chunksize: int
    memory: int | None = None
    chunks: list[Entry] = field(default_factory=list)


class RunDirectory:
    """The directory of a run. It is made, and locked for this process, when the run begins.

    resume: keep and use the finished chunks in it.
    """

    def __init__(self, path: Path, resume: bool = False):
        self.path, self.resume = path, resume
        self.store, self.sums = ChunkStore(path / CHUNKS), ChunkStore(path / SUMS)
        self.ledger = ledgers.Ledger(path / LEDGER)
        self._held = ExitStack()

    @property
    def plan(self) -> Plan | None:
        """The plan of the run in this directory, or None."""
        try:
            content = json.loads((self.path / PLAN).read_text())
            return Plan(**content | {"chunks": [Entry(*entry) for entry in content["chunks"]]})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise FileError(f"{self.path / PLAN} is not a readable plan: {error}") from error

    @property
    def finished(self) -> bool:
        """Whether the last run in this directory came to its end."""
        return _last_line(self.path / LOG).get("event") == "end"

    @property
    def before(self) -> Plan | None:
        """The plan of the run to resume, or None."""
        return self.plan if self.resume else None

    def begin(self, plan: Plan) -> None:
        """Lock the directory and write the plan; OptionError if another process has locked it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot write {self.path}: {error.strerror}") from error
        self._held.enter_context(lock(self.path / LOCK, f"--output {self.path}"))
        if self.resume:
            self.ledger.halved = ledgers.read(self.ledger.path).halved
        else:
            self.store.keep(set())
            self.sums.keep(set())
        content = asdict(plan) | {"chunks": [list(asdict(entry).values()) for entry in plan.chunks]}
        write_atomically(self.path / PLAN, json.dumps(content, indent=1) + "\n")
        self.ledger.save()

    def close(self) -> None:
        """Unlock the directory."""
        self._held.close()

    def log(self, event: str, **details: Any) -> None:
        """Add a line to the log."""
        log.info("%s: %s", event, ", ".join(f"{key} {value}" for key, value in details.items()))
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **details})
        try:
            with (self.path / LOG).open("a") as file:
                file.write(line + "\n")
        except OSError as error:
            raise FileError(f"cannot write {self.path / LOG}: {error.strerror}") from error

    def remove(self) -> None:
        """Remove all files of the run, and the directory if nothing else is in it."""
        self.store.keep(set())
        self.sums.keep(set())
        for name in (PLAN, LEDGER, LOG, LOCK):
            (self.path / name).unlink(missing_ok=True)
        for folder in (self.store.directory, self.sums.directory, self.path):
            with suppress(OSError):  # it has something
                folder.rmdir()


@contextmanager
def open_directory(path: Path | None, resume: bool = False) -> Iterator[RunDirectory]:
    """The directory for a run, locked until the end of the block; a temporary one if the path is None."""
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
    """Raise OptionError unless a run may begin or resume in a directory.

    results: names of files that only a finished run has.
    """
    if path.exists() and not path.is_dir():
        raise OptionError(f"--output {path} is a file, expected a directory")
    if worker := holder(path / LOCK):
        raise OptionError(f"--output {path} is in use by {worker}")
    if resume and force:
        raise OptionError("expected either --resume or --force, got both")
    there = {entry.name for entry in path.iterdir()} - {LOCK} if path.is_dir() else set()
    if resume and there and PLAN not in there:
        raise OptionError(f"--output {path} has no run to resume; without --resume one begins, {FORCE}")
    if force and PLAN not in there and (others := there & {*results, CHUNKS, SUMS, LEDGER, LOG}):
        raise OptionError(
            f"--output {path} has {', '.join(sorted(others))} of something else, choose another directory"
        )
    begun = any(name in there for name in results) or any((path / CHUNKS).glob("*.zip"))
    if not resume and not force and (begun or there - {PLAN, CHUNKS, SUMS, LEDGER, LOG}):
        option = f"--resume continues it, {FORCE}" if PLAN in there else FORCE
        raise OptionError(f"--output {path} is not empty ({option})")


@dataclass(frozen=True)
class Status:
    """The progress of a run.

    done, total: chunks of each dataset. events: finished and all events of each dataset. skipped: what was left out.
    worker: the process that runs. last: the last line of the log.
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


def status(path: AnyPath) -> Status:
    """The progress of a run.

    Args:
        path: directory of the run.

    Returns:
        Finished, missing and skipped chunks of each dataset, and the process that runs.

    Raises:
        FileError: the directory has no run.
    """
    path = as_path(path)
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
            continue  # an incomplete line, from a full disk
    return {}
