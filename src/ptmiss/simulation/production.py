"""Productions: blocks in worker processes, a side directory that survives an interruption, one finished file.

A job is cut into blocks of a fixed size, each with its own child of the seed, so that the file's content does not depend on the
number of workers. Finished blocks lie in ``<output>.parts`` until the file is whole; the same job started again goes on there,
another job starts afresh. The pile-up library and Pythia's start files are made once and cached.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np

from ptmiss.errors import FileError, OptionError
from ptmiss.simulation import events, generator, output, parameters, pileup
from ptmiss.simulation.generator import MINIMUM_BIAS, Process
from ptmiss.simulation.parameters import Profile
from ptmiss.simulation.particles import Library, join

BLOCK_SIZE = 250
LIBRARY_SIZE = 20_000
LIBRARY_BLOCK = 1000
_LIBRARY_SEED = 20_260_000
_STREAM = {"mc": 0, "data": 1}

Result = TypeVar("Result")
Progress = Callable[[str, int, int], None]
"""Called with what is being made, the number of events done and of all events."""


@dataclass(frozen=True)
class Production:
    """What was made: the file, its events, how many of them an earlier run had left behind, and the seconds it took."""

    path: Path
    events: int
    resumed: int
    seconds: float


@dataclass(frozen=True)
class Job:
    """Everything that decides the content of a file; ``elements`` is the number of events with elements and targets."""

    process: str
    n: int
    seed: int
    profile: Profile
    elements: int
    library: Path

    def blocks(self) -> list[events.Block]:
        """The blocks, each with its own seed; simulation and pseudo-data never share one."""
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
        """As JSON, to recognise the job and to store beside the events; of the library only the file's name."""
        return json.dumps(
            {**dataclasses.asdict(self), "block_size": BLOCK_SIZE}, default=lambda path: path.name, sort_keys=True
        )


def simulate(
    process: str,
    n: int,
    seed: int,
    output_path: Path | str,
    *,
    profile: str = "mc",
    pileup_mean: float | None = None,
    pileup_spread: float | None = None,
    overrides: dict[str, float] | None = None,
    elements: bool | int = False,
    workers: int = 1,
    file_format: str = "ttree",
    library: Path | str | None = None,
    progress: Progress | None = None,
) -> Production:
    """Simulate ``n`` events of a process into a NanoAOD-style file.

    ``elements`` True, or the number of first events, adds PF elements and their targets. ``overrides`` replaces parameters of the
    detector and the beam by name. ``library`` is a pile-up library to use instead of the cached one.
    """
    began = time.monotonic()
    path = Path(output_path)
    changes = dict(overrides or {})
    changes |= {k: v for k, v in (("pileup_mean", pileup_mean), ("pileup_spread", pileup_spread)) if v is not None}
    chosen = parameters.profile(profile, **changes)
    _check(process, n, seed, workers, file_format, path)
    library_path = Path(library) if library else pileup_library(chosen.name, workers, progress=progress)
    with_elements = n if elements is True else min(int(elements), n)
    job = Job(process, n, seed, chosen, with_elements, library_path)
    parts = path.with_name(f"{path.name}.parts")
    try:
        resumed = _prepare(parts, job)
        _run(job, parts, workers, progress)
        names = [_part(parts, block) for block in job.blocks()]
        output.write(names, path, file_format, {"simulation": job.describe()})
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}; what is done stays in {parts}") from None
    shutil.rmtree(parts)
    return Production(path, n, resumed, time.monotonic() - began)


def _check(process: str, n: int, seed: int, workers: int, file_format: str, path: Path) -> None:
    generator.process(process)
    if n < 1:
        raise OptionError(f"cannot simulate {n} events; n has to be 1 or more")
    if seed < 0:
        raise OptionError(f"the seed is {seed}; it has to be 0 or more")
    if workers < 1:
        raise OptionError(f"cannot work with {workers} workers; it has to be 1 or more")
    if file_format not in output.FORMATS:
        raise OptionError(f"unknown file format {file_format!r}; known: {', '.join(output.FORMATS)}")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise FileError(f"cannot write {path}: its directory does not exist or is not writable")


def _part(parts: Path, block: events.Block) -> Path:
    return parts / f"block-{block.number:05d}.parquet"


def _prepare(parts: Path, job: Job) -> int:
    """Make or keep the side directory; returns the number of events that are already there."""
    card = parts / "job.json"
    if parts.exists() and not (card.is_file() and card.read_text() == job.describe()):
        shutil.rmtree(parts)
    parts.mkdir(exist_ok=True)
    card.write_text(job.describe())
    return sum(block.n for block in job.blocks() if _part(parts, block).is_file())


def _run(job: Job, parts: Path, workers: int, progress: Progress | None) -> None:
    """Simulate the blocks that are missing."""
    missing = [block for block in job.blocks() if not _part(parts, block).is_file()]
    done = job.n - sum(block.n for block in missing)
    start_file = _start_file(generator.process(job.process)) if missing else None
    for block in _in_workers(_simulate, [(job, block, parts, start_file) for block in missing], workers):
        done += block.n
        if progress:
            progress(job.process, done, job.n)


def _simulate(job: Job, block: events.Block, parts: Path, start_file: Path | None) -> events.Block:
    library = _loaded(job.library)
    columns = events.simulate_block(block, job.process, job.profile, library, start_file, job.elements > 0)
    output.save_block(columns, _part(parts, block))
    return block


_loaded = lru_cache(maxsize=1)(pileup.load)


def _in_workers(function: Callable[..., Result], arguments: list[tuple], workers: int) -> Iterator[Result]:
    """Results as they come, from this process or from several."""
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
    """Where pile-up libraries and start files are kept: ``$XDG_CACHE_HOME/ptmiss`` or ``~/.cache/ptmiss``."""
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


def _fingerprint(process: Process) -> str:
    """Short hash of Pythia's version and of a process's settings."""
    text = "\n".join([generator.VERSION, *generator.COMMON, *process.settings])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _start_file(process: Process) -> Path | None:
    """Pythia's initialisation file of a process, made with a fixed seed if it is missing."""
    if process.gun:
        return None
    path = cache_directory() / f"start-{_fingerprint(process)}.txt"
    if not path.is_file():
        partial = path.with_name(f"{path.stem}.{os.getpid()}.partial.txt")
        generator.start(process, 1, partial)
        partial.replace(path)
    return path
