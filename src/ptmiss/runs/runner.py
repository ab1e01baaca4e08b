"""The run of a processor over a fileset: coffea's Runner on the missing chunks, and the sum of all chunks."""

from __future__ import annotations

import importlib.util
import inspect as python_inspect
import math
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
from coffea.processor import ProcessorABC, Runner, accumulate
from coffea.processor.executor import WorkItem

from ptmiss.errors import FileError, Interrupted, OptionError, UnknownName
from ptmiss.events import EventSchema
from ptmiss.normalisation import Skipped
from ptmiss.runs import addresses, ledger, memory
from ptmiss.runs.blocks import COUNTS, STAMPS, Block, Blocks
from ptmiss.runs.chunks import Chunk, as_stored
from ptmiss.runs.directory import Entry, Plan, RunDirectory, open_directory
from ptmiss.runs.dispatch import PoolExecutor
from ptmiss.runs.failures import Policy
from ptmiss.runs.fileset import Fileset
from ptmiss.runs.inputs import InputFile, describe, inspect_files
from ptmiss.runs.ledger import Counted
from ptmiss.runs.limits import NONE, Limits
from ptmiss.runs.merging import BLOCK, Sums
from ptmiss.runs.pools import InProcess, Pool
from ptmiss.runs.tracker import ChunkTracker

GROUP = "ptmiss.processors"

Sink = Callable[[str, int, Chunk | None], None]
Check = Callable[[Sequence[InputFile]], None]


