"""What makes an event: muons, jets, triggers, certified data. Every choice is a named value of a Selection."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import awkward as ak
import numpy as np
from coffea.analysis_tools import PackedSelection
from numpy.typing import NDArray

from ptmiss.errors import ColumnError, UnknownName
from ptmiss.files import cached_by_file
from ptmiss.leptons import delta_r

MUON_BRANCHES = ("pt", "eta", "phi", "mass", "charge", "pfRelIso04_all")
JET_BRANCHES = ("pt", "eta", "phi")


@dataclass(frozen=True)
class Selection:
    """Cuts on muons and jets; GeV. The defaults are the measurement's (CMS-JME-24-001) with muon identification on."""

    muon_pt: float = 25
    muon_eta: float = 2.4
    muon_isolation: float = 0.15
    muon_id: str | None = "looseId"
    mass: tuple[float, float] = (80, 100)
    jet_pt: float = 30
    jet_eta: float = 2.4
    jet_id: int | None = None  # bits of Jet_jetId that must be set
    jet_muon_dr: float = 0.4
    btag: Mapping[str, float] = field(
        default_factory=lambda: {"btagUParTAK4B": 0.1272, "btagPNetB": 0.245, "btagDeepFlavB": 0.2783}
    )  # tagger: medium working point; the first that the file has counts


PRESETS = {
    "default": Selection(),
    "public-code": Selection(muon_id=None, jet_pt=20, jet_eta=3.0, jet_id=2),
}
"""``public-code``: the choices of the measurement's public analysis code where they differ from its text (which also
scales the top-pair background by 1.4: ``ptmiss resolution --subtract ttbar=1.4``)."""


def preset(name: str) -> Selection:
    """A selection by name."""
    if name not in PRESETS:
        raise UnknownName("selection", name, PRESETS)
    return PRESETS[name]


def branches(selection: Selection) -> tuple[str, ...]:
    """Branches that selecting muons and counting jets needs."""
    muon_id = (selection.muon_id,) if selection.muon_id else ()
    jet_id = ("jetId",) if selection.jet_id else ()
    return (
        *(f"Muon_{name}" for name in (*MUON_BRANCHES, *muon_id)),
        *(f"Jet_{name}" for name in (*JET_BRANCHES, *jet_id)),
    )


def good_muons(muons: ak.Array, selection: Selection) -> ak.Array:
    """Isolated, identified muons in acceptance, with the pdgId that their charge gives, hardest first."""
    good = (
        (muons.pt > selection.muon_pt)
        & (np.abs(muons.eta) < selection.muon_eta)
        & (muons.pfRelIso04_all < selection.muon_isolation)
    )
    if selection.muon_id:
        good = good & identified(muons[selection.muon_id], selection.muon_id)
    chosen = muons[good]
    dz = ("dz",) if "dz" in muons.fields else ()
    fields = {name: chosen[name] for name in ("pt", "eta", "phi", "mass", "charge", *dz)}
    out = ak.zip({**fields, "pdgId": -13 * chosen.charge})
    return out[ak.argsort(out.pt, ascending=False)]


def identified(flag: ak.Array, name: str) -> ak.Array:
    """A flag of identification as a mask; a working point stored as an integer (``highPtId``) must be 1 or more."""
    values = ak.to_numpy(ak.flatten(flag, axis=None))
    if values.dtype.kind not in "biu" and len(values):
        raise ColumnError(
            f"Muon_{name} holds {values.dtype}, expected a flag or an integer that is 1 or more where it passes"
        )
    return flag if values.dtype.kind == "b" else flag >= 1


def transverse_sum(particles: ak.Array) -> NDArray[np.float64]:
    """(events, 2) sum of the transverse momenta of each event's particles, GeV."""
    pt = ak.values_astype(particles.pt, np.float64)
    sums = (ak.sum(pt * np.cos(particles.phi), axis=-1), ak.sum(pt * np.sin(particles.phi), axis=-1))
    return np.stack([ak.to_numpy(s) for s in sums], axis=-1)


def invariant_mass(particles: ak.Array) -> NDArray[np.float64]:
    """(events,) mass of the sum of each event's particles, GeV; 0 where there are none."""
    pt = ak.values_astype(particles.pt, np.float64)
    px, py, pz = pt * np.cos(particles.phi), pt * np.sin(particles.phi), pt * np.sinh(particles.eta)
    energy = np.sqrt(px**2 + py**2 + pz**2 + ak.values_astype(particles.mass, np.float64) ** 2)
    e, x, y, z = (ak.to_numpy(ak.sum(part, axis=-1)) for part in (energy, px, py, pz))
    return np.sqrt(np.maximum(e**2 - x**2 - y**2 - z**2, 0))


