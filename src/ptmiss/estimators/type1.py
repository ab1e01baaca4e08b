"""Type-1 corrected pTmiss, from the raw one of the file and its jets.

The energy corrections of jets are propagated to pTmiss as CMS does (CMS-JME-17-001). The muons in a jet are taken out
of it first. Each jet of ``Jet`` and of the softer ``CorrT1METJet`` that then has more than 15 GeV, abs(eta) < 5.2 and
less than 90 % of its energy in electromagnetic form moves pTmiss by minus its pT after all corrections plus its pT
after the one for pile-up alone. In simulation the jets are smeared if there is a file for it.

The uncertainties of the jets' energy move the same jets; that of the unclustered energy is the file's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.angles import delta_r
from ptmiss.candidates import Candidates
from ptmiss.corrections import jets as energies
from ptmiss.corrections.jets import JetEnergy
from ptmiss.errors import ColumnError, OptionError, UnknownName
from ptmiss.files import digest
from ptmiss.recoil import cartesian
from ptmiss.segments import Offsets, event_of, from_counts, sum_by_event
from ptmiss.systematics import NOMINAL
from ptmiss.truth import is_data
from ptmiss.typing import Array, Vector

from . import objects
from .base import Estimator, Selected

TYPE1 = "type1."
RAW = {"PuppiMET": ("RawPuppiMET",), "PFMET": ("RawPFMET", "RawMET")}
"""Collections that may hold the raw pTmiss: the first that a file has counts."""

STORED_AS = {"PuppiMET": ("PuppiMET",), "PFMET": ("PFMET", "MET")}
OLD_UNCLUSTERED = ("MetUnclustEnUpDeltaX", "MetUnclustEnUpDeltaY")  # of PF, before v15
PREFERRED_JETS = {"PuppiMET": "AK4PFPuppi", "PFMET": "AK4PFchs"}
RHO = ("Rho_fixedGridRhoFastjetAll", "fixedGridRhoFastjetAll")
JETS = ("pt", "eta", "phi", "area", "rawFactor", "muonSubtrFactor", "chEmEF", "neEmEF")
SOFT_JETS = ("rawPt", "eta", "phi", "area", "muonSubtrFactor")
JER, UNCLUSTERED = "jer", "unclustered"
KNOWN = (energies.JES, JER, UNCLUSTERED, *objects.COLLECTIONS)
MIN_PT, MAX_ETA, MAX_EM = 15.0, 5.2, 0.9
GEN_DR, GEN_WIDTHS = 0.2, 3.0  # largest distance of a generated jet, in the plane and in units of the resolution


class RawJets(NamedTuple):
    """Uncorrected jets: flat columns (jets,) in GeV and rad, offsets (events + 1,).

    muons: share of pT that is muons; turned: phi without the muons less phi; em: electromagnetic share of the energy;
    gen_pt, gen_dr: of the generated jet, where there is one.
    """

    pt: Array
    eta: Array
    phi: Array
    area: Array
    muons: Array
    turned: Array
    em: Array
    gen_pt: Array
    gen_dr: Array
    offsets: Offsets

    @property
    def event(self) -> NDArray[np.intp]:
        """(jets,) row of each jet's event."""
        return event_of(self.offsets)


class Conditions(NamedTuple):
    """What corrections take from the event, (events,): density of pile-up's energy, GeV, and numbers of run and event.

    A hash of the event's number gives the random numbers of smearing.
    """

    rho: Array
    run: NDArray[np.int64]
    event: NDArray[np.int64]

    @staticmethod
    def of(events: Any) -> Conditions:
        """Those of NanoAOD events."""
        rho = events["Rho"]["fixedGridRhoFastjetAll"] if "Rho" in events.fields else events["fixedGridRhoFastjetAll"]
        numbers = (ak.to_numpy(events[name]).astype(np.int64) for name in ("run", "event"))
        return Conditions(ak.to_numpy(rho).astype(np.float64), *numbers)


@dataclass(frozen=True)
class Moved:
    """What the jets that count do to pTmiss.

    full: (jets,) corrected pT with muons, GeV; start: that after the correction for pile-up alone; smear: (jets,) the
    nominal factor of smearing; direction: (jets, 2) unit vectors; columns: inputs to corrections.
    """

    full: Array
    start: Array
    smear: Array
    direction: Vector
    offsets: Offsets
    columns: Mapping[str, Any]
    gen_pt: Array
    event: NDArray[np.integer]

    def sum(self, pt: Array) -> Vector:
        """(events, 2) minus the sum of a change of the jets' pT, (jets,), GeV."""
        return -sum_by_event(pt[:, np.newaxis] * self.direction, self.offsets)


