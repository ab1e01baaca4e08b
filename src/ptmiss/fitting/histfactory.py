"""Regions as HistFactory workspaces in JSON, for pyhf and cabinetry (ATL-PHYS-PUB-2019-029)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ptmiss.fitting.templates import Process, Region
from ptmiss.systematics import DOWN, UP

STRENGTH = "mu"


def workspace(region: Region, norms: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The workspace of one region.

    ``mu`` scales the signal. Each systematic is a ``histosys``, and the statistics of the simulation a ``staterror``.
    norms: log-normal factors by nuisance and process, each a ``normsys``.
    """
    samples = [
        {
            "name": name,
            "data": each.nominal.values.tolist(),
            "modifiers": [*modifiers(region, each), *normsys(name, norms)],
        }
        for name, each in region.processes.items()
    ]
    parameters = [{"name": STRENGTH, "bounds": [[0.0, 10.0]], "inits": [1.0]}]
    return {
        "channels": [{"name": region.name, "samples": samples}],
        "observations": [{"name": region.name, "data": region.data.tolist()}],
        "measurements": [{"name": "fit", "config": {"poi": STRENGTH, "parameters": parameters}}],
        "version": "1.0.0",
    }


def modifiers(region: Region, process: Process) -> list[dict[str, Any]]:
    """The modifiers of a process: strength of a signal, statistics of the simulation, shapes of the systematics."""
    out: list[dict[str, Any]] = [{"name": STRENGTH, "type": "normfactor", "data": None}] if process.signal else []
    errors = np.sqrt(process.nominal.variances).tolist()
    out.append({"name": f"staterror_{region.name}", "type": "staterror", "data": errors})
    for name in process.systematics:
        sides = {"hi_data": f"{name}{UP}", "lo_data": f"{name}{DOWN}"}
        shapes = {key: process.variations[side].values.tolist() for key, side in sides.items()}
        out.append({"name": name, "type": "histosys", "data": shapes})
    return out


def normsys(process: str, norms: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """The log-normal uncertainties of a process as modifiers."""
    return [
        {"name": name, "type": "normsys", "data": {"hi": of[process], "lo": 1 / of[process]}}
        for name, of in norms.items()
        if process in of
    ]
