"""Shifts of a MET by the scale of the electrons, muons and photons that its file keeps, for METs without candidates."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import awkward as ak

from ptmiss.errors import ColumnError
from ptmiss.recoil import transverse_sum
from ptmiss.scales import DEFAULT, Scales
from ptmiss.typing import Vector

COLLECTIONS = {"muons": "Muon", "electrons": "Electron", "photons": "Photon"}
"""Systematics, and the objects that each shifts."""


def require(systematics: Collection[str], branches: Collection[str], estimator: str, path: str) -> None:
    """Raise ColumnError unless a file has the objects of these systematics."""
    for name in (name for name in COLLECTIONS if name in systematics):
        wanted = [f"{COLLECTIONS[name]}_{part}" for part in ("pt", "eta", "phi")]
        if missing := [branch for branch in wanted if branch not in branches]:
            raise ColumnError(
                f"systematic {name!r} of {estimator!r} needs {', '.join(missing)}, which {path} does not have"
            )


def shift(events: Any, systematic: str, scales: Scales = DEFAULT) -> Vector:
    """(events, 2) by how much pTmiss moves where the scale of these objects goes up, GeV.

    A photon that is an electron too is left to the electrons.
    """
    objects = events[COLLECTIONS[systematic]]
    if systematic == "photons" and "electronIdx" in objects.fields:
        objects = objects[objects.electronIdx < 0]
    moved = {"pt": objects.pt * scales.size(systematic, objects.eta), "phi": objects.phi}
    return -transverse_sum(ak.zip(moved))
