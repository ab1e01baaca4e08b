"""The time of a step of a network, as a row of a profile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

WHOLE = "whole"
Step = Callable[[], Any]


def measured(name: str, n: int, step: Step, repeats: int, operations: int, threads: int = 1) -> dict[str, Any]:
    """A row of the table: the best time of some, and how far the median is from it."""
    made, times = step(), []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    best = min(times)
    timed = {"seconds": best, "seconds_error": float(np.median(times)) - best}
    size = int(getattr(made, "nbytes", 0))
    return {"layer": name, "number": n, "threads": threads, **timed, "operations": int(operations), "bytes": size}
