"""Where a network spends its time: each layer against the number of candidates or elements, and the whole by threads.

Layers are timed one by one, those of a DeepMET in numpy, those of an MLPF in torch; ``whole`` is the network as it
runs, which joins layers. Times are the best of some repetitions, with the spread to the median as
their error. Operations are multiplications and additions of matrices; memory is that of a layer's output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptmiss import candidates as pf_candidates
from ptmiss import plots, results, sample, tables
from ptmiss.candidates import CATEGORIES
from ptmiss.errors import OptionError, needs_torch
from ptmiss.events import inspect
from ptmiss.explanation.timing import WHOLE, Step, measured
from ptmiss.files import AnyPath, as_path
from ptmiss.files.provenance import provenance
from ptmiss.networks.deepmet import DeepMET, contributions, thread_pools
from ptmiss.networks.features import FEATURES
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.registry import Model, load_weights, makes_met
from ptmiss.segments import sum_by_event

SIZES = (100, 300, 1000, 3000, 10000)
REPEATS = 7


@dataclass(frozen=True)
class Profile:
    """A profile of a model.

    table: a row for each layer, number and threads: ``seconds`` and its error, ``operations``, ``bytes``. what: what is
    counted, ``candidates`` or ``elements``.
    """

    model: str
    what: str
    table: pd.DataFrame


def profile(
    model: AnyPath,
    output: AnyPath | None = None,
    *,
    sizes: Sequence[int] = SIZES,
    threads: Sequence[int] = (1,),
    repeats: int = REPEATS,
    formats: Sequence[str] = ("png",),
    label: str = "",
) -> Profile:
    """Profile a model by name, file or folder, and write tables and a figure into a directory, if there is one.

    sizes: numbers of candidates or elements of an event; threads: of torch, in which an MLPF runs.
    """
    if min((*sizes, *threads, repeats)) < 1:
        raise OptionError("expected positive numbers of candidates, threads and repetitions")
    weights = load_weights(model)
    found = (
        of_candidates(weights, sizes, repeats) if makes_met(weights) else of_elements(model, sizes, threads, repeats)
    )
    made = Profile(weights.name, "candidates" if makes_met(weights) else "elements", found)
    if output is not None:
        with results.replacing_directory(as_path(output)) as temporary:
            found.to_csv(temporary / "profile.csv", index=False, float_format="%.6g")
            plots.save(draw(made, label), temporary / "profile", formats)
            (temporary / results.MANIFEST).write_text(results.as_json(provenance(model=weights.name, repeats=repeats)))
    return made


def of_candidates(model: Model, sizes: Sequence[int], repeats: int) -> pd.DataFrame:
    """The table of a network that weighs candidates."""
    rows = []
    with thread_pools().limit(limits=1, user_api="blas"):
        for n in sizes:
            rows += of_number(model, embedded(n, model.latents), n, repeats)
    return pd.DataFrame(rows)


def of_number(model: Model, inputs: Inputs, n: int, repeats: int) -> list[dict[str, Any]]:
    """The rows of one event, the whole last."""
    steps = layers(model, inputs) if isinstance(model, DeepMET) else iter(())
    rows = [measured(name, n, step, repeats, operations) for name, step, operations in steps]
    whole = sum(row["operations"] for row in rows)
    return [*rows, measured(WHOLE, n, partial(model.evaluate, inputs), repeats, whole)]


def embedded(n: int, latents: int = 0) -> Inputs:
    """So many candidates of the embedded Z → μμ as one event, repeated where there are too few; latents are zero."""
    events = inspect(str(sample.events("zmumu"))).events(0, 10)
    inputs = Inputs.from_candidates(pf_candidates.read(events, ("phi", *FEATURES[:6], *CATEGORIES)))
    rows = np.arange(n) % len(inputs.rows)
    return Inputs(inputs.features[rows], inputs.rows[rows], np.asarray([0, n]), np.zeros((n, latents), np.float16))


def layers(model: DeepMET, inputs: Inputs) -> Iterator[tuple[str, Step, int]]:
    """Name, work and operations of each layer, in the order in which data go through them."""
    kernel, table = model.first_kernel, model.category_table
    n = len(inputs.rows)
    yield "features, dense 1", lambda: inputs.features @ kernel, 2 * n * kernel.size
    yield "categories", lambda: table[inputs.rows], 0
    x = inputs.features @ kernel + table[inputs.rows]
    for number, (matrix, bias) in enumerate(model.layers[1:], start=1):
        yield f"tanh {number}", partial(np.tanh, x), 0
        hidden = np.tanh(x)
        yield f"dense {number + 1}", partial(dense, hidden, matrix, bias), 2 * n * matrix.size
        x = dense(hidden, matrix, bias)
    yield "sums", partial(add, x, inputs), 8 * n


def dense(x: NDArray, matrix: NDArray, bias: NDArray) -> NDArray:
    """(n, outputs) a linear map."""
    return x @ matrix + bias


def add(outputs: NDArray, inputs: Inputs) -> NDArray:
    """(events, 4) the sums of an event."""
    return sum_by_event(contributions(outputs, inputs.features[:, 6:8]), inputs.offsets)


def of_elements(model: AnyPath, sizes: Sequence[int], threads: Sequence[int], repeats: int) -> pd.DataFrame:
    """The table of an MLPF."""
    with needs_torch("profiling an MLPF"):
        from ptmiss.models.mlpf import profiles

    return profiles.measure(model, sizes, threads, repeats)


def draw(found: Profile, label: str = "") -> Figure:
    """Time of each layer against the number, and its share of all layers; the whole as points."""
    table = found.table[found.table["threads"] == found.table["threads"].min()]
    parts = table[table["layer"] != WHOLE].pivot(index="number", columns="layer", values="seconds")
    parts = parts[[name for name in table["layer"].unique() if name != WHOLE]]
    with mpl.rc_context(plots.STYLE):
        figure = Figure(figsize=(24, 9), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_layers(left, right, parts)
        draw_whole(left, found.table[found.table["layer"] == WHOLE])
        left.set(xscale="log", yscale="log", xlabel=f"Number of {found.what}", ylabel="Time (ms)")
        right.set(xlabel=f"Number of {found.what}", ylabel="Share of the layers' time", ylim=(0, 1))
        left.legend(fontsize="xx-small", ncols=2, loc="upper left")
        left.set_ylim(top=30 * left.get_ylim()[1])
        plots.mark(left, label)
    return figure


def draw_layers(left: Axes, right: Axes, parts: pd.DataFrame) -> None:
    """Times of the layers, a column each, as lines, and their shares as stacked bars."""
    colours, below = mpl.colormaps["tab20"].colors, np.zeros(len(parts))  # type: ignore[attr-defined]
    for (name, seconds), colour in zip(parts.items(), colours * 3, strict=False):
        share = (seconds / parts.sum(axis=1)).to_numpy()
        left.plot(parts.index, 1e3 * seconds, color=colour, lw=3, label=str(name))
        right.bar([f"{n}" for n in parts.index], share, bottom=below, color=colour, width=0.8, label=str(name))
        below = below + share


def draw_whole(axes: Axes, table: pd.DataFrame) -> None:
    """Times of the whole network, by threads."""
    for count, rows in table.groupby("threads"):
        many = int(str(count)) > 1
        style: dict[str, Any] = {"fmt": "o--", "ms": 9, "lw": 2, "color": f"{0.4 * many}"}
        label = f"whole, {count} thread{'s' * many}"
        axes.errorbar(rows["number"], 1e3 * rows["seconds"], 1e3 * rows["seconds_error"], label=label, **style)


def show(found: Profile) -> None:
    """Print the time, the operations and the memory of each layer at the largest number, and of the whole at all."""
    largest = found.table[found.table["number"] == found.table["number"].max()]
    lines = [
        [
            row["layer"],
            str(row["threads"]),
            f"{1e3 * row['seconds']:.3g}",
            f"{row['operations'] / 1e6:.3g}",
            f"{row['bytes'] / 1e6:.3g}",
        ]
        for row in largest.to_dict("records")
    ]
    title = f"{found.model}, {int(largest['number'].max())} {found.what}"
    tables.show([title, "threads", "ms", "Mflop", "MB"], lines)
    whole = found.table[found.table["layer"] == WHOLE].to_dict("records")
    numbers = [
        [
            str(row["number"]),
            str(row["threads"]),
            f"{1e3 * row['seconds']:.3g}",
            f"{1e6 * row['seconds'] / row['number']:.3g}",
        ]
        for row in whole
    ]
    tables.show([found.what, "threads", "ms", "µs each"], numbers)
