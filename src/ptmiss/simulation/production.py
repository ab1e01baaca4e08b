"""Productions: blocks in worker processes, a directory of finished blocks, one file in the end.

A job is cut into blocks of a fixed size, each with its own child of the seed, so that the file's content does not
depend on the number of workers. Finished blocks are in ``<output>.parts`` until the file is complete. The same job,
started again, uses them; another job starts afresh. The pile-up library and Pythia's start files are made once and
cached.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np

from ptmiss.errors import FileError, OptionError
from ptmiss.files import AnyPath, as_path, cached_by_file, digest
from ptmiss.simulation import events, generator, output, parameters, pileup
from ptmiss.simulation.generator import MINIMUM_BIAS, MONASH, Process
from ptmiss.simulation.parameters import Profile, Tune
from ptmiss.simulation.particles import Library, join

BLOCK_SIZE = 250
LIBRARY_SIZE = 20_000
LIBRARY_BLOCK = 1000
_LIBRARY_SEED = 20_260_000
_STREAM = {"mc": 0, "data": 1}

Result = TypeVar("Result")
Progress = Callable[[str, int, int], None]
"""A function of a name, the number of finished events and that of all events."""


@dataclass(frozen=True)
class Production:
    """A finished production.

    Attributes:
        path: the file.
        events: number of events in it.
        resumed: number of events that an earlier, interrupted production had finished.
        seconds: time that it took.
    """

    path: Path
    events: int
    resumed: int
    seconds: float


@dataclass(frozen=True)
class Job:
    """Everything that determines the content of a file.

    elements: number of events with elements and targets. shower_weights: whether they have weights of a varied shower.
    """

    process: str
    n: int
    seed: int
    profile: Profile
    elements: int
    library: Path
    shower_weights: bool = False

    def blocks(self) -> list[events.Block]:
        """The blocks, each with its own seed. Simulation and pseudo-data never share one."""
        seeds = np.random.SeedSequence(self.seed, spawn_key=(_STREAM[self.profile.name],)).spawn(
            -(-self.n // BLOCK_SIZE)
        )
        return [
            events.Block(
                i,
                i * BLOCK_SIZE,
                min(BLOCK_SIZE, self.n - i * BLOCK_SIZE),
                seed,
                max(self.elements - i * BLOCK_SIZE, 0),
            )
            for i, seed in enumerate(seeds)
        ]

    def describe(self) -> str:
        """The job as JSON, to recognise it and to store it beside the events; of the library only the file's name."""
        return json.dumps(
            {**dataclasses.asdict(self), "block_size": BLOCK_SIZE}, default=lambda path: path.name, sort_keys=True
        )


def simulate(
    process: str,
    n: int,
    seed: int,
    output_path: AnyPath,
    *,
    profile: str = "mc",
    pileup_mean: float | None = None,
    pileup_spread: float | None = None,
    overrides: dict[str, float] | None = None,
    elements: bool | int = False,
    workers: int = 1,
    file_format: str = "ttree",
    library: AnyPath | None = None,
    shower_weights: bool = False,
    progress: Progress | None = None,
) -> Production:
    """Simulate events of a process, and write them to a NanoAOD-style file.

    Args:
        process: name in PROCESSES.
        n: number of events.
        seed: the same seed gives the same file.
        output_path: the file.
        profile: detector, beam and tune, ``mc`` or ``data``.
        pileup_mean: mean number of pile-up collisions; None for that of the profile.
        pileup_spread: its spread between crossings; None for that of the profile.
        overrides: parameters of detector, beam, tune and matter by name.
        elements: True for PF elements and targets in all events, or their number in the first events.
        workers: number of processes.
        file_format: ``ttree`` or ``rntuple``.
        library: a pile-up library to use instead of the cached one.
        shower_weights: add weights of a varied shower; the events are others than without.
        progress: called with the process, the finished events and all events.

    Returns:
        The file, and how it was made.

    Raises:
        UnknownName: there is no such process, profile or parameter.
        OptionError: a number is out of its range.
        FileError: the file cannot be written.
    """
    began = time.monotonic()
    path = as_path(output_path)
    changes = dict(overrides or {})
    changes |= {k: v for k, v in (("pileup_mean", pileup_mean), ("pileup_spread", pileup_spread)) if v is not None}
    chosen = parameters.profile(profile, **changes)
    _check(process, n, seed, workers, file_format, path)
    library_path = as_path(library) if library else pileup_library(chosen.name, workers, progress=progress)
    with_elements = n if elements is True else min(int(elements), n)
    job = Job(process, n, seed, chosen, with_elements, library_path, shower_weights)
    parts = path.with_name(f"{path.name}.parts")
    try:
        resumed = _prepare(parts, job)
        _run(job, parts, workers, progress)
        names = [_part(parts, block) for block in job.blocks()]
        output.write(names, path, file_format, {"simulation": job.describe()})
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}; what is done stays in {parts}") from None
    _clear(parts)
    return Production(path, n, resumed, time.monotonic() - began)


