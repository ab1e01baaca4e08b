"""The files of a fileset, each looked into once before any event is read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from coffea.processor import ProcessorABC
from coffea.processor.executor import WorkItem

from ptmiss.errors import FileError, FilesetError, hint
from ptmiss.events import EventFile, identifier, inspect
from ptmiss.normalisation import Skipped
from ptmiss.runs import generated, inspections, ledger
from ptmiss.runs.failures import Failure, Kind, Policy
from ptmiss.runs.fileset import Fileset, Metadata
from ptmiss.selections import Selection
from ptmiss.selections.weights.columns import LENGTHS, SUMS
from ptmiss.selections.weights.evaluation import has_sign, lists, sums

LOOKING = 16  # files looked into at a time
TRIGGERS = "HLT_"
PAUSE = 0.5  # s before the first new attempt, then twice as long each time


@dataclass(frozen=True)
class InputFile:
    """One file of a dataset."""

    dataset: str
    metadata: Metadata
    file: EventFile
    about: Mapping[str, Any] = field(default_factory=dict)  # what only the processor is told of its dataset

    @property
    def record(self) -> dict[str, Any]:
        """What a manifest keeps of it."""
        return {"path": self.file.path, "entries": self.file.entries, "uuid": identifier(self.file.identity)}

    def of_kind(self, kind: str | None) -> InputFile:
        """The same in a dataset of a kind."""
        return replace(self, metadata=self.metadata.model_copy(update={"kind": kind}))

    def chunks(self, chunksize: int) -> Iterator[WorkItem]:
        """Ranges of about equal length, at most ``chunksize`` entries each, that cover the file."""
        file, metadata = self.file, {**self.metadata.model_dump(), **self.about}
        for start, stop in file.ranges(chunksize):
            yield WorkItem(self.dataset, file.path, file.tree, start, stop, file.identity, metadata)


def inspect_files(
    fileset: Fileset, processor: ProcessorABC, policy: Policy | None = None
) -> tuple[list[InputFile], list[Skipped]]:
    """Look into every file; raise before any event is read if one cannot be read or lacks a needed column.

    A file that cannot be read, or is there twice, is skipped instead where the policy tolerates that. What the fileset
    leaves open of how events are treated is what the files say (see :func:`with_treatment`).
    """
    policy = policy or Policy()
    wanted = [(name, dataset.metadata, *tree) for name, dataset in fileset.items() for tree in dataset.trees()]
    found = _inspected_all([(name, path, tree) for name, _, path, tree in wanted], policy)
    files = [(name, metadata, file) for (name, metadata, *_), file in zip(wanted, found, strict=True)]
    sources = with_treatment(
        [InputFile(name, metadata, file) for name, metadata, file in files if isinstance(file, EventFile)]
    )
    copies = list(_copies(sources))
    if copies and not policy.skip:
        raise FilesetError(f"dataset {copies[0].dataset!r}: {copies[0].path} {copies[0].reason}")
    skipped = [file for _, _, file in files if isinstance(file, Skipped)] + copies
    sources = [source for source in sources if (source.dataset, source.file.path) not in _places(copies)]
    skipped += [ledger.empty(source.dataset, source.file.path) for source in sources if not source.file.entries]
    sources = with_sums(processor, sources)
    _require(processor, sources)
    if not any(source.file.entries for source in sources):
        raise FileError(f"no events in {', '.join(path for _, _, path, _ in wanted)}")
    return sources, skipped


def _inspected_all(wanted: Sequence[tuple[str, str, str]], policy: Policy) -> list[EventFile | Skipped]:
    """What is in each file, of a dataset, path and tree: what is known of earlier runs, the others are opened."""
    known = inspections.load((path, tree) for _, path, tree in wanted)
    new = [want for want in wanted if want[1:] not in known]
    stamps = {path: inspections.stamp(path) for _, path, _ in new if "://" not in path}
    with ThreadPoolExecutor(LOOKING) as threads:
        opened = dict(
            zip(new, threads.map(lambda want: _inspected(want[0], want[1], want[2], policy), new), strict=True)
        )
    inspections.save([file for file in opened.values() if isinstance(file, EventFile)], stamps)
    return [opened[want] if want in opened else known[want[1:]] for want in wanted]


def with_sums(processor: Any, sources: Sequence[InputFile]) -> list[InputFile]:
    """Files with what the weights of a processor's selection are normalised with.

    These are the sums of theory weights over all files of the dataset, and how many of them its first event has. With
    the sign of the generator's weight, sums of weights become sums of signs.
    """
    selection = getattr(processor, "selection", None)
    if not isinstance(selection, Selection):
        return list(sources)
    weights = selection.weights
    wanted, datasets = sums(weights), {source.dataset for source in sources}
    files = {name: [source.file for source in sources if source.dataset == name] for name in datasets}
    vectors = lists(weights)
    about = {
        name: {
            SUMS: generated.theory_sums(files[name], wanted),
            LENGTHS: generated.lengths(files[name], vectors),
        }
        for name in (datasets if vectors else ())
    }
    out = [replace(source, about=about.get(source.dataset, {})) for source in sources]
    if has_sign(weights):
        out = [replace(source, file=generated.of_signs(source.file)) for source in out]
    return out


def _inspected(dataset: str, path: str, tree: str, policy: Policy) -> EventFile | Skipped:
    """What is in a file; tried again where that may help, skipped where that is tolerated."""
    for attempt in range(policy.retries + 1):
        try:
            return _anywhere(places(path, policy.servers), tree)
        except FileError as error:
            failure = Failure(_kind(error, path), str(error))
            if failure.kind is not Kind.IO or attempt == policy.retries:
                if policy.tolerates(failure):
                    return Skipped(dataset, path, None, None, None, failure.kind, failure.message)
                raise
            time.sleep(PAUSE * 2**attempt)
    raise ValueError(f"{policy.retries} retries, expected 0 or more")


def places(path: str, servers: Sequence[str]) -> list[str]:
    """A file's place, and for a remote one those on other servers: ``root://HOST/`` each, in the order to try them."""
    scheme, remote, rest = path.partition("://")
    if not remote:
        return [path]
    cache, name = scheme.rpartition("::")[:2], rest.partition("/")[2]
    return list(dict.fromkeys([path, *(f"{''.join(cache)}{server.rstrip('/')}/{name}" for server in servers)]))