@dataclass
class Run:
    """One run of a processor.

    directory: of the finished chunks, to resume from. pool: the workers. chunksize: most events of a chunk; None for
    that of the resumed run, or for ptmiss.runs.memory.default. budget: bytes for a worker, from which the chunk size is
    chosen. policy: the treatment of failures. limits: of a trial. After the run ``seconds`` has the time of each stage,
    and ``stored`` the finished chunks in the order of the files.
    """

    fileset: Fileset
    processor: ProcessorABC
    directory: RunDirectory
    pool: Pool = field(default_factory=InProcess)
    chunksize: int | None = None
    budget: int | None = None
    policy: Policy = field(default_factory=Policy)
    limits: Limits = NONE
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    stored: list[ledger.Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.chunksize is not None and self.chunksize < 1:
            raise OptionError(f"--chunksize {self.chunksize}: expected at least 1")
        self.limits.check()

    def stream(self, sink: Sink | Sums, check: Check = lambda _: None) -> dict[str, Any]:
        """Process all chunks, and call the sink with dataset, number, and chunk (None if skipped) as they are finished.

        check: called with the inspected files, before any event is read; it may raise. To sums, blocks of chunks are
        added as they are on disk. Returns the manifest's entries
        about the datasets and the work.
        """
        with self.measure_time("look"):
            fileset, left_out = self.limits.fileset(self.fileset)
            sources, unread = inspect_files(fileset, self.processor, self.policy)
            check(sources)
        with self.measure_time("plan"):
            plan, items, beyond = self.plan(sources)
            self.directory.ledger.skipped = [*left_out, *unread, *beyond]
            changed = addresses.changes(self.directory.before.recipe, plan.recipe) if self.directory.before else []
            if changed and self.directory.finished:
                raise OptionError(
                    f"--resume: {', '.join(changed)} changed since the run in {self.directory.path} was finished "
                    "(--force replaces it)"
                )
            self.directory.begin(plan)
        blocks = Blocks(self.directory, items)
        account = Account(items, sink, blocks, self.measure_time)
        tracker = ChunkTracker(self.directory, plan.recipe, items, account.receive)
        with self.measure_time("process"), tracker.show():
            for block in account.resume_blocks():
                tracker.resume_block(block.items)
            self.process(tracker)
        with self.measure_time("duplicates"):
            datasets = describe(self.fileset, sources)
            self.stored = [ledger.Part(i.dataset, i.filename, at) for i in items for at in tracker.stored[i]]
            twice = self.duplicates(sources)
            for name in datasets:
                skipped = [asdict(entry) for entry in self.directory.ledger.of(name)]
                datasets[name]["ledger"] = account.record(name, sources) | {"skipped": skipped} | twice[name]
        self.directory.store.keep({part.address for part in self.stored})
        blocks.clean()
        details = {
            "datasets": datasets,
            "metrics": account.metrics(),
            "chunksize": plan.chunksize,
            "chunks": {"all": len(items), "resumed": tracker.resumed, "halved": tracker.halved},
            "changed": changed,
        }
        return details | {"seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()}}

    def plan(self, sources: Sequence[InputFile]) -> tuple[Plan, dict[WorkItem, str], list[Skipped]]:
        """The chunks, the address of each, and what a trial leaves out."""
        recipe = addresses.recipe(self.processor)
        chunksize = self._chunksize(sources, recipe)
        items, beyond = self.limits.items([item for source in sources for item in source.chunks(chunksize)])
        found = {item: addresses.address(recipe, item) for item in items}
        entries = [Entry(i.dataset, i.filename, i.entrystart, i.entrystop, at) for i, at in found.items()]
        return Plan(recipe, chunksize, self.budget, entries), found, beyond

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
        """Run coffea's Runner on the missing chunks. Finished chunks are kept whatever happens."""
        missing = tracker.missing()
        if missing:
            self.pool.prepare(self.processor)
        self.directory.log("start", chunks=len(tracker.plan), missing=len(missing), events=sum(map(len, missing)))
        try:
            with treat_sigterm_as_interrupt():
                self._run(missing, tracker)
        except KeyboardInterrupt:
            self.directory.log("interrupted", done=tracker.done)
            raise Interrupted(
                f"stopped after {tracker.done} of {len(tracker.plan)} chunks; "
                "the same command with --resume continues the run"
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

    def duplicates(self, sources: Sequence[InputFile]) -> dict[str, Any]:
        """The events of each dataset that occur more than once: in simulation within it, in data within all data.

        For data also the luminosity sections that it has in common with other datasets.
        """
        groups: dict[str | None, set[str]] = defaultdict(set)
        for source in sources:
            groups[None if source.metadata.kind == "data" else source.dataset].add(source.dataset)
        found: dict[str, Any] = {name: {"duplicates": {}, "same_sections": {}} for name in self.fileset}
        for group, names in groups.items():
            parts = [part for part in self.stored if part.dataset in names]
            events = sum(source.file.entries for source in sources if source.dataset in names)
            for name, twice in ledger.duplicates(parts, self.directory.store.ids, events).items():
                found[name]["duplicates"] = twice
            if group is None:
                for name, shared in ledger.same_sections(
                    parts, partial(self.directory.store.ids, of="sections")
                ).items():
                    found[name]["same_sections"] = shared
        return found

    @contextmanager
    def measure_time(self, stage: str) -> Iterator[None]:
        """Add the time of a block to a stage, without that of stages inside the block."""
        began = time.monotonic() - sum(self.seconds.values())
        try:
            yield
        finally:
            self.seconds[stage] += time.monotonic() - sum(self.seconds.values()) - began


@contextmanager
def treat_sigterm_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM, which batch systems send, like Ctrl-C in the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _formats(items: Sequence[WorkItem]) -> Iterator[tuple[str, list[WorkItem]]]:
    """Items by format of their files: coffea's Runner takes one format at a time."""
    for form in ("parquet", "root"):
        if found := [item for item in items if item.filename.endswith(".parquet") == (form == "parquet")]:
            yield form, found


class Account:
    """Adds up events and metrics of chunks, and numbers the chunks of each dataset for the sink."""

    def __init__(
        self,
        items: Iterable[WorkItem],
        sink: Sink | Sums,
        blocks: Blocks,
        measure_time: Callable[[str], AbstractContextManager[None]],
    ):
        self._sink, self._blocks, self._measure_time = sink, blocks, measure_time
        if isinstance(sink, Sums):
            sink.keep = self._save_block
        counts: Counter[str] = Counter()
        self._numbers: dict[WorkItem, int] = {}
        for item in items:
            self._numbers[item] = counts[item.dataset]
            counts[item.dataset] += 1
        self._read: dict[WorkItem, tuple[int, float]] = {}
        self._metrics: dict[str, Any] = {}

    def receive(self, item: WorkItem, chunk: Chunk | None) -> None:
        """Count a chunk and pass it to the sink."""
        number = self._numbers[item]
        if chunk is not None:
            self._read[item] = chunk.events, chunk.sumw
            self._add_metrics(metrics := {**chunk.metrics, "chunks": 1})
            self._blocks.count(item.dataset, number >> BLOCK, metrics)
        with self._measure_time("merge"):
            if isinstance(self._sink, Sums):
                self._sink.add(item.dataset, number, None if chunk is None else chunk.out)
            else:
                self._sink(item.dataset, number, chunk)

    def resume_blocks(self) -> Iterator[Block]:
        """The blocks that are on disk; they are counted, and added to the sums."""
        if not isinstance(self._sink, Sums):
            return
        for block in self._blocks.load():
            metrics = dict(block.total.metrics)
            self._read |= zip(block.items, map(tuple, metrics.pop(COUNTS)), strict=True)
            del metrics[STAMPS]
            self._add_metrics(metrics)
            self._sink.add(block.dataset, block.number, block.total.out, BLOCK)
            yield block

    def _save_block(self, dataset: str, number: int, total: Any) -> None:
        self._blocks.save(dataset, number, total, self._read)

    def _add_metrics(self, metrics: Mapping[str, Any]) -> None:
        self._metrics = accumulate([{**metrics, "columns": set(metrics["columns"])}], self._metrics)

    def metrics(self) -> dict[str, Any]:
        """Entries, bytes read, columns used, and the time in processors (s)."""
        nothing = {"entries": 0, "bytesread": 0, "processtime": 0.0, "chunks": 0}
        return nothing | {name: sorted(m) if isinstance(m, set) else m for name, m in self._metrics.items()}

    def record(self, dataset: str, sources: Sequence[InputFile]) -> dict[str, Any]:
        """The manifest's entry about a dataset's events: in its files, read, and generated."""
        own = [source.file for source in sources if source.dataset == dataset]
        chunks = {item: read for item, read in self._read.items() if item.dataset == dataset}
        weights: dict[str, list[float]] = defaultdict(list)
        for item, (_, sumw) in chunks.items():
            weights[item.filename].append(sumw)
        return {
            "listed": sum(file.entries for file in own),
            "events": sum(events for events, _ in chunks.values()),
            "sumw": math.fsum(sumw for sums in weights.values() for sumw in sums),
            "generated": ledger.generated(own, {path: math.fsum(sums) for path, sums in weights.items()}),
        }


def run(
    fileset: Fileset,
    processor: ProcessorABC,
    *,
    pool: Pool | None = None,
    chunksize: int | None = None,
    budget: int | None = None,
    policy: Policy | None = None,
    limits: Limits = NONE,
    directory: RunDirectory | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a processor over a fileset. The result is the same for every pool.

    Args:
        fileset: files and metadata of each dataset.
        processor: returns a dictionary of histograms and numbers.
        pool: the workers; None for this process.
        chunksize: most events of a chunk; None for that of a resumed run, or for ptmiss.runs.memory.default.
        budget: bytes for a worker, from which the chunk size is chosen.
        policy: the treatment of failures.
        limits: of a trial.
        directory: of the finished chunks, to resume from; None to keep none.

    Returns:
        The outputs summed over each dataset, and the manifest's entries about the datasets and the work.

    Raises:
        ChunkError: a worker failed on a chunk, and the policy does not tolerate it.
        Interrupted: the run was stopped from outside.
        FileError: a file cannot be read, or the directory not be written.
    """
    sums = Sums()
    with open_directory(None) if directory is None else nullcontext(directory) as place:
        how = (pool or InProcess(), chunksize, budget, policy or Policy(), limits)
        details = Run(fileset, processor, place, *how).stream(sums)
    return {dataset: postprocess(processor, sums.total(dataset)) for dataset in details["datasets"]}, details


def postprocess(processor: ProcessorABC, total: dict[str, Any]) -> dict[str, Any]:
    """The sum of a dataset after the processor's ``postprocess``, which may change it in place."""
    after = processor.postprocess(total)
    if not isinstance(after, Mapping | None):
        raise OptionError(f"postprocess of a processor must return a dictionary, not {type(after).__name__}")
    return as_stored(total if after is None else after)


def processors() -> dict[str, Any]:
    """The processors of installed packages, as entry points by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def find_processor(name: str) -> type[ProcessorABC]:
    """A processor's class by the name of its entry point, or from a Python file: ``file.py`` or ``file.py:Class``."""
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
        raise OptionError(f"{path} has {len(found)} processors ({listed}): expected one, or {path}:Name")
    return found[cls] if cls else next(iter(found.values()))


def _module(path: Path) -> ModuleType:
    """A user's file as a module, which finds others beside it. They are pickled by value: workers may not have them."""
    if not path.is_file():
        raise FileError(f"no such processor file: {path}")
    spec = importlib.util.spec_from_file_location(f"ptmiss_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    place = str(path.resolve().parent)
    if place not in sys.path:
        sys.path.append(place)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise OptionError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    for each in [module, *_beside(place)]:
        cloudpickle.register_pickle_by_value(each)
    return module


def _beside(place: str) -> list[ModuleType]:
    """Imported modules whose files are in a directory."""
    modules = list(sys.modules.values())
    return [each for each in modules if str(Path(getattr(each, "__file__", None) or "/").parent) == place]


def make_processor(cls: type[ProcessorABC], options: Mapping[str, Any]) -> ProcessorABC:
    """An instance of a processor with its options; OptionError for an unknown or a missing option."""
    taken = python_inspect.signature(cls).parameters
    unknown = [name for name, value in options.items() if value is not None and name not in taken]
    if unknown:
        raise OptionError(
            f"processor {cls.__name__} has no option {', '.join(unknown)}; its options: {', '.join(taken) or 'none'}"
        )
    missing = [n for n, p in taken.items() if p.default is p.empty and options.get(n) is None]
    if missing:
        raise OptionError(f"processor {cls.__name__} needs --{' --'.join(missing)}")
    return cls(**{name: value for name, value in options.items() if value is not None})
