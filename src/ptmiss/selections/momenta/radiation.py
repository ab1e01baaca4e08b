"""Photons that muons radiate in the final state, as NanoAOD finds them, added to the muons."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from .schema import Fsr

COLLECTION, INDEX = "FsrPhoton", "fsrPhotonIdx"
COLUMNS = ("pt", "eta", "phi", "relIso03", "dROverEt2", "muonIdx")
BRANCHES = (f"Muon_{INDEX}", *(f"{COLLECTION}_{name}" for name in COLUMNS))


def recovered(muons: ak.Array, events: Any, cuts: Fsr) -> ak.Array:
    """Muons with the momentum of their photon added, and that photon as ``photon_pt`` (0 for none) and so on.

    muons: jagged records with ``index``, their place in the collection. A photon counts for the muon that it names. The
    muon without it stays as ``bare_pt``, ``bare_eta`` and ``bare_phi``.
    """
    photons = events[COLLECTION]
    index = muons[INDEX]
    there = (index >= 0) & (index < ak.num(photons.pt))
    photon = {name: photons[name][ak.mask(index, there)] for name in COLUMNS}
    good = (photon["relIso03"] < cuts.isolation_maximum) & (photon["dROverEt2"] < cuts.distance_maximum)
    good = ak.fill_none(good & (photon["muonIdx"] == muons["index"]), False)
    kept = {name: ak.where(good, ak.fill_none(photon[name], 0.0), 0.0) for name in ("pt", "eta", "phi")}
    bare = {f"bare_{name}": muons[name] for name in ("pt", "eta", "phi")}
    photon = {f"photon_{name}": kept[name] for name in kept}
    return ak.zip({**{name: muons[name] for name in muons.fields}, **bare, **photon, **_sum(muons, kept)})


def _sum(muons: ak.Array, photon: dict[str, ak.Array]) -> dict[str, ak.Array]:
    """pt, eta, phi and mass of muons and photons together; those of a muon alone stay as they are."""
    mass = ak.values_astype(muons.mass, np.float64)
    parts = [_components(muons.pt, muons.eta, muons.phi), _components(photon["pt"], photon["eta"], photon["phi"])]
    px, py, pz = (one + other for one, other in zip(*parts, strict=True))
    energies = [np.sqrt(x**2 + y**2 + z**2 + m**2) for (x, y, z), m in zip(parts, (mass, 0.0), strict=True)]
    pt = np.sqrt(px**2 + py**2)
    square = (energies[0] + energies[1]) ** 2 - px**2 - py**2 - pz**2
    both = {"pt": pt, "eta": np.arcsinh(pz / pt), "phi": np.arctan2(py, px), "mass": np.sqrt(np.maximum(square, 0))}
    return {name: ak.where(photon["pt"] > 0, value, muons[name]) for name, value in both.items()}


def _components(pt: ak.Array, eta: ak.Array, phi: ak.Array) -> tuple[ak.Array, ak.Array, ak.Array]:
    pt = ak.values_astype(pt, np.float64)
    return pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
