"""Collisions from Pythia 8: hard processes, minimum bias and single particles.

The tune is Monash at 13 TeV. K0S and Lambda decay inside the tracker's volume and give displaced tracks. ``PROCESSES``
has the selections; events of biased processes have weights. Pythia starts anew for every block of events, so that a
block depends on its own seed alone. An initialisation file shortens the start from 10 to 0.2 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import PtmissError, UnknownName
from ptmiss.simulation import history
from ptmiss.simulation.parameters import Tune
from ptmiss.simulation.particles import INVISIBLE, Library, make

VERSION = "8.317"
"""Version of Pythia, which is part of the names of cached files."""
MAX_ETA = 5.5
MIN_PT = 0.05
_MM = 0.1
PHOTON, FIRST_HADRON = 22, 100  # PDG codes

COMMON = (
    "Print:quiet = on",
    "Beams:eCM = 13000.",
    "ParticleDecays:limitCylinder = on",
    "ParticleDecays:xyMax = 300.",
    "ParticleDecays:zMax = 1000.",
)
MONASH = Tune()
_OF_TUNE = ("SpaceShower:alphaSvalue", "MultipartonInteractions:pT0Ref")
_Z = ("23:onMode = off", "23:onIfAny = 13", "PhaseSpace:mHatMin = 50.")
_Z_E = ("23:onMode = off", "23:onIfAny = 11", "PhaseSpace:mHatMin = 50.")
_Z_TAU = ("WeakSingleBoson:ffbar2gmZ = on", "23:onMode = off", "23:onIfAny = 15", "PhaseSpace:mHatMin = 50.")
_W_MU = ("24:onMode = off", "24:onIfAny = 13")
_W_E = ("24:onMode = off", "24:onIfAny = 11")
_TOP = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on")
_PHOTON_AND_JET = (
    "PromptPhoton:qg2qgamma = on",
    "PromptPhoton:qqbar2ggamma = on",
    "PhaseSpace:pTHatMin = 15.",
    "PhaseSpace:bias2Selection = on",
    "PhaseSpace:bias2SelectionPow = 2.5",
    "PhaseSpace:bias2SelectionRef = 50.",
)
_SHOWER = (
    "UncertaintyBands:doVariations = on",
    "UncertaintyBands:List = {isrHi isr:muRfac=0.5, fsrHi fsr:muRfac=0.5, isrLo isr:muRfac=2.0, fsrLo fsr:muRfac=2.0}",
)
SHOWER_WEIGHTS = 4
"""Number of weights of the shower: initial and final state with half the scale, then both with twice the scale."""


class Central(NamedTuple):
    """What a process selects: events with at least ``number`` generated stable particles of a PDG code."""

    code: int
    number: int
    pt: float = 20.0  # GeV, above
    eta: float = 2.5  # |eta| below


_TWO_MUONS, _ONE_MUON = Central(13, 2), Central(13, 1)


@dataclass(frozen=True)
class Process:
    """A process and Pythia's settings for it. A ``gun`` is the PDG code of a single particle to shoot instead.

    ``central``: only events with these particles are kept.
    ``cross_section`` in pb is the common reference of measurements (NNLO, 13 TeV, with branching fractions) times the
    selected fraction; None if there is none.
    """

    title: str
    settings: tuple[str, ...] = ()
    gun: int = 0
    central: Central | None = None
    cross_section: float | None = None


PROCESSES: dict[str, Process] = {
    "zmumu": Process(
        "Z/gamma* -> mu mu, inclusive, m > 50 GeV", ("WeakSingleBoson:ffbar2gmZ = on", *_Z), cross_section=2025.7
    ),
    "zmumu_boosted": Process(
        "Z + jet, Z -> mu mu, pT-hat > 15 GeV, biased by (pT-hat / 60)^3: weighted",
        (
            "WeakBosonAndParton:qqbar2gmZg = on",
            "WeakBosonAndParton:qg2gmZq = on",
            *_Z,
            "PhaseSpace:pTHatMin = 15.",
            "PhaseSpace:bias2Selection = on",
            "PhaseSpace:bias2SelectionPow = 3.",
            "PhaseSpace:bias2SelectionRef = 60.",
        ),
    ),
    "zmumu_fiducial": Process(
        "Z/gamma* -> mu mu, m > 50 GeV, both muons above 20 GeV in |eta| < 2.5",
        ("WeakSingleBoson:ffbar2gmZ = on", *_Z),
        central=_TWO_MUONS,
        cross_section=2025.7 * 0.407,
    ),
    "zee": Process(
        "Z/gamma* -> e e, inclusive, m > 50 GeV", ("WeakSingleBoson:ffbar2gmZ = on", *_Z_E), cross_section=2025.7
    ),
    "zee_fiducial": Process(
        "Z/gamma* -> e e, m > 50 GeV, both electrons above 20 GeV in |eta| < 2.5",
        ("WeakSingleBoson:ffbar2gmZ = on", *_Z_E),
        central=Central(11, 2),
        cross_section=2025.7 * 0.396,
    ),
    "gammajet": Process("prompt photon + jet, pT-hat > 15 GeV, biased by (pT-hat / 50)^2.5: weighted", _PHOTON_AND_JET),
    "gammajet_fiducial": Process(
        "prompt photon + jet, as gammajet, with a prompt photon above 25 GeV in |eta| < 1.5",
        _PHOTON_AND_JET,
        central=Central(22, 1, pt=25.0, eta=1.5),
    ),
    "wmunu": Process("W -> mu nu, inclusive", ("WeakSingleBoson:ffbar2W = on", *_W_MU), cross_section=20508.9),
    "wmunu_fiducial": Process(
        "W -> mu nu, the muon above 20 GeV in |eta| < 2.5",
        ("WeakSingleBoson:ffbar2W = on", *_W_MU),
        central=_ONE_MUON,
        cross_section=20508.9 * 0.532,
    ),
    "wenu": Process("W -> e nu, inclusive", ("WeakSingleBoson:ffbar2W = on", *_W_E), cross_section=20508.9),
    "ztautau": Process(
        "Z/gamma* -> tau tau, inclusive, m > 50 GeV",
        _Z_TAU,
        cross_section=2025.7,
    ),
    "ztautau_dimuon": Process(
        "Z/gamma* -> tau tau -> mu mu, m > 50 GeV, both muons above 20 GeV in |eta| < 2.5",
        (*_Z_TAU, "15:onMode = off", "15:onIfAny = 13"),
        central=_TWO_MUONS,
        cross_section=2025.7 * 0.1739**2 * 0.033,
    ),
    "wz": Process("W Z -> anything", ("WeakDoubleBoson:ffbar2ZW = on",), cross_section=47.1),
    "ttbar": Process("top pairs, all decays", _TOP, cross_section=831.8),
    "ttbar_dilepton": Process(
        "top pairs, both W to e, mu or tau",
        (*_TOP, "24:onMode = off", "24:onIfAny = 11 13 15"),
        cross_section=88.3,
    ),
    "ttbar_dimuon": Process(
        "top pairs, two muons above 20 GeV in |eta| < 2.5",
        (*_TOP, "24:onMode = off", "24:onIfAny = 11 13 15"),
        central=_TWO_MUONS,
        cross_section=88.3 * 0.111,
    ),
    "qcd": Process(
        "dijets, pT-hat > 20 GeV, biased by (pT-hat / 100)^4: weighted",
        (
            "HardQCD:all = on",
            "PhaseSpace:pTHatMin = 20.",
            "PhaseSpace:bias2Selection = on",
            "PhaseSpace:bias2SelectionPow = 4.",
            "PhaseSpace:bias2SelectionRef = 100.",
        ),
    ),
    "gun_pion": Process("one charged pion", gun=211),
    "gun_photon": Process("one photon", gun=22),
    "gun_neutron": Process("one neutron", gun=2112),
    "gun_kaon_long": Process("one K0L", gun=130),
    "gun_electron": Process("one electron", gun=11),
    "gun_muon": Process("one muon", gun=13),
}
MINIMUM_BIAS = Process("inelastic minimum bias", ("SoftQCD:inelastic = on",))


class HardEvents(NamedTuple):
    """Generated events: stable visible particles and the event history.

    weight: (events,). invisible: (events, 2) sum of px and py of the neutrinos, GeV. shower: (events, SHOWER_WEIGHTS)
    weights of a varied shower over the nominal one, if asked for.
    """

    library: Library
    history: history.History
    weight: NDArray[np.float32]
    invisible: NDArray[np.float64]
    shower: NDArray[np.float64] | None = None


def process(name: str) -> Process:
    """The process with a name; UnknownName if there is none."""
    if name not in PROCESSES:
        raise UnknownName("process", name, PROCESSES)
    return PROCESSES[name]


def settings(what: Process, tune: Tune = MONASH) -> list[str]:
    """Pythia's settings for a process; of the tune what differs from Monash."""
    changes = [f"{key} = {value}" for key, value, usual in zip(_OF_TUNE, tune, MONASH, strict=True) if value != usual]
    return [*COMMON, *what.settings, *changes]


