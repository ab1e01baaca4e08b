"""Identification of jets, and events that a jet veto map takes.

The POG's files are read by name with ptmiss.corrections.lookups. A veto map takes an event with a jet in a region of
the detector that was hot or cold: pT > 15 GeV, tight identification, less than 0.9 of its energy electromagnetic, and
no PF muon within 0.2, as JetMET recommends. The jets' energies are those of the file, which NanoAOD corrects.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.angles import delta_r
from ptmiss.corrections import lookups
from ptmiss.errors import ColumnError

from .schema import Jets, Selection, VetoMap

JET_ID = "jetId"
POINTS = {2: "Tight", 4: "TightLeptonVeto"}  # bits of Jet_jetId
MULTIPLICITIES = ("chMultiplicity", "neMultiplicity")
COLUMNS = ("eta", "chHEF", "neHEF", "chEmEF", "neEmEF", "muEF", *MULTIPLICITIES)
VETO_COLUMNS = ("Jet_pt", "Jet_eta", "Jet_phi", "Jet_chEmEF", "Jet_neEmEF", "Muon_eta", "Muon_phi")
VETO_PT, VETO_EM, VETO_MUON_DR = 15.0, 0.9, 0.2  # GeV, fraction, rad
TIGHT = 2
LARGEST_PHI = 3.1415926  # a float32 may be just beyond pi, where the maps end


def jet_ids(jets: ak.Array, cuts: Jets) -> ak.Array:
    """Jagged ``Jet_jetId``, of the file, or as the POG's file gives it: 2 for tight, and 4 for no lepton."""
    if JET_ID in jets.fields:
        return jets[JET_ID]
    flat = {name: ak.to_numpy(ak.flatten(jets[name])) for name in COLUMNS}
    flat["multiplicity"] = sum(flat[name].astype(np.int64) for name in MULTIPLICITIES)
    file = lookups.load(cuts.identification_file)
    passed = {bit: file[f"{cuts.algorithm}_{point}"](flat, clamp=True) > 0 for bit, point in POINTS.items()}
    return ak.unflatten(np.sum([bit * mask for bit, mask in passed.items()], axis=0, dtype=np.uint8), ak.num(jets.pt))


def in_veto_map(events: Any, selection: Selection, where: VetoMap) -> NDArray[np.bool_]:
    """(events,) those with a jet in the veto map."""
    jets, muons = events.Jet, events.Muon
    tight = (jet_ids(jets, selection.jets) & TIGHT) > 0
    good = (jets.pt > VETO_PT) & tight & (jets.chEmEF + jets.neEmEF < VETO_EM)
    jets = ak.zip({name: jets[name][good] for name in ("eta", "phi")})
    pf = muons.isPFcand if "isPFcand" in muons.fields else ak.ones_like(muons.pt, dtype=bool)
    jet, muon = ak.unzip(ak.cartesian([jets, ak.zip({n: muons[n][pf] for n in ("eta", "phi")})], nested=True))
    jets = jets[~ak.any(delta_r(jet, muon) < VETO_MUON_DR, axis=-1)]
    eta, phi = (ak.to_numpy(ak.flatten(column)) for column in (jets.eta, jets.phi))
    given = {"type": where.type, "eta": eta, "phi": np.clip(phi, -LARGEST_PHI, LARGEST_PHI)}
    hit = lookups.load(where.file)[where.name](given, clamp=True) != 0
    return ak.to_numpy(ak.any(ak.unflatten(hit, ak.num(jets.eta)), axis=-1))


def require(selection: Selection, there: Collection[str], path: str) -> None:
    """Raise an error if jets of a file cannot be identified, or a file of the POG lacks what the selection names."""
    where = selection.quality.veto_map
    if where:
        lookups.load(where.file)[where.name].require({"type": where.type})
        _require_columns(VETO_COLUMNS, there, path, "the jet veto map")
    if selection.jets.identification or where:
        _require_identification(selection.jets, there, path)


def _require_identification(cuts: Jets, there: Collection[str], path: str) -> None:
    if f"Jet_{JET_ID}" in there:
        return
    if not cuts.identification_file:
        raise ColumnError(
            f"{path} has no Jet_{JET_ID}: expected jets.identification_file in the selection, the POG's file of it"
        )
    _require_columns([f"Jet_{name}" for name in COLUMNS], there, path, cuts.identification_file)
    file = lookups.load(cuts.identification_file)
    for point in POINTS.values():
        file[f"{cuts.algorithm}_{point}"].require({})


def _require_columns(names: Collection[str], there: Collection[str], path: str, needed: str) -> None:
    for name in names:
        if name not in there:
            raise ColumnError(f"{needed} needs branch {name}, which {path} does not have")
