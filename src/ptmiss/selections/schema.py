"""A selection: every choice of what makes an event a named value, with its unit and default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import field_validator, model_validator

from ptmiss.binning import Binning
from ptmiss.errors import OptionError
from ptmiss.files.userfiles import Flag, Number, Section, Whole, key
from ptmiss.selections.momenta.schema import Fsr, Momentum
from ptmiss.selections.weights.schema import AnyWeight, weight

from . import filters

MUON, ELECTRON = "muon", "electron"
ZMUMU, ZEE, GAMMAJET, WMUNU, WENU = "zmumu", "zee", "gammajet", "wmunu", "wenu"
CHANNELS = {(MUON, 2): ZMUMU, (ELECTRON, 2): ZEE, (MUON, 1): WMUNU, (ELECTRON, 1): WENU}
"""Final states by flavour and number of the leptons."""
LOOSE_POINT, EVERYWHERE = 1, 10.0
MEDIUM_POINTS = {
    "2016preVFP": {"btagDeepFlavB": 0.2598},
    "2016postVFP": {"btagDeepFlavB": 0.2489},
    "2017": {"btagDeepFlavB": 0.3040},
    "2018": {"btagDeepFlavB": 0.2783},
    "2022": {"btagPNetB": 0.245, "btagDeepFlavB": 0.3086},
    "2022EE": {"btagPNetB": 0.2605, "btagDeepFlavB": 0.3196},
    "2023": {"btagPNetB": 0.1917, "btagDeepFlavB": 0.2431},
    "2023BPix": {"btagPNetB": 0.1919, "btagDeepFlavB": 0.2435},
    "2024": {"btagUParTAK4B": 0.1272},
    "2025": {"btagUParTAK4B": 0.1272},
}
"""Working points where CMS's b-tagging group finds 1 % of light jets tagged."""
Edges = tuple[Number, Number]
Value = TypeVar("Value")


class LeptonCuts(Section):
    """Cuts that a lepton must pass."""

    pt: Number = key(10.0, "pT above", "GeV", ge=0)
    eta: Number = key(2.4, "|η| below", gt=0)
    gaps: tuple[Edges, ...] = key((), "ranges of |η| left out, of an electron's supercluster")
    identification: str = key("", "branch of the identification, without `Muon_` or `Electron_`; none if empty")
    identification_minimum: Whole = key(LOOSE_POINT, "least value that passes, of an identification in integers")
    isolation: str = key("", "branch of the relative isolation; none if empty")
    isolation_maximum: Number = key(0.25, "relative isolation below", gt=0)


class Leptons(LeptonCuts):
    """The leptons of the boson. Cuts are on corrected pT, without the photons that are added."""

    flavour: Literal["muon", "electron"] = key(MUON, "`muon` or `electron`")
    number: tuple[Literal[1, 2], ...] = key(
        (1, 2), "how many leptons an event may have: `2` of a Z, `1` of a W; none beside a photon"
    )
    leading_pt: Number = key(0.0, "pT of the leading one above; without it an event has none", "GeV", ge=0)
    leading: Flag = key(False, "cut on the two leading leptons of the event, and ask nothing of a third")
    pt: Number = key(25.0, "pT above", "GeV", ge=0)
    identification: str = key("looseId", "branch of the identification, without `Muon_` or `Electron_`; none if empty")
    isolation: str = key("pfRelIso04_all", "branch of the relative isolation; none if empty")
    isolation_maximum: Number = key(0.15, "relative isolation below", gt=0)
    momentum: Momentum | None = key(None, "correction of scale and resolution; pT of the file if it is not there")
    momenta: dict[str, Momentum] = key({}, "the same by era, in place of `momentum`")
    fsr: Fsr | None = key(None, "photons of final-state radiation added to muons; none if it is not there")

    @model_validator(mode="after")
    def _of_muons(self) -> Leptons:
        if self.fsr and self.flavour != MUON:
            raise ValueError("fsr adds photons to muons: expected flavour = 'muon'")
        return self


class Vetoes(Section):
    """Leptons that an event must not have beside the selected ones."""

    muons: LeptonCuts | None = key(None, "muons; not looked for if it is not there")
    electrons: LeptonCuts | None = key(None, "electrons; not looked for if it is not there")