def generate(
    what: Process,
    n: int,
    seed: int,
    start_file: Path | None = None,
    tune: Tune = MONASH,
    shower_weights: bool = False,
) -> HardEvents:
    """``n`` events of a process; the same seed (1 to 900 000 000) gives the same events.

    With weights of the shower they are other events: Pythia tries more emissions.
    """
    if what.gun:
        return shoot(what.gun, n, np.random.default_rng(seed))
    generator = start(what, seed, start_file, tune, _SHOWER if shower_weights else ())
    batches, missing = [], n
    while missing:
        batch = generator.nextBatch(missing, errorMode="skip")
        if not len(batch):
            raise PtmissError(f"Pythia makes no events of {what.title!r}; its messages are above")
        batches.append(batch[has_central(batch.prt, what.central)] if what.central else batch)
        missing -= len(batches[-1])
    events = ak.concatenate(batches) if len(batches) > 1 else batches[0]
    found = from_record(events, generator.particleData)
    return found._replace(shower=shower_variations(events.info.weights)) if shower_weights else found


def start(what: Process, seed: int, start_file: Path | None, tune: Tune = MONASH, more: Sequence[str] = ()) -> Any:
    """An initialised Pythia; ``start_file`` stores the initialisation of multiple interactions."""
    generator = pythia8().Pythia("", False)
    given = [*settings(what, tune), *more, "Random:setSeed = on", f"Random:seed = {seed}"]
    if start_file is not None:
        given += ["MultipartonInteractions:reuseInit = 3", f"MultipartonInteractions:initFile = {start_file}"]
    for setting in given:
        if not generator.readString(setting):
            raise PtmissError(f"Pythia does not take the setting {setting!r}")
    if not generator.init():
        raise PtmissError(f"Pythia failed to start for {what.title!r}; its messages are above")
    return generator