def _check(process: str, n: int, seed: int, workers: int, file_format: str, path: Path) -> None:
    generator.process(process)
    if n < 1:
        raise OptionError(f"cannot simulate {n} events; expected at least 1")
    if seed < 0:
        raise OptionError(f"the seed is {seed}; expected at least 0")
    if workers < 1:
        raise OptionError(f"cannot work with {workers} workers; expected at least 1")
    if file_format not in output.FORMATS:
        raise OptionError(f"unknown file format {file_format!r}; known: {', '.join(output.FORMATS)}")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise FileError(f"cannot write {path}: its directory does not exist or is not writable")


def _part(parts: Path, block: events.Block) -> Path:
    return parts / f"block-{block.number:05d}.parquet"


def _prepare(parts: Path, job: Job) -> int:
    """Make or keep the directory of blocks; returns the number of events in it."""
    card = parts / "job.json"
    if parts.exists() and not card.is_file():
        raise FileError(f"{parts} is needed for what is half done, and holds something else: move it away")
    if parts.exists() and card.read_text() != job.describe():
        _clear(parts)
    parts.mkdir(exist_ok=True)
    card.write_text(job.describe())
    return sum(block.n for block in job.blocks() if _part(parts, block).is_file())


def _clear(parts: Path) -> None:
    """Remove the blocks of a job, and their directory if nothing else is in it."""
    for path in (*parts.glob("*block-*.parquet*"), parts / "job.json"):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # it has something
        parts.rmdir()


def _run(job: Job, parts: Path, workers: int, progress: Progress | None) -> None:
    """Simulate the blocks that are missing."""
    missing = [block for block in job.blocks() if not _part(parts, block).is_file()]
    done = job.n - sum(block.n for block in missing)
    start_file = _start_file(generator.process(job.process), job.profile.tune) if missing else None
    for block in _in_workers(_simulate, [(job, block, parts, start_file) for block in missing], workers):
        done += block.n
        if progress:
            progress(job.process, done, job.n)


def _simulate(job: Job, block: events.Block, parts: Path, start_file: Path | None) -> events.Block:
    library = _load_library(job.library)
    with_elements = job.elements > 0
    columns = events.simulate_block(
        block, job.process, job.profile, library, start_file, with_elements, job.shower_weights
    )
    output.save_block(columns, _part(parts, block))
    return block


_load_library = cached_by_file(pileup.load)


def _in_workers(function: Callable[..., Result], arguments: list[tuple], workers: int) -> Iterator[Result]:
    """Results of a function, in the order in which they are finished, from this process or from several."""
    if workers == 1 or len(arguments) < 2:
        for argument in arguments:
            yield function(*argument)
        return
    with ProcessPoolExecutor(min(workers, len(arguments)), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(function, *argument) for argument in arguments]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def cache_directory() -> Path:
    """The directory of pile-up libraries and start files: ``$XDG_CACHE_HOME/ptmiss`` or ``~/.cache/ptmiss``."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ptmiss"
    path.mkdir(parents=True, exist_ok=True)
    return path


def pileup_library(profile: str, workers: int = 1, size: int = LIBRARY_SIZE, progress: Progress | None = None) -> Path:
    """The cached library of a profile, made if it is missing (about two minutes on one core)."""
    path = cache_directory() / f"minbias-{profile}-{size}-{_fingerprint(MINIMUM_BIAS)}.npz"
    if path.is_file():
        return path
    start_file, seed = _start_file(MINIMUM_BIAS), _LIBRARY_SEED + 1_000_000 * _STREAM[profile]
    counts = [min(LIBRARY_BLOCK, size - first) for first in range(0, size, LIBRARY_BLOCK)]
    arguments = [(i, count, seed + i, start_file) for i, count in enumerate(counts)]
    made = {}
    for number, library in _in_workers(_minimum_bias, arguments, workers):
        made[number] = library
        if progress:
            progress("pile-up library", sum(counts[i] for i in made), size)
    pileup.save(join([made[i] for i in sorted(made)]), path)
    return path


def _minimum_bias(number: int, n: int, seed: int, start_file: Path) -> tuple[int, Library]:
    return number, generator.minimum_bias(n, seed, start_file)


def _fingerprint(process: Process, tune: Tune = MONASH) -> str:
    """Short hash of Pythia's version and of a process's settings."""
    text = "\n".join([generator.VERSION, *generator.settings(process, tune)])
    return digest(text.encode())[:12]


def _start_file(process: Process, tune: Tune = MONASH) -> Path | None:
    """Pythia's initialisation file of a process and a tune, made with a fixed seed if it is missing."""
    if process.gun:
        return None
    path = cache_directory() / f"start-{_fingerprint(process, tune)}.txt"
    if not path.is_file():
        partial = path.with_name(f"{path.stem}.{os.getpid()}.partial.txt")
        generator.start(process, 1, partial, tune)
        partial.replace(path)
    return path