def opposite_pair(muons: ak.Array) -> NDArray[np.bool_]:
    """Events with exactly two muons, of opposite charge."""
    return ak.to_numpy((ak.num(muons) == 2) & (ak.sum(muons.charge, axis=-1) == 0))


def good_jets(jets: ak.Array, muons: ak.Array, selection: Selection) -> ak.Array:
    """Jets in acceptance with no selected muon near."""
    good = (jets.pt > selection.jet_pt) & (np.abs(jets.eta) < selection.jet_eta)
    if selection.jet_id:
        good = good & ((jets.jetId & selection.jet_id) == selection.jet_id)
    jet, muon = ak.unzip(ak.cartesian([ak.zip({"eta": jets.eta, "phi": jets.phi}), muons], nested=True))
    return jets[good & ~ak.any(delta_r(jet, muon) < selection.jet_muon_dr, axis=-1)]


def b_tagged(jets: ak.Array, selection: Selection) -> NDArray[np.bool_]:
    """Events with a jet above the medium working point of the first tagger that the file has; none without one."""
    tagger = next((name for name in selection.btag if name in jets.fields), None)
    if tagger is None:
        return np.zeros(len(jets), bool)
    return ak.to_numpy(ak.any(jets[tagger] > selection.btag[tagger], axis=-1))


def triggered(events: Any, triggers: Collection[str]) -> NDArray[np.bool_]:
    """Events that fired any of the triggers (``HLT_IsoMu24`` for one) that the file has; all if none is named."""
    if not triggers:
        return np.ones(len(events), bool)
    paths = [path.removeprefix("HLT_") for path in triggers]
    return np.any([ak.to_numpy(events.HLT[path]) for path in paths if path in events.HLT.fields], axis=0)


def require_trigger(triggers: Collection[str], there: Collection[str], path: str) -> None:
    """Raise ColumnError if the file has none of the triggers named."""
    if triggers and not any(trigger in there for trigger in triggers):
        raise ColumnError(f"{path} has none of the triggers {', '.join(triggers)} that its fileset names")


@cached_by_file
def _lumi_mask(path: str) -> Any:
    from coffea.lumi_tools import LumiMask  # compiles for ten seconds when it is imported

    return LumiMask(path)


def certified(events: Any, golden_json: str | None) -> NDArray[np.bool_]:
    """Events in the certified luminosity sections of a golden JSON; all if none is named."""
    if not golden_json:
        return np.ones(len(events), bool)
    return np.asarray(_lumi_mask(golden_json)(events.run, events.luminosityBlock), bool)


def dimuon_cuts(events: Any, muons: ak.Array, jets: ak.Array, selection: Selection) -> PackedSelection:
    """The Z → μμ selection, cut by cut."""
    low, high = selection.mass
    mass = invariant_mass(muons)
    cuts = _data_quality(events)
    cuts.add("two muons", opposite_pair(muons))
    cuts.add("no b jet", ~b_tagged(jets, selection))
    cuts.add("mass", (mass > low) & (mass < high))
    return cuts


def single_muon_cuts(events: Any, muons: ak.Array) -> PackedSelection:
    """The W → μν selection, cut by cut."""
    cuts = _data_quality(events)
    cuts.add("one muon", ak.to_numpy(ak.num(muons) == 1))
    return cuts


def _data_quality(events: Any) -> PackedSelection:
    cuts = PackedSelection()
    cuts.add("certified", certified(events, events.metadata.get("golden_json")))
    cuts.add("triggered", triggered(events, events.metadata.get("triggers", ())))
    return cuts


def cutflow(cuts: PackedSelection, weight: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """Events and sum of weights left after each cut, in order; ``all`` first."""
    passed = {"all": np.ones(len(weight), bool)}
    for number, name in enumerate(cuts.names, start=1):
        passed[name] = cuts.all(*cuts.names[:number])
    return {
        "events": {name: int(np.count_nonzero(mask)) for name, mask in passed.items()},
        "sum of weights": {name: float(weight[mask].sum()) for name, mask in passed.items()},
        "sum of squared weights": {name: float((weight[mask] ** 2).sum()) for name, mask in passed.items()},
    }
