"""A processor over a fileset: every file looked into first, then coffea's Runner over the chunks."""

from __future__ import annotations

import importlib.util
import inspect as python_inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
from coffea.processor import ProcessorABC, Runner, accumulate
from coffea.processor.executor import WorkItem

from ptmiss.errors import FileError, OptionError, UnknownName
from ptmiss.events import EventFile, EventSchema, identifier, inspect
from ptmiss.executors import OrderedExecutor
from ptmiss.fileset import Fileset, Metadata
from ptmiss.results import storable

GROUP = "ptmiss.processors"
CHUNKSIZE = 50_000
LOOKING = 16  # files looked into at a time


@dataclass(frozen=True)
class Source:
    """One file of a dataset."""

    dataset: str
    metadata: Metadata
    file: EventFile

    @property
    def record(self) -> dict[str, Any]:
        """What a manifest keeps of it."""
        return {"path": self.file.path, "entries": self.file.entries, "uuid": identifier(self.file.identity)}


def look(fileset: Fileset, processor: ProcessorABC) -> list[Source]:
    """Look into every file; raise before any event is read if one cannot be read or lacks a needed column."""
    wanted = [(name, dataset.metadata, *tree) for name, dataset in fileset.items() for tree in dataset.trees()]
    with ThreadPoolExecutor(LOOKING) as threads:
        files = threads.map(lambda want: inspect(*want[2:]), wanted)
        sources = [Source(name, metadata, file) for (name, metadata, *_), file in zip(wanted, files, strict=True)]
    if hasattr(processor, "require"):
        for source in sources:
            processor.require(source.file.branches, source.file.path, source.metadata.model_dump())
    if not any(source.file.entries for source in sources):
        raise FileError(f"no events in {', '.join(source.file.path for source in sources)}")
    return sources


def chunks(source: Source, chunksize: int) -> Iterator[WorkItem]:
    """Ranges of about equal length, at most ``chunksize`` entries each, that cover a file."""
    file = source.file
    pieces = -(-file.entries // chunksize)
    for piece in range(pieces):
        start, stop = piece * file.entries // pieces, (piece + 1) * file.entries // pieces
        yield WorkItem(source.dataset, file.path, file.tree, start, stop, file.identity, source.metadata.model_dump())


def stream(
    sources: Sequence[Source],
    processor: ProcessorABC,
    sink: Callable[[str, Any], None],
    *,
    pool: Executor | None = None,
    chunksize: int = CHUNKSIZE,
) -> dict[str, Any]:
    """Process the sources' chunks; the sink gets dataset and output of each, in order. Returns what it took."""
    if chunksize < 1:
        raise OptionError(f"--chunksize {chunksize}: expected at least 1")
    metrics: dict[str, Any] = {}

    def receive(item: WorkItem, result: dict[str, Any]) -> None:
        nonlocal metrics
        metrics = accumulate([result["metrics"]], metrics)
        sink(item.dataset, result["out"])

    for form in sorted({source.file.format for source in sources}):
        items = [item for source in sources if source.file.format == form for item in chunks(source, chunksize)]
        executor = OrderedExecutor(pool=pool, sink=receive)
        if items:
            Runner(executor, schema=EventSchema, format=form, savemetrics=True).run(items, processor)
    return {name: sorted(value) if isinstance(value, set) else value for name, value in metrics.items()}


def run(
    fileset: Fileset,
    processor: ProcessorABC,
    *,
    pool: Executor | None = None,
    chunksize: int = CHUNKSIZE,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Outputs of a processor merged over each dataset, and what a manifest says of the datasets and the work.

    The processor returns a dictionary of histograms and numbers. The result is the same for every pool.
    """
    sources = look(fileset, processor)
    outputs: dict[str, Any] = {}

    def merge(dataset: str, output: Any) -> None:
        storable(output)
        outputs[dataset] = accumulate([output], outputs.get(dataset))

    metrics = stream(sources, processor, merge, pool=pool, chunksize=chunksize)
    return outputs, {"datasets": describe(sources), "metrics": metrics, "chunksize": chunksize}


def describe(sources: Sequence[Source]) -> dict[str, Any]:
    """Metadata and files of each dataset."""
    datasets: dict[str, Any] = {}
    for source in sources:
        metadata = source.metadata.model_dump(mode="json", exclude_none=True)
        datasets.setdefault(source.dataset, {"metadata": metadata, "files": []})["files"].append(source.record)
    return datasets


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