@dataclass(frozen=True)
class Type1(Estimator):
    """``type1.PuppiMET`` and ``type1.PFMET``.

    jerc: JSON of the jets' energy; smear: JSON with JERSmear, empty to leave simulated jets as they are; systematics:
    ``jes`` (all sources), ``jes_<Source>``, ``jer``, ``unclustered``, and ``muons``, ``electrons``, ``photons``.
    """

    name: str
    jerc: str
    smear: str = ""
    systematics: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """``PuppiMET`` or ``PFMET``."""
        return self.name.removeprefix(TYPE1)

    def require(self, branches: Collection[str], path: str) -> None:
        """Raise ColumnError unless the file has jets, what they need to be corrected anew, and the raw pTmiss."""
        wanted = [RHO, *((f"Jet_{name}",) for name in JETS), *((f"CorrT1METJet_{name}",) for name in SOFT_JETS)]
        wanted += [tuple(f"{raw}_{part}" for raw in RAW[self.kind]) for part in ("pt", "phi")]
        if UNCLUSTERED in self.systematics:
            old = (f"MET_{OLD_UNCLUSTERED[0]}",) if self.kind == "PFMET" else ()
            wanted.append((*(f"{met}_ptUnclusteredUp" for met in STORED_AS[self.kind]), *old))
        objects.require(self.systematics, branches, self.name, path)
        if missing := [" or ".join(names) for names in wanted if not set(names) & set(branches)]:
            raise ColumnError(
                f"estimator {self.name!r} needs {', '.join(missing)}, which {path} does not have; "
                "NanoAOD of version 9 and later has it"
            )

    def require_era(self, metadata: Mapping[str, Any], simulated: bool) -> None:
        """Raise an error unless the corrections of a dataset's era, and the sources of uncertainty, are there."""
        energy = self.energy(metadata, simulated)
        if not simulated:
            return
        energy.require(self.systematics)
        if JER in self.systematics and energy.smear is None:
            raise OptionError(f"{self.name}: systematic {JER!r} needs a file with {energies.SMEAR} beside {self.jerc}")

    def manifest_entry(self) -> dict[str, Any]:
        """Its name, its systematics, and its files with their hashes."""
        named = {"jerc": self.jerc, "smear": self.smear}
        files = {what: {"path": path, "sha256": digest(Path(path))} for what, path in named.items() if path}
        return super().manifest_entry() | files

    def energy(self, metadata: Mapping[str, Any], simulated: bool) -> JetEnergy:
        """The corrections of jets of a dataset; its metadata may name its ``era``."""
        kind = "mc" if simulated else "data"
        return energies.load(self.jerc, kind, metadata.get("era"), PREFERRED_JETS[self.kind], self.smear)

    def vary(self, systematics: Sequence[str], jerc: str = "") -> Type1:
        """With systematics; ``jes_regrouped`` stands for the groups of sources in the file of simulation."""
        wanted = energies.expand(systematics, self.jerc)
        for name in wanted:
            if name not in KNOWN and not energies.is_scale(name):
                raise UnknownName(f"systematic of {self.name}", name, (*KNOWN, energies.REGROUPED, "jes_<Source>"))
        return replace(self, systematics=tuple(wanted))

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV."""
        return replace(self, systematics=()).variations(events, candidates, selected, notes)[NOMINAL]

    def variations(
        self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]
    ) -> dict[str, Vector]:
        """(events, 2) pTmiss in GeV, nominal and varied; data are not varied."""
        simulated = not is_data(events)
        energy = self.energy(getattr(events, "metadata", None) or {}, simulated)
        moved = move(raw_jets(events), energy, Conditions.of(events), simulated)
        raw = events[next(name for name in RAW[self.kind] if name in events.fields)]
        nominal = cartesian(raw.pt, raw.phi) + moved.sum(moved.full * moved.smear - moved.start)
        varied = {
            f"{name}_{way}": nominal + shift
            for name in (self.systematics if simulated else ())
            for way, shift in self._shifts(name, moved, energy, events)
        }
        return {NOMINAL: nominal, **varied}

    def _shifts(self, name: str, moved: Moved, energy: JetEnergy, events: Any) -> Iterator[tuple[str, Vector]]:
        """``up`` and ``down``, and (events, 2) by how much they move pTmiss, GeV."""
        if name in objects.COLLECTIONS:
            shift = objects.shift(events, name)
            yield from (("up", shift), ("down", -shift))
        elif name == UNCLUSTERED:
            yield from unclustered_shifts(events, STORED_AS[self.kind])
        elif name == JER:
            for way in ("up", "down"):
                factor = energy.smearing(moved.columns, moved.gen_pt, moved.event, way)
                yield way, moved.sum(moved.full * (factor - moved.smear))
        else:
            shift = moved.sum(moved.full * energy.uncertainty(energies.source_of(name), moved.columns))
            yield from (("up", shift), ("down", -shift))


def unclustered_shifts(events: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Vector]]:
    """(events, 2) shifts of pTmiss by the energy outside of jets, up and down, as the file stores them, GeV."""
    met = events[next(name for name in names if name in events.fields)]
    if "ptUnclusteredUp" not in met.fields:
        shift = np.stack([ak.to_numpy(met[name]) for name in OLD_UNCLUSTERED], axis=-1).astype(np.float64)
        yield from (("up", shift), ("down", -shift))
        return
    nominal = cartesian(met.pt, met.phi)
    for way in ("Up", "Down"):
        yield way.lower(), cartesian(met[f"ptUnclustered{way}"], met[f"phiUnclustered{way}"]) - nominal


def raw_jets(events: Any) -> RawJets:
    """The uncorrected jets of NanoAOD events, in each event those of ``CorrT1METJet`` after those of ``Jet``."""
    jets, soft = events.Jet, events.CorrT1METJet
    of_jets = {
        "pt": jets.pt * (1 - jets.rawFactor), "em": jets.chEmEF + jets.neEmEF, **generated_partners(events),
    }  # fmt: skip
    of_soft = {"pt": soft.rawPt, "em": optional(soft, "EmEF"), "gen_pt": soft.rawPt * 0 - 1, "gen_dr": soft.rawPt * 0}
    columns = {
        name: ak.concatenate([one[name], other[name]], axis=1)
        for one, other in [(of_jets | shared_columns(jets), of_soft | shared_columns(soft))]
        for name in RawJets._fields[:-1]
    }
    counts = ak.to_numpy(ak.num(columns["pt"]))
    flat = {name: ak.to_numpy(ak.flatten(column)).astype(np.float64) for name, column in columns.items()}
    return RawJets(**flat, offsets=from_counts(counts))


def shared_columns(jets: ak.Array) -> dict[str, ak.Array]:
    """Columns that both collections store alike; files of before v15 do not turn jets whose muons are taken out."""
    same = {"eta": jets.eta, "phi": jets.phi, "area": jets.area, "muons": jets.muonSubtrFactor}
    return same | {"turned": optional(jets, "muonSubtrDeltaPhi")}


def optional(jets: ak.Array, name: str) -> ak.Array:
    """A column, or zeros if the file does not have it."""
    return jets[name] if name in jets.fields else jets.eta * 0


def generated_partners(events: Any) -> dict[str, ak.Array]:
    """pT (GeV) of each jet's generated jet and the distance to it; NO_PARTNER and 0 for none."""
    jets = events.Jet
    if "GenJet" not in events.fields or "genJetIdx" not in jets.fields:
        return {"gen_pt": jets.pt * 0 + energies.NO_PARTNER, "gen_dr": jets.pt * 0}
    number = ak.num(events.GenJet.pt)
    has = (jets.genJetIdx >= 0) & (jets.genJetIdx < number)
    index = ak.mask(jets.genJetIdx, has)
    gen = {name: ak.fill_none(events.GenJet[name][index], -1.0) for name in ("pt", "eta", "phi")}
    distance = delta_r({"eta": jets.eta, "phi": jets.phi}, gen)
    return {"gen_pt": ak.where(has, gen["pt"], energies.NO_PARTNER), "gen_dr": ak.where(has, distance, 0.0)}