def pythia8() -> ModuleType:
    """Pythia's module, imported when it is first used."""
    try:
        import pythia8mc
    except ImportError as error:
        raise PtmissError("generation needs Pythia 8: pip install 'ptmiss[simulation]'") from error
    return pythia8mc


def has_central(record: ak.Array, wanted: Central) -> NDArray[np.bool_]:
    """(events,) whether an event of Pythia's record has these particles; photons of hadrons do not count."""
    pt = np.hypot(record.p.px, record.p.py)
    chosen = (abs(record.id) == wanted.code) & (record.status > 0)
    chosen = chosen & (pt > wanted.pt) & (abs(record.p.pz) < pt * np.sinh(wanted.eta))
    if wanted.code == PHOTON:
        chosen = chosen & (abs(record.id[record.mother1]) < FIRST_HADRON)
    return ak.to_numpy(ak.sum(chosen, axis=1) >= wanted.number)


def shower_variations(weights: ak.Array) -> NDArray[np.float64]:
    """(events, SHOWER_WEIGHTS) varied weights over the nominal one, which comes first; ours are the last ones."""
    table = ak.to_numpy(weights)
    return table[:, -SHOWER_WEIGHTS:] / table[:, :1]


def from_record(events: ak.Array, particle_data: Any) -> HardEvents:
    """Flat arrays from Pythia's event record, shape (events, particles)."""
    record = events.prt
    offsets = np.concatenate([[0], np.cumsum(ak.num(record.id).to_numpy(), dtype=np.int64)])
    flat = ak.flatten(record)
    pdg_id, status = flat.id.to_numpy(), flat.status.to_numpy()
    momentum = [flat.p[axis].to_numpy() for axis in ("px", "py", "pz")]
    vertex = [_MM * ak.fill_none(flat.vProd[axis], 0.0).to_numpy() for axis in ("px", "py", "pz")]
    pt = np.hypot(momentum[0], momentum[1])
    final = status > 0
    neutrino = final & np.isin(np.abs(pdg_id), INVISIBLE)
    seen = final & ~neutrino & (pt > MIN_PT) & (np.abs(momentum[2]) < pt * np.sinh(MAX_ETA))
    columns = [column[seen] for column in (*momentum, flat.m.to_numpy(), *vertex)]
    particles = make(columns, pdg_id[seen], charges(pdg_id[seen], particle_data))
    counted = np.concatenate([[0], np.cumsum(seen, dtype=np.int64)])
    invisible = np.add.reduceat(np.stack(momentum[:2], axis=1) * neutrino[:, None], offsets[:-1], axis=0)
    weight = ak.to_numpy(events.info.weights[:, 0]).astype(np.float32)
    return HardEvents(Library(particles, counted[offsets]), history.build(flat, offsets), weight, invisible)


