"""Leptons, photons and jets that a selection takes, as functions on columns."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator
from functools import reduce
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.angles import delta_r
from ptmiss.errors import ColumnError
from ptmiss.leptons import SHIFT
from ptmiss.recoil import momentum_sum
from ptmiss.selections.momenta import evaluation as momenta
from ptmiss.selections.momenta import radiation

from .jet_quality import jet_ids
from .schema import ELECTRON, MUON, Jets, LeptonCuts, Photon, Selection, of_events

COLLECTIONS = {MUON: "Muon", ELECTRON: "Electron"}
PDG_ID = {MUON: 13, ELECTRON: 11}
PHOTON, PHOTON_ID = "Photon", 22
LEPTON_BRANCHES = ("pt", "eta", "phi", "mass", "charge")
JET_BRANCHES = ("pt", "eta", "phi")
SUPERCLUSTER, TO_SUPERCLUSTER = "superclusterEta", "deltaEtaSC"


def branches(selection: Selection) -> tuple[str, ...]:
    """Branches that selecting leptons or a photon, and counting jets, needs."""
    return (
        *_boson_branches(selection),
        selection.vertices,
        *(f"{COLLECTIONS[flavour]}_{name}" for flavour, cuts in vetoes(selection) for name in _columns(cuts)),
        *(f"Jet_{name}" for name in JET_BRANCHES),
    )


def _boson_branches(selection: Selection) -> Iterator[str]:
    if photon := selection.photon:
        veto = ("electronVeto",) if photon.electron_veto else ()
        yield from (f"{PHOTON}_{name}" for name in (*_columns(photon), *veto))
    else:
        names = dict.fromkeys((*LEPTON_BRANCHES, *_columns(selection.leptons)))
        yield from (f"{COLLECTIONS[selection.leptons.flavour]}_{name}" for name in names)
        yield from radiation.BRANCHES if selection.leptons.fsr else ()


def _columns(cuts: LeptonCuts | Photon) -> tuple[str, ...]:
    asked = (cuts.identification, cuts.isolation if isinstance(cuts, LeptonCuts) else "")
    return ("pt", "eta", "phi", *(name for name in asked if name))


def vetoes(selection: Selection) -> Iterator[tuple[str, LeptonCuts]]:
    """Flavours of the leptons that an event must not have beside the selected ones, and their cuts."""
    if selection.vetoes.muons:
        yield MUON, selection.vetoes.muons
    if selection.vetoes.electrons:
        yield ELECTRON, selection.vetoes.electrons


def vertex_count(events: Any, selection: Selection) -> NDArray[np.int64]:
    """(events,) number of vertices."""
    return ak.to_numpy(events.PV[selection.vertices.removeprefix("PV_")])


def boson_objects(events: Any, selection: Selection) -> ak.Array:
    """The selected leptons, or the selected photons: what the boson is measured by, and what networks leave out."""
    return good_photons(events, selection) if selection.photon else good_leptons(events, selection)


def good_leptons(events: Any, selection: Selection) -> ak.Array:
    """Leptons that pass the cuts, with the pdgId that their charge gives, hardest first.

    The field ``index`` has the place of each in its collection; ``superclusterEta`` of electrons is the eta of the
    supercluster, or their own where the file does not have it. Momenta are corrected if the selection says so, and have
    photons of final-state radiation added: see ptmiss.selections.momenta.
    """
    cuts = of_events(events, selection).leptons
    leptons = _indexed(events[COLLECTIONS[cuts.flavour]])
    if cuts.flavour == ELECTRON:
        leptons = ak.with_field(leptons, supercluster_eta(leptons), SUPERCLUSTER)
    if cuts.momentum:
        leptons = momenta.corrected(leptons, events, cuts.flavour, cuts.momentum)
    if cuts.leading:
        leptons = leptons[ak.argsort(leptons.pt, ascending=False)][:, :2]
    good = passing(leptons, cuts, COLLECTIONS[cuts.flavour])
    chosen = leptons[good & ak.any(good & (leptons.pt > cuts.leading_pt), axis=-1)]
    optional = {"dz", SUPERCLUSTER, *((radiation.INDEX,) if cuts.fsr else ())}
    more = [name for name in chosen.fields if name in optional or name.startswith(SHIFT)]
    fields = {name: chosen[name] for name in (*LEPTON_BRANCHES, *more, "index")}
    found = ak.zip({**fields, "pdgId": -PDG_ID[cuts.flavour] * chosen.charge})
    return _hardest_first(radiation.recovered(found, events, cuts.fsr) if cuts.fsr else found)


def good_photons(events: Any, selection: Selection) -> ak.Array:
    """Photons that pass the cuts, hardest first, without charge and mass."""
    cuts = selection.photon or Photon()
    photons = _indexed(events[PHOTON])
    good = passing(photons, cuts, PHOTON)
    if cuts.electron_veto:
        good = good & photons.electronVeto
    chosen = photons[good]
    fields = {name: chosen[name] for name in ("pt", "eta", "phi", "index")}
    nothing = ak.zeros_like(chosen.pt)
    return _hardest_first(ak.zip({**fields, "mass": nothing, "pdgId": chosen["index"] * 0 + PHOTON_ID}))


def _indexed(particles: ak.Array) -> ak.Array:
    return ak.with_field(particles, ak.local_index(particles.pt), "index")


def _hardest_first(particles: ak.Array) -> ak.Array:
    return particles[ak.argsort(particles.pt, ascending=False)]


def passing(particles: ak.Array, cuts: LeptonCuts | Photon, collection: str) -> ak.Array:
    """Jagged mask of the leptons or photons in acceptance, identified, and isolated."""
    good = (particles.pt > cuts.pt) & (np.abs(particles.eta) < cuts.eta)
    for low, high in cuts.gaps:
        there = np.abs(supercluster_eta(particles))
        good = good & ~((there > low) & (there < high))
    if cuts.identification:
        name = f"{collection}_{cuts.identification}"
        good = good & identified(particles[cuts.identification], name, cuts.identification_minimum)
    if isinstance(cuts, LeptonCuts) and cuts.isolation:
        good = good & (particles[cuts.isolation] < cuts.isolation_maximum)
    return good


def supercluster_eta(particles: ak.Array) -> ak.Array:
    """Jagged eta of the supercluster of electrons or photons, or their own where a file does not have it."""
    if SUPERCLUSTER in particles.fields:
        return particles[SUPERCLUSTER]
    return particles.eta + particles[TO_SUPERCLUSTER] if TO_SUPERCLUSTER in particles.fields else particles.eta


def identified(flag: ak.Array, name: str, minimum: int = 1) -> ak.Array:
    """A flag of identification as a mask; a working point stored as an integer (``Muon_highPtId``) has a minimum."""
    values = ak.to_numpy(ak.flatten(flag, axis=None))
    if values.dtype.kind not in "biu" and len(values):
        raise ColumnError(
            f"{name} holds {values.dtype}, expected a flag or an integer that is {minimum} or more where it passes"
        )
    return flag if values.dtype.kind == "b" else flag >= minimum


def others(events: Any, selected: ak.Array, selection: Selection) -> NDArray[np.bool_]:
    """(events,) those with a lepton of the vetoes that is not a selected one."""
    found = np.zeros(len(events), bool)
    own = None if selection.photon else selection.leptons.flavour
    for flavour, cuts in vetoes(selection):
        leptons = _indexed(events[COLLECTIONS[flavour]])
        loose = leptons["index"][passing(leptons, cuts, COLLECTIONS[flavour])]
        if flavour == own:
            one, other = ak.unzip(ak.cartesian([loose, selected["index"]], nested=True))
            loose = loose[~ak.any(one == other, axis=-1)]
        found |= ak.to_numpy(ak.num(loose) > 0)
    return found


def invariant_mass(particles: ak.Array) -> NDArray[np.float64]:
    """(events,) mass of the sum of each event's particles, GeV; 0 where there are none."""
    e, x, y, z = momentum_sum(particles)
    return np.sqrt(np.maximum(e**2 - x**2 - y**2 - z**2, 0))


