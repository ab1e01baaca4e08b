"""Independent pieces of work in several processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def each(function: Callable[[Item], Result], items: Sequence[Item], workers: int = 1) -> Iterator[Result]:
    """What a function returns for each item, in their order; the first error of any is raised.

    With several workers function, items and results travel between processes, which have one thread each.
    """
    if workers == 1 or len(items) < 2:
        yield from map(function, items)
        return
    from loky import ProcessPoolExecutor

    with ProcessPoolExecutor(min(workers, len(items)), env=ONE_THREAD) as pool:
        yield from pool.map(function, items)
