"""Files with little more than event numbers, weights and ``Runs``, in the spellings of NanoAOD."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import uproot


def write_nano(
    path: Path,
    weights=None,
    runs=None,
    *,
    run=1,
    lumi=1,
    first=1,
    events=None,
    spelling="",
    sums="Runs",
    sections=(),
    **more,
) -> str:
    """Write events of these generator weights; None makes data, of so many ``events``.

    runs: count and sum of weights of each entry of the tree ``sums``; first: number of the first event; sections: of
    the tree ``LuminosityBlocks``; more: branches.
    """
    n = len(weights) if weights is not None else events
    branches = {
        "run": np.full(n, run, np.uint32),
        "luminosityBlock": np.full(n, lumi, np.uint32),
        "event": np.arange(first, first + n, dtype=np.uint64),
        **more,
    }
    if weights is not None:
        branches["genWeight"] = np.asarray(weights, np.float32)
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: values.dtype for name, values in branches.items()})
        file["Events"].extend(branches)
        if runs is not None:
            counts, sumws = np.array(runs, np.float64).reshape(-1, 2).T
            names = {f"genEventCount{spelling}": counts.astype(np.int64), f"genEventSumw{spelling}": sumws}
            tree = {"run": np.full(len(counts), run, np.uint32), **(names if weights is not None else {})}
            file.mktree(sums, {name: values.dtype for name, values in tree.items()})
            file[sums].extend(tree)
        if len(sections):
            listed = {"run": np.full(len(sections), run, np.uint32), "luminosityBlock": np.array(sections, np.uint32)}
            file.mktree("LuminosityBlocks", {name: values.dtype for name, values in listed.items()})
            file["LuminosityBlocks"].extend(listed)
    return str(path)