def opposite_pair(leptons: ak.Array) -> NDArray[np.bool_]:
    """Events with exactly two leptons, of opposite charge."""
    return ak.to_numpy((ak.num(leptons) == 2) & (ak.prod(leptons.charge, axis=-1) < 0))


def good_jets(jets: ak.Array, leptons: ak.Array, selection: Selection) -> ak.Array:
    """Jets in acceptance and of an accepted identification, with no selected lepton or photon near."""
    cuts = selection.jets
    good = in_acceptance(jets, cuts) & identified_jets(jets, cuts)
    jet, lepton = ak.unzip(ak.cartesian([ak.zip({"eta": jets.eta, "phi": jets.phi}), leptons], nested=True))
    return jets[good & ~ak.any(delta_r(jet, lepton) < cuts.lepton_dr, axis=-1)]


def in_acceptance(jets: ak.Array, cuts: Jets) -> ak.Array:
    """Jagged mask of the jets that the cuts on pT and eta leave."""
    return (jets.pt > cuts.pt) & (np.abs(jets.eta) < cuts.eta)


def identified_jets(jets: ak.Array, cuts: Jets) -> ak.Array:
    """Jagged mask of the jets of an accepted identification; all if none is named."""
    if not cuts.identification:
        return ak.ones_like(jets.pt, dtype=bool)
    return accepted(jet_ids(jets, cuts), cuts.identification)


def accepted(identification: ak.Array, values: Collection[int]) -> ak.Array:
    """Mask of jets whose Jet_jetId is one of these values; ColumnError if it holds no integers."""
    kind = ak.to_numpy(ak.flatten(identification, axis=None)).dtype
    if kind.kind not in "iu" and ak.count(identification):
        raise ColumnError(f"Jet_jetId holds {kind}, expected integers, of which {', '.join(map(str, values))} pass")
    return reduce(operator.or_, (identification == value for value in values))


def b_tagged(jets: ak.Array, selection: Selection) -> NDArray[np.bool_]:
    """Events with a jet above the working point of the first tagger that the file has; none without one."""
    points = selection.btag.taggers
    tagger = next((name for name in points if name in jets.fields), None)
    if tagger is None:
        return np.zeros(len(jets), bool)
    tagged = (jets[tagger] > points[tagger]) & (np.abs(jets.eta) < selection.btag.eta)
    return ak.to_numpy(ak.any(tagged, axis=-1))