def charges(pdg_id: NDArray, particle_data: Any) -> NDArray[np.int8]:
    """(particles,) electric charge from PDG codes."""
    codes, inverse = np.unique(pdg_id, return_inverse=True)
    table = np.array([round(particle_data.charge(int(code))) for code in codes], dtype=np.int8)
    return table[inverse] if len(codes) else np.zeros(0, dtype=np.int8)


_GUNS = {211: (0.13957, 1), 22: (0.0, 0), 2112: (0.93957, 0), 130: (0.49761, 0), 11: (0.000511, -1), 13: (0.10566, -1)}
"""Mass (GeV) and charge of the particles of guns."""


def shoot(pdg_id: int, n: int, rng: np.random.Generator, pt: tuple[float, float] = (0.5, 200.0)) -> HardEvents:
    """``n`` events of one particle or, if charged, its antiparticle: flat in log pT (GeV), eta up to 5, and phi."""
    mass, charge = _GUNS[pdg_id]
    momentum = np.exp(rng.uniform(np.log(pt[0]), np.log(pt[1]), n))
    eta, phi = rng.uniform(-5.0, 5.0, n), rng.uniform(-np.pi, np.pi, n)
    sign = rng.choice([-1, 1], n) if charge else np.ones(n)
    columns = [momentum * np.cos(phi), momentum * np.sin(phi), momentum * np.sinh(eta), np.full(n, mass)]
    particles = make([*columns, *np.zeros((3, n))], sign * pdg_id, sign * charge)
    library = Library(particles, np.arange(n + 1, dtype=np.int64))
    return HardEvents(library, history.of_particles(particles), np.ones(n, np.float32), np.zeros((n, 2)))


def minimum_bias(n: int, seed: int, start_file: Path | None = None) -> Library:
    """``n`` minimum-bias collisions."""
    return generate(MINIMUM_BIAS, n, seed, start_file).library
