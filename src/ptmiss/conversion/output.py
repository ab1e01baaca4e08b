"""Converted events as event files: the branches of ``ptmiss simulate --elements``, and those of the beams."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from ptmiss.conversion.contents import Contents
from ptmiss.elements import COLLECTION, TARGETS
from ptmiss.errors import FileError
from ptmiss.events import BEAMS
from ptmiss.simulation.output import SIMULATION, make_tree

MANIFEST = "conversion"
CANDIDATES = "PFCands"


def branches(found: Contents, first: int) -> dict[str, ak.Array]:
    """Events, (events,) each; first: number of the first one."""
    n = len(found)
    ones = np.ones(n, np.int32)
    candidates = {("d0" if name == "dxy" else name): c for name, c in found.candidates.columns.items()}
    jets = {name: getattr(found.jets, name).astype(np.float32) for name in ("pt", "eta", "phi", "mass")}
    scalars = {
        "run": SIMULATION * ones.astype(np.uint32),
        "luminosityBlock": ones.astype(np.uint32),
        "event": np.arange(first + 1, first + n + 1, dtype=np.uint64),
        "genWeight": ones.astype(np.float32),
        "PV_npvs": ones,
        "PV_npvsGood": ones,
        "GenMET_pt": np.hypot(*found.neutrinos.T).astype(np.float32),
        "GenMET_phi": np.arctan2(*found.neutrinos.T[::-1]).astype(np.float32),
        f"{BEAMS}_px": found.beams[:, 0].astype(np.float32),
        f"{BEAMS}_crossingAngle": found.beams[:, 1].astype(np.float32),
    }
    return {name: ak.Array(column) for name, column in scalars.items()} | {
        CANDIDATES: collection(candidates, np.diff(found.candidates.offsets)),
        "GenJet": collection(jets, found.jets.counts),
        COLLECTION: collection(found.elements.columns, np.diff(found.elements.offsets)),
        TARGETS: collection(found.targets.columns, np.diff(found.targets.offsets)),
    }


def collection(columns: Mapping[str, Any], counts: Any) -> ak.Array:
    """Flat columns (rows,) as records, (events, var)."""
    return ak.unflatten(ak.zip(dict(columns)), counts)


def write(parts: Iterable[Contents], path: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Write events as ``Events`` and their number as ``Runs``, with a manifest; returns the manifest with the sums."""
    sums: dict[str, Any] = {"events": 0, "elements": 0, "candidates": 0, "targets_energy": 0.0, "lost_energy": 0.0}
    with uproot.recreate(path, compression=uproot.ZSTD(5)) as file:
        tree = None
        for found in parts:
            arrays = branches(found, sums["events"])
            tree = tree or make_tree(file, arrays, "ttree", "Events")
            tree.extend(arrays)
            add(sums, found)
        if not sums["events"]:
            raise FileError(f"{', '.join(about['files'])}: no events")
        n = sums["events"]
        runs = {"run": [SIMULATION], "genEventCount": [n], "genEventSumw": [float(n)], "genEventSumw2": [float(n)]}
        of_runs = {name: ak.Array(np.asarray(column)) for name, column in runs.items()}
        make_tree(file, of_runs, "ttree", "Runs").extend(of_runs)
        made = about | {name: value if isinstance(value, int) else round(value, 3) for name, value in sums.items()}
        file[MANIFEST] = json.dumps(made)
    return made


def add(sums: dict[str, Any], found: Contents) -> None:
    """Count some more events."""
    sums["events"] += len(found)
    sums["elements"] += int(found.elements.offsets[-1])
    sums["candidates"] += int(found.candidates.offsets[-1])
    sums["targets_energy"] += float(found.targets["energy"].sum(dtype=np.float64))
    sums["lost_energy"] += float(found.lost.sum())
    sums["crossing_angle"] = float(found.beams[-1, 1])