def move(jets: RawJets, energy: JetEnergy, conditions: Conditions, smeared: bool) -> Moved:
    """The jets that move pTmiss, with their corrected pT; smeared: whether to smear them, if there is a file for it."""
    owner = jets.event
    rho, run, event = conditions.rho[owner], conditions.run[owner], conditions.event[owner]
    columns = {
        "JetPt": jets.pt, "JetEta": jets.eta, "JetPhi": jets.phi, "JetA": jets.area, "Rho": rho, "run": run,
    }  # fmt: skip
    offset, every = (energy.factor(level, columns) for level in (energies.OFFSET, energies.ALL))
    bare = jets.pt * (1 - jets.muons)
    counts = (bare * every > MIN_PT) & (np.abs(jets.eta) < MAX_ETA) & (jets.em < MAX_EM)
    muons = jets.pt * jets.muons
    full, start = (bare * every + muons)[counts], (bare * offset + muons)[counts]
    phi = (jets.phi + jets.turned)[counts]
    chosen = {name: column[counts] for name, column in columns.items()} | {"JetPt": full}
    gen_pt = (
        partners(jets, counts, energy, chosen) if smeared and energy.smear else np.full(len(full), energies.NO_PARTNER)
    )
    numbers = event[counts]
    smear = energy.smearing(chosen, gen_pt, numbers) if smeared and energy.smear else np.ones(len(full))
    kept = np.concatenate([[0], np.cumsum(counts)])[jets.offsets]
    return Moved(full, start, smear, cartesian(np.ones(len(phi)), phi), kept, chosen, gen_pt, numbers)


def partners(jets: RawJets, counts: NDArray[np.bool_], energy: JetEnergy, chosen: Mapping[str, Any]) -> Array:
    """(jets,) pT of the generated jet if it is near enough in the plane and in pT, GeV; NO_PARTNER if not."""
    gen_pt, gen_dr, pt = jets.gen_pt[counts], jets.gen_dr[counts], chosen["JetPt"]
    near = (gen_dr < GEN_DR) & (np.abs(pt - gen_pt) < GEN_WIDTHS * energy.resolution(chosen) * pt)
    return np.where((gen_pt > 0) & near, gen_pt, energies.NO_PARTNER)
