"""A processor over a fileset: coffea's Runner over the chunks that are not done yet, and the sum of all of them."""

from __future__ import annotations

import importlib.util
import inspect as python_inspect
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import numpy as np
from coffea.processor import ProcessorABC, Runner, accumulate
from coffea.processor.executor import WorkItem

from ptmiss.errors import FileError, Interrupted, OptionError, UnknownName
from ptmiss.events import EventSchema
from ptmiss.runs import addresses, ledger, memory
from ptmiss.runs.chunks import Chunk
from ptmiss.runs.directory import Entry, Plan, RunDirectory, open_directory
from ptmiss.runs.dispatch import PoolExecutor
from ptmiss.runs.failures import Policy
from ptmiss.runs.fileset import Fileset
from ptmiss.runs.inputs import InputFile, describe, inspect_files
from ptmiss.runs.ledger import Counted
from ptmiss.runs.merging import Merging
from ptmiss.runs.pools import InProcess, Pool
from ptmiss.runs.tracker import ChunkTracker

GROUP = "ptmiss.processors"

Sink = Callable[[str, int, Chunk | None], None]


@dataclass
class Run:
    """One run: what is done, where and how.

    pool: None runs here. chunksize: events at a time, at most; None for what a resumed run had, or what
    ptmiss.runs.memory.default says. budget: bytes that a worker may use, to choose the chunk size by. policy: what is done
    about failures. directory: where finished chunks are kept, to resume from. seconds: what each stage took; stored:
    addresses of finished chunks in the order of the files; both are known afterwards.
    """

    fileset: Fileset
    processor: ProcessorABC
    directory: RunDirectory
    pool: Pool = field(default_factory=InProcess)
    chunksize: int | None = None
    budget: int | None = None
    policy: Policy = field(default_factory=Policy)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    stored: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.chunksize is not None and self.chunksize < 1:
            raise OptionError(f"--chunksize {self.chunksize}: expected at least 1")

    def stream(self, sink: Sink) -> dict[str, Any]:
        """Process all chunks; the sink gets dataset, number in it, and chunk, as they come; None for a skipped one.

        Returns what a manifest says of the datasets and the work.
        """
        with self.timed("look"):
            sources, self.directory.ledger.skipped = inspect_files(self.fileset, self.processor, self.policy)
        with self.timed("plan"):
            plan, items = self.plan(sources)
            changed = addresses.changes(self.directory.before.recipe, plan.recipe) if self.directory.before else []
            self.directory.begin(plan)
        account = Account(items, sink, self.timed)
        tracker = ChunkTracker(self.directory, plan.recipe, items, account.receive)
        with self.timed("process"), tracker.shown():
            self.process(tracker)
        with self.timed("duplicates"):
            datasets = describe(self.fileset, sources)
            for name in datasets:
                datasets[name]["ledger"] = account.record(name, sources, tracker)
        self.stored = [at for item in items for at in tracker.stored[item]]
        self.directory.store.keep(set(self.stored))
        details = {
            "datasets": datasets,
            "metrics": account.metrics(),
            "chunksize": plan.chunksize,
            "chunks": {"all": len(items), "resumed": tracker.resumed, "halved": tracker.halved},
            "changed": changed,
        }
        return details | {"seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()}}

    def plan(self, sources: Sequence[InputFile]) -> tuple[Plan, dict[WorkItem, str]]:
        """The chunks, and the address of each."""
        recipe = addresses.recipe(self.processor)
        chunksize = self._chunksize(sources, recipe)
        items = [item for source in sources for item in source.chunks(chunksize)]
        found = {item: addresses.address(recipe, item) for item in items}
        entries = [Entry(i.dataset, i.filename, i.entrystart, i.entrystop, at) for i, at in found.items()]
        return Plan(recipe, chunksize, self.budget, entries), found

    def _chunksize(self, sources: Sequence[InputFile], recipe: addresses.Recipe) -> int:
        before = self.directory.before
        if self.chunksize is not None:
            return self.chunksize
        if before and before.memory == self.budget and (self.budget is None or before.recipe == recipe):
            return before.chunksize
        if self.budget is not None:
            return memory.chunksize(self.budget, self.processor, sources)
        return memory.default(sources)

    def process(self, tracker: ChunkTracker) -> None:
        """Coffea's Runner over what is missing; what is done is kept whatever happens."""
        missing = tracker.missing()
        self.directory.log("start", chunks=len(tracker.plan), missing=len(missing), events=sum(map(len, missing)))
        try:
            with terminable():
                self._run(missing, tracker)
        except KeyboardInterrupt:
            self.directory.log("interrupted", done=tracker.done)
            raise Interrupted(
                f"interrupted after {tracker.done} of {len(tracker.plan)} chunks; the same command with --resume goes on"
            ) from None
        except Exception as error:
            self.directory.log("failed", done=tracker.done, reason=(str(error) or type(error).__name__).splitlines()[0])
            raise
        self.directory.log("end", done=tracker.done)

    def _run(self, missing: Sequence[WorkItem], tracker: ChunkTracker) -> None:
        for form, items in _formats(missing):
            executor = PoolExecutor(pool=self.pool, policy=self.policy, sink=tracker.receive)
            coffea = Runner(executor, schema=EventSchema, format=form, savemetrics=True)
            coffea.run(items, Counted(self.processor))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time that a block takes to a stage of the run, less that of stages within."""
        began = time.monotonic() - sum(self.seconds.values())
        try:
            yield
        finally:
            self.seconds[stage] += time.monotonic() - sum(self.seconds.values()) - began


@contextmanager
def terminable() -> Iterator[None]:
    """Take a request to terminate, as batch systems send it, for Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _formats(items: Sequence[WorkItem]) -> Iterator[tuple[str, list[WorkItem]]]:
    """Items of each format of file, of those that there are."""
    for form in ("parquet", "root"):
        if found := [item for item in items if item.filename.endswith(".parquet") == (form == "parquet")]:
            yield form, found


class Account:
    """Adds up what comes in, and numbers the chunks of each dataset for the sink."""

    def __init__(self, items: Iterable[WorkItem], sink: Sink, timed: Callable[[str], AbstractContextManager[None]]):
        self._sink, self._timed = sink, timed
        counts: Counter[str] = Counter()
        self._numbers: dict[WorkItem, int] = {}
        for item in items:
            self._numbers[item] = counts[item.dataset]
            counts[item.dataset] += 1
        self._sums = {dataset: Merging() for dataset in counts}
        self._metrics: dict[str, Any] = {}

    def receive(self, item: WorkItem, chunk: Chunk | None) -> None:
        """Count a chunk and hand it on."""
        number = self._numbers[item]
        if chunk is not None:
            self._sums[item.dataset].add(number, {"events": chunk.events, "sumw": chunk.sumw})
            metrics = {**chunk.metrics, "columns": set(chunk.metrics["columns"]), "chunks": 1}
            self._metrics = accumulate([metrics], self._metrics)
        with self._timed("merge"):
            self._sink(item.dataset, number, chunk)

    def metrics(self) -> dict[str, Any]:
        """Entries, bytes read, columns touched, and the time in processors (s)."""
        nothing = {"entries": 0, "bytesread": 0, "processtime": 0.0, "chunks": 0}
        return nothing | {name: sorted(m) if isinstance(m, set) else m for name, m in self._metrics.items()}

    def record(self, dataset: str, sources: Sequence[InputFile], tracker: ChunkTracker) -> dict[str, Any]:
        """What a manifest keeps of a dataset's events: those in its files, those read, and what was wrong with some."""
        listed = sum(source.file.entries for source in sources if source.dataset == dataset)
        counted = self._sums[dataset].total() if dataset in self._sums else None
        counted = counted or {"events": 0, "sumw": 0.0}
        skipped = [asdict(entry) for entry in tracker.directory.ledger.of(dataset)]
        duplicates = _duplicates(dataset, tracker, listed)
        return {"listed": listed, **counted, "skipped": skipped, "duplicates": duplicates}


def _duplicates(dataset: str, tracker: ChunkTracker, events: int) -> dict[str, Any]:
    """How many events of a dataset are there more than once, and in which files; empty if none is."""
    stored = [(item.filename, at) for item, found in tracker.stored.items() if item.dataset == dataset for at in found]
    load = tracker.directory.store.ids
    found = ledger.duplicated([at for _, at in stored], load, events)
    if not len(found):
        return {}
    files = sorted({path for path, at in stored if np.isin(found, load(at)).any()})
    return {"events": len(found), "files": files}


def run(
    fileset: Fileset,
    processor: ProcessorABC,
    *,
    pool: Pool | None = None,
    chunksize: int | None = None,
    budget: int | None = None,
    policy: Policy | None = None,
    directory: RunDirectory | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Outputs of a processor merged over each dataset, and what a manifest says of the datasets and the work.

    The processor returns a dictionary of histograms and numbers. The result is the same for every pool. For the options
    see :class:`Run`; without a directory nothing is kept.
    """
    sums: dict[str, Merging] = defaultdict(Merging)

    def merge(dataset: str, number: int, chunk: Chunk | None) -> None:
        sums[dataset].add(number, chunk and dict(chunk.out))

    with open_directory(None) if directory is None else nullcontext(directory) as place:
        details = Run(fileset, processor, place, pool or InProcess(), chunksize, budget, policy or Policy()).stream(
            merge
        )
    return {dataset: sums[dataset].total() or {} for dataset in details["datasets"]}, details


def processors() -> dict[str, Any]:
    """Entry points of the processors that installed packages offer."""
    return {point.name: point for point in entry_points(group=GROUP)}


def find_processor(name: str) -> type[ProcessorABC]:
    """A processor's class: an entry point, or the one in a Python file (``file.py``, or ``file.py:Class``)."""
    path, _, cls = name.partition(":")
    if path.endswith(".py"):
        return _from_file(Path(path), cls)
    known = processors()
    if name not in known:
        raise UnknownName("processor", name, [*known, "FILE.py"])
    return known[name].load()


def _from_file(path: Path, cls: str) -> type[ProcessorABC]:
    module = _module(path)
    found = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, ProcessorABC) and value.__module__ == module.__name__
    }
    if cls and cls not in found:
        raise UnknownName(f"processor in {path}", cls, found)
    if not cls and len(found) != 1:
        listed = ", ".join(found) or "none"
        raise OptionError(f"{path} has {len(found)} processors ({listed}); expected one, or {path}:Name")
    return found[cls] if cls else next(iter(found.values()))


def _module(path: Path) -> ModuleType:
    """A user's file as a module that travels to workers by value."""
    if not path.is_file():
        raise FileError(f"no such processor file: {path}")
    spec = importlib.util.spec_from_file_location(f"ptmiss_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise OptionError(f"{path} fails when it is imported: {type(error).__name__}: {error}") from error
    cloudpickle.register_pickle_by_value(module)
    return module


def make_processor(cls: type[ProcessorABC], options: Mapping[str, Any]) -> ProcessorABC:
    """An instance with those options that it takes; an option that it does not take must not be given."""
    taken = python_inspect.signature(cls).parameters
    unknown = [name for name, value in options.items() if value is not None and name not in taken]
    if unknown:
        raise OptionError(
            f"processor {cls.__name__} takes no {', '.join(unknown)}; it takes {', '.join(taken) or 'none'}"
        )
    missing = [n for n, p in taken.items() if p.default is p.empty and options.get(n) is None]
    if missing:
        raise OptionError(f"processor {cls.__name__} needs --{' --'.join(missing)}")
    return cls(**{name: value for name, value in options.items() if value is not None})
