"""Independent pieces of work in several processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Environment variables with the number of threads of libraries."""


def threads(number: int = 1) -> dict[str, str]:
    """The environment of a process whose libraries use so many threads."""
    return dict.fromkeys(THREADS, str(number))


def share(workers: int) -> int:
    """A worker's share of the cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) // workers)


def each(function: Callable[[Item], Result], items: Sequence[Item], workers: int = 1) -> Iterator[Result]:
    """What a function returns for each item, in their order; the first error of any is raised.

    With several workers function, items and results travel between processes, which have one thread each.
    """
    if workers == 1 or len(items) < 2:
        yield from map(function, items)
        return
    from loky import ProcessPoolExecutor

    with ProcessPoolExecutor(min(workers, len(items)), env=threads()) as pool:
        yield from pool.map(function, items)
