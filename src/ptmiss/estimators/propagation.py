"""What corrected momenta of the selected leptons change in pTmiss.

pTmiss loses what the leptons gain: ``pTmiss - sum of (corrected - file's)``. So the recoil, ``-(V + pTmiss)``, does not
change as a vector, only the boson that it is measured against.
"""

from __future__ import annotations

from dataclasses import replace

import awkward as ak
import numpy as np

from ptmiss.leptons import SHIFT
from ptmiss.recoil import transverse_sum
from ptmiss.typing import Vector

from .evaluation import MetResult

PHOTON = 22


def bare(objects: ak.Array) -> ak.Array:
    """The selected objects without the photons that were added to them: in the directions of their candidates."""
    if "bare_pt" not in objects.fields:
        return objects
    own = {name: objects[f"bare_{name}"] for name in ("pt", "eta", "phi")}
    return ak.zip({**{name: objects[name] for name in objects.fields}, **own})


def radiation(objects: ak.Array) -> ak.Array | None:
    """(events, var) photons that were added to the selected objects, with pt, eta, phi, pdgId; None if none could."""
    if "photon_pt" not in objects.fields:
        return None
    photons = {name: objects[f"photon_{name}"] for name in ("pt", "eta", "phi")}
    return ak.zip({**photons, "pdgId": objects["index"] * 0 + PHOTON})[objects.photon_pt > 0]


def systematics(objects: ak.Array) -> list[str]:
    """Names of the variations of their momenta: ``muon_scale_up`` and so on."""
    return [name.removeprefix(f"{SHIFT}_") for name in objects.fields if name.startswith(f"{SHIFT}_")]


def change(objects: ak.Array, systematic: str = "") -> Vector:
    """(events, 2) by how much a variation changes the sum of the objects, GeV; the correction itself if empty."""
    field = f"{SHIFT}_{systematic}" if systematic else SHIFT
    if field not in objects.fields:
        return np.zeros((len(objects), 2))
    phi = objects.bare_phi if "bare_phi" in objects.fields else objects.phi
    return transverse_sum(ak.zip({"pt": objects[field], "phi": phi}))


def propagate(result: MetResult, objects: ak.Array) -> MetResult:
    """pTmiss of all estimators with the corrected momenta of the selected objects, and with their variations."""
    if SHIFT not in objects.fields:
        return result
    corrected = change(objects)
    met = {name: vector - corrected for name, vector in result.met.items()}
    own = {
        name: {systematic: vector - corrected for systematic, vector in varied.items()}
        for name, varied in result.varied.items()
    }
    shifts = {systematic: change(objects, systematic) for systematic in systematics(objects)}
    varied = {
        name: {**own.get(name, {}), **{systematic: met[name] - shift for systematic, shift in shifts.items()}}
        for name in met
    }
    return replace(result, met=met, varied={name: each for name, each in varied.items() if each})