def _anywhere(paths: Sequence[str], tree: str) -> EventFile:
    """What is in a file at the first of some places that has it; else the error of the first place."""
    errors: list[FileError] = []
    for path in paths:
        try:
            return inspect(path, tree)
        except FileError as error:
            errors.append(error)
    raise errors[0]


def _kind(error: FileError, path: str) -> Kind:
    cause = error.__cause__ or error
    if isinstance(cause, ImportError):
        return Kind.USER
    remote = "://" in path and isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
    return Kind.IO if remote or isinstance(cause, TimeoutError | ConnectionError) else Kind.FILE


def with_treatment(sources: Sequence[InputFile]) -> list[InputFile]:
    """Files with the kind of their dataset: what the fileset says, else what the files say, else None.

    FilesetError where a file says otherwise, or simulation has no generator weights.
    """
    kinds: dict[str, str] = {}
    for source in sources:
        said = source.metadata.kind or source.file.kind
        if said and kinds.setdefault(source.dataset, said) != said:
            raise FilesetError(
                f"dataset {source.dataset!r} has files of data and of simulation, such as {source.file.path}"
            )
    found = [source.of_kind(kinds.get(source.dataset)) for source in sources]
    for source in found:
        _check_kind(source)
    return found


def _check_kind(source: InputFile) -> None:
    metadata, file = source.metadata, source.file
    has_weights = "genWeight" in file.branches
    if metadata.kind == "data" and file.kind == "mc" and not metadata.pseudo_data:
        wrong = "is data, but {} has what a generator made: expected kind 'mc', or \"pseudo_data\": true beside 'data'"
    elif metadata.kind == "data" and metadata.of_simulation:
        wrong = f"has {metadata.of_simulation[0]}, which is of simulation, but {{}} has runs of a detector"
    elif metadata.kind == "mc" and file.kind == "data":
        wrong = "is simulation, but {} has runs of a detector: expected kind 'data'"
    elif metadata.kind == "mc" and file.entries and not has_weights and not metadata.unweighted:
        wrong = 'is simulation, but {} has no genWeight: expected a file that keeps it, or "unweighted": true'
    elif metadata.unweighted and has_weights:
        wrong = 'is unweighted, but {} has genWeight: expected it without "unweighted"'
    else:
        return
    raise FilesetError(f"dataset {source.dataset!r} {wrong.format(file.path)}")


def _copies(sources: Sequence[InputFile]) -> Iterator[Skipped]:
    """Files that are copies of others of their dataset, or of any data: their events would count twice.

    The luminosity of other data covers the events of a copy, so they are missing from their own.
    """
    first: dict[tuple[str | None, bytes], InputFile] = {}
    for source in sources:
        file, own = source.file, None if source.metadata.kind == "data" else source.dataset
        original = first.setdefault((own, file.identity), source)
        if original is not source:
            other = original.dataset != source.dataset
            of = f" of dataset {original.dataset!r}" if other else ""
            reason = (
                f"is a copy of {original.file.path}{of}; its events would count twice (--skip-bad-files leaves it out)"
            )
            yield Skipped(source.dataset, file.path, None, None, file.entries if other else 0, Kind.FILE, reason)


def _places(skipped: Sequence[Skipped]) -> set[tuple[str, str]]:
    return {(entry.dataset, entry.path) for entry in skipped}


def _require(processor: ProcessorABC, sources: Sequence[InputFile]) -> None:
    _require_triggers(sources)
    if hasattr(processor, "require"):
        for source in (source for source in sources if source.file.entries):
            about = {**source.metadata.model_dump(), **source.about, "dataset": source.dataset}
            processor.require(source.file.branches, source.file.path, about)


def _require_triggers(sources: Sequence[InputFile]) -> None:
    """Raise FilesetError for a trigger that a dataset names and no file has: a year may lack it, but not all years."""
    there = {branch for source in sources for branch in source.file.branches if branch.startswith(TRIGGERS)}
    for source in sources:
        for trigger in (*source.metadata.triggers, *source.metadata.veto_triggers):
            if trigger not in there:
                raise FilesetError(
                    f"dataset {source.dataset!r}: no file of the fileset has trigger {trigger}{hint(trigger, there)}"
                )


def describe(fileset: Fileset, sources: Sequence[InputFile]) -> dict[str, Any]:
    """Metadata of each dataset, and its files that could be opened."""
    known = {name: dataset.metadata for name, dataset in fileset.items()}
    known |= {source.dataset: source.metadata for source in sources}
    datasets: dict[str, Any] = {
        name: {"metadata": known[name].model_dump(mode="json", exclude_none=True), "files": []} for name in fileset
    }
    for source in sources:
        datasets[source.dataset]["files"].append(source.record)
    return datasets