class Photon(Section):
    """The photon that is the boson; an event has exactly one."""

    pt: Number = key(50.0, "pT above", "GeV", ge=0)
    eta: Number = key(1.4442, "|η| below", gt=0)
    gaps: tuple[Edges, ...] = key((), "ranges of |η| left out")
    identification: str = key("cutBased", "branch of the identification, without `Photon_`; none if empty")
    identification_minimum: Whole = key(3, "least value that passes, of an identification in integers")
    electron_veto: Flag = key(True, "ask for `Photon_electronVeto`")


class Jets(Section):
    """Jets that are counted, and among which b jets are sought."""

    pt: Number = key(30.0, "pT above", "GeV", ge=0)
    eta: Number = key(2.4, "|η| below", gt=0)
    identification: tuple[Whole, ...] = key((), "values of `Jet_jetId` that pass; all if none is named")
    identification_file: str = key(
        "", "the POG's correctionlib file of jet identification, which gives `Jet_jetId` where a file lacks it (v15)"
    )
    identification_files: dict[str, str] = key({}, "the same by era, in place of `identification_file`")
    algorithm: str = key("AK4PUPPI", "kind of jets in that file, which has it as `<algorithm>_Tight`")
    lepton_dr: Number = key(0.4, "least ΔR to a selected lepton or photon; 0 leaves no jet out", ge=0)


class BTag(Section):
    """Jets of b quarks, and what becomes of events that have one."""

    veto: Literal["boson", "all", "none"] = key(
        "boson", "which events with a b jet are dropped: `boson`, those with a lepton pair or a photon; `all`; `none`"
    )
    eta: Number = key(EVERYWHERE, "|η| below", gt=0)
    taggers: dict[str, Number] = key(
        {"btagUParTAK4B": 0.1272, "btagPNetB": 0.245, "btagDeepFlavB": 0.2783},
        "tagger and its working point; the first that the file has counts; a file that names some has no `eras` but its"
        " own",
    )
    eras: dict[str, dict[str, Number]] = key(
        MEDIUM_POINTS, "the same for datasets of an era, in place of `taggers`; the medium points of CMS"
    )


class VetoMap(Section):
    """Regions of the detector whose jets are not trusted: an event with one is dropped."""

    file: str = key(..., "the POG's correctionlib file of jet veto maps")
    name: str = key(..., "name of the correction in it")
    type: str = key("jetvetomap", "which of its maps")


class Quality(Section):
    """What an event must have to be trusted."""

    triggers: tuple[str, ...] = key((), "HLT branches, any of which an event must have fired; a dataset's own go first")
    filters: tuple[str, ...] | Literal["era"] = key(
        "era", "flags that an event must have, without `Flag_`; `era`: those of its data-taking that the file has"
    )
    era: str | None = key(None, "data-taking period, where the fileset does not say it")
    golden_json: str = key("", "certified luminosity sections, of data whose dataset names none; all if empty")
    veto_map: VetoMap | None = key(None, "jet veto map; not asked if it is not there")
    veto_maps: dict[str, VetoMap] = key({}, "the same by era, in place of `veto_map`")

    @field_validator("era")
    @classmethod
    def _of_a_year(cls, era: str | None) -> str | None:
        if era is not None and filters.year(era) == filters.UNKNOWN:
            raise ValueError(f"{era!r} is of no year known ({', '.join(filters.FILTERS)}), as 2018A or 2022EE are")
        return era


class MetCut(Section):
    """Cuts on the pTmiss of one estimator: the corrected one, each systematic on its own."""

    estimator: str = key(..., "whose pTmiss, one of those of the run or table")
    pt: Number = key(0.0, "pTmiss above", "GeV", ge=0)
    pt_maximum: Number | None = key(None, "pTmiss below; no limit if it is not there", "GeV", gt=0)
    significance: Number | None = key(None, "significance above, which needs `--significance`; not asked without", ge=0)
    significance_maximum: Number | None = key(None, "significance below; not asked without", gt=0)

    @model_validator(mode="after")
    def _not_empty(self) -> MetCut:
        for low, high in ((self.pt, self.pt_maximum), (self.significance or 0.0, self.significance_maximum)):
            if high is not None and high <= low:
                raise ValueError(f"no event is above {low:g} and below {high:g}")
        return self

    @property
    def of_significance(self) -> bool:
        """Whether it cuts on the significance."""
        return self.significance is not None or self.significance_maximum is not None


