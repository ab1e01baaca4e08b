"""The time of each part of an MLPF, by hooks around its modules. See ptmiss.explanation.profiles."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from ptmiss import sample
from ptmiss.elements import Elements
from ptmiss.errors import OptionError
from ptmiss.events import inspect
from ptmiss.explanation.timing import WHOLE, measured
from ptmiss.files import AnyPath
from ptmiss.models.mlpf.inputs import pack
from ptmiss.models.mlpf.reconstruction import load


def measure(model: AnyPath, sizes: Sequence[int], threads: Sequence[int], repeats: int) -> pd.DataFrame:
    """A row for each part of the network, number of elements and threads."""
    network, before = load(model).network.eval(), torch.get_num_threads()
    rows: list[dict[str, Any]] = []
    try:
        for n in sizes:
            elements = embedded(n)
            for count in threads:
                torch.set_num_threads(count)
                rows += of_number(network, elements, n, count, repeats)
    finally:
        torch.set_num_threads(before)
    return pd.DataFrame(rows)


def of_number(network: nn.Module, elements: Elements, n: int, threads: int, repeats: int) -> Iterator[dict[str, Any]]:
    """The rows of one event: inputs, each module, and the whole."""
    schema: Any = network.schema
    with torch.inference_mode():
        packed = pack(elements, schema)
        yield measured("inputs", n, partial(pack, elements, schema), repeats, 0, threads)
        hooked = [Stopwatch(name, module) for name, module in parts(network)]
        whole = measured(WHOLE, n, partial(network, packed), repeats, 0, threads)
        for watch in hooked:
            watch.remove()
            yield watch.row(n, threads)
        yield whole | {"operations": sum(watch.operations for watch in hooked)}


def parts(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules that are timed: those of the network itself, lists of layers one by one."""
    for name, module in network.named_children():
        if isinstance(module, nn.ModuleList):
            yield from ((f"{name} {i + 1}", each) for i, each in enumerate(module))
        else:
            yield name, module


class Stopwatch:
    """Times of a module, and what it computes: multiplications and additions of its linear maps, size of its output."""

    def __init__(self, name: str, module: nn.Module):
        self.name, self.times, self.operations, self.bytes, self._start = name, list[float](), 0, 0, 0.0
        linear = [part for part in module.modules() if isinstance(part, nn.Linear)]
        self._handles = [module.register_forward_pre_hook(self._begin), module.register_forward_hook(self._end)]
        self._handles += [part.register_forward_hook(self._count) for part in linear]

    def _begin(self, *_: Any) -> None:
        self.operations, self._start = 0, time.perf_counter()

    def _end(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        self.times.append(time.perf_counter() - self._start)
        outputs = output if isinstance(output, tuple) else (output,)
        self.bytes = sum(part.nbytes for part in outputs if isinstance(part, torch.Tensor))

    def _count(self, module: nn.Module, inputs: Any, _output: Any) -> None:
        self.operations += 2 * inputs[0].numel() * int(module.out_features)  # type: ignore[arg-type]

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()

    def row(self, n: int, threads: int) -> dict[str, Any]:
        """A row of the table, see ptmiss.explanation.timing.measured."""
        best = min(self.times[1:] or self.times)
        timed = {"seconds": best, "seconds_error": float(np.median(self.times)) - best}
        about = {"layer": self.name, "number": n, "threads": threads}
        return about | timed | {"operations": self.operations, "bytes": self.bytes}


def embedded(n: int) -> Elements:
    """So many elements of the embedded Z → μμ as one event; OptionError if there are fewer."""
    events = inspect(str(sample.events("zmumu"))).events()
    elements = Elements.of_events(events)
    there = int(elements.offsets[-1])
    if there < n:
        raise OptionError(f"{n} elements: the embedded events have {there}")
    return Elements({name: column[:n] for name, column in elements.columns.items()}, np.asarray([0, n]))