class Selection(Section):
    """What makes an event. The defaults are the measurement's (CMS-JME-24-001), with muon identification on."""

    mass: Edges = key((80.0, 100.0), "window of the lepton pair's mass", "GeV")
    vertices: Literal["PV_npvs", "PV_npvsGood"] = key("PV_npvs", "branch of the number of vertices")
    leptons: Leptons = Leptons()
    vetoes: Vetoes = Vetoes()
    photon: Photon | None = key(None, "the photon; a selection without it has none")
    jets: Jets = Jets()
    btag: BTag = BTag()
    met: MetCut | None = key(None, "cuts on pTmiss; none if it is not there")
    binning: Binning = Binning()
    quality: Quality = Quality()
    weights: dict[str, AnyWeight] = key({}, "weights of simulated events by their names; see docs/howto/weights.md")

    @field_validator("weights", mode="before")
    @classmethod
    def _each_of_its_kind(cls, weights: Any) -> Any:
        return {name: weight(name, each) for name, each in weights.items()} if isinstance(weights, Mapping) else weights

    @field_validator("mass")
    @classmethod
    def _rising(cls, window: tuple[float, float]) -> tuple[float, float]:
        if not (np.isfinite(window).all() and 0 <= window[0] < window[1]):
            raise ValueError(f"expected a lower and a higher mass, not {list(window)}")
        return window

    @model_validator(mode="after")
    def _one_boson(self) -> Selection:
        if self.photon and self.leptons.number:
            raise ValueError("photon and leptons are both the boson: expected leptons.number = [] beside a photon")
        return self

    @property
    def channels(self) -> tuple[str, ...]:
        """Final states that the selection has."""
        return (GAMMAJET,) if self.photon else tuple(CHANNELS[self.leptons.flavour, n] for n in self.leptons.number)

    @property
    def window(self) -> tuple[float, float] | None:
        """Window of the boson's mass, GeV; None for a photon."""
        return None if self.photon else self.mass

    def of_era(self, era: str | None) -> Selection:
        """What is asked in datasets of an era, such as ``2022F``: what has a value by era has that of this one.

        The selection's own era goes before it. Keys are eras as datasets name them, or periods such as ``2022EE``.
        OptionError where an era is in none of them, and there is no value for all others.
        """
        said = self.quality.era or era
        taggers = _of_era("btag.eras", self.btag.eras, said, self.btag.taggers)
        file = _of_era("jets.identification_files", self.jets.identification_files, said, self.jets.identification_file)
        where = _of_era("quality.veto_maps", self.quality.veto_maps, said, self.quality.veto_map)
        momentum = _of_era("leptons.momenta", self.leptons.momenta, said, self.leptons.momentum)
        changed = {
            "leptons": self.leptons.model_copy(update={"momentum": momentum, "momenta": {}}),
            "btag": self.btag.model_copy(update={"taggers": taggers, "eras": {}}),
            "jets": self.jets.model_copy(update={"identification_file": file, "identification_files": {}}),
            "quality": self.quality.model_copy(update={"veto_map": where, "veto_maps": {}}),
        }
        return self.model_copy(update=changed)


def metadata_of(events: Any) -> Mapping[str, Any]:
    """What the fileset says of the dataset of these events."""
    return getattr(events, "metadata", None) or {}


def of_events(events: Any, selection: Selection) -> Selection:
    """What a selection asks of these events, by the era of their dataset."""
    return selection.of_era(metadata_of(events).get("era"))


def _of_era(key: str, by_era: Mapping[str, Value], era: str | None, otherwise: Value) -> Value:
    """The value of an era, by its name or by the period that it is of."""
    found = by_era.get(era or "", by_era.get(filters.period(era), otherwise))
    if by_era and not found:
        said = f"no era {era!r}" if era else "values by era, and neither fileset nor quality.era says which it is"
        raise OptionError(f"{key} has {said}; there: {', '.join(by_era)}")
    return found
