"""Everything that can be set: the detector, the beam, Pythia's tune, the matter, and the two profiles "mc" and "data".

CMS-like, never CMS. Every number is a named parameter; ``data`` differs from ``mc`` only where :data:`DATA` says so,
and each difference can be switched on alone, ``profile("mc", hcal_scale=0.93)``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import NamedTuple

from ptmiss.errors import OptionError, UnknownName


class Detector(NamedTuple):
    """Detector parameters: GeV, cm, tesla. A named tuple, as numba takes one."""

    solenoid: float = 3.8
    #: tracker: plateau efficiency (hadrons interact), pT of half efficiency and its width, largest radius of production
    track_efficiency: float = 0.95
    muon_track_efficiency: float = 0.995
    track_turn_on: float = 0.28
    track_turn_on_width: float = 0.06
    track_max_radius: float = 35.0
    #: relative pT resolution: constant and per GeV (centre); impact parameters: constant and per inverse GeV
    track_resolution: float = 0.007
    track_resolution_slope: float = 1.5e-4
    dxy_resolution: float = 0.0015
    dxy_resolution_slope: float = 0.0080
    dz_resolution: float = 0.0025
    dz_resolution_slope: float = 0.0090
    #: fakes as a fraction of the tracks
    fake_rate: float = 0.03
    #: electromagnetic calorimeter: scale, stochastic and constant term; noise of a cell, growing towards abs eta 3
    ecal_scale: float = 1.0
    ecal_stochastic: float = 0.028
    ecal_constant: float = 0.005
    ecal_noise_barrel: float = 0.04
    ecal_noise_endcap: float = 0.15
    #: hadronic calorimeter: scale, stochastic and constant term; noise of a cell; h/e of a non-compensating calorimeter
    hcal_scale: float = 1.0
    hcal_stochastic: float = 1.0
    hcal_constant: float = 0.05
    hcal_noise: float = 0.2
    hadronic_response: float = 0.6
    #: share of the hadrons that shower in a crack and lose a part of their energy there, between nothing and all of it
    crack_share: float = 0.0
    #: width in phi of the sector of the HCAL endcap at eta < 0 that is not read out
    hcal_dead_phi: float = 0.0
    #: anomalous pulses of HCAL cells: their mean number in an event and their mean energy, exponential
    hcal_pulses: float = 0.0
    hcal_pulse_energy: float = 30.0
    #: forward calorimeter
    hf_scale: float = 1.0
    hf_em_stochastic: float = 1.98
    hf_em_constant: float = 0.09
    hf_had_stochastic: float = 2.8
    hf_had_constant: float = 0.11
    hf_noise: float = 0.35
    #: displacement of all calorimeters, which the reconstruction does not know
    shift_x: float = 0.0
    shift_y: float = 0.0
    #: identification: efficiency, and the share of charged hadrons that fake a muon's or an electron's signature
    muon_efficiency: float = 0.995
    muon_fakes: float = 0.002
    electron_efficiency: float = 0.90
    electron_fakes: float = 0.005


class Beam(NamedTuple):
    """Luminous region (cm) and pile-up: the mean number of extra collisions is drawn from N(mean, spread)."""

    pileup_mean: float = 33.0
    pileup_spread: float = 8.0
    x: float = 0.011
    y: float = 0.042
    sigma_xy: float = 0.0015
    sigma_z: float = 3.6


class Tune(NamedTuple):
    """Pythia's parameters of hard collisions, as Monash has them: alpha_s of the initial-state shower at the Z mass,
    and the pT (GeV) below which multiple interactions are damped. Pile-up is always Monash's."""

    alpha_s_isr: float = 0.1365
    mpi_pt0: float = 2.28


class Matter(NamedTuple):
    """What electrons and photons pass in the tracker. 0 is the simple simulation, in which nothing is in their way."""

    #: tracker's material, in units of a CMS-like budget: 1 switches on bremsstrahlung, conversions, GSF tracks, brem
    #: points and superclusters
    material: float = 0.0
    #: share of the electrons' seeds found in the pixel detector; relative error of the momentum lost in a layer
    pixel_seeds: float = 0.99
    brem_error: float = 0.03
    #: superclusters: 0 by rule, 1 by the network that comes with the package
    superclusters: float = 0.0


@dataclass(frozen=True)
class Profile:
    """Detector, beam, tune and matter; ``name`` also keeps the pile-up libraries of data and simulation apart."""

    name: str
    detector: Detector = field(default_factory=Detector)
    beam: Beam = field(default_factory=Beam)
    tune: Tune = field(default_factory=Tune)
    matter: Matter = field(default_factory=Matter)


DATA: dict[str, float] = {
    "pileup_mean": 35.0,
    "pileup_spread": 10.0,
    "x": -0.025,
    "y": 0.069,
    "sigma_z": 3.3,
    "alpha_s_isr": 0.155,
    "mpi_pt0": 2.2,
    "track_efficiency": 0.93,
    "ecal_scale": 0.985,
    "ecal_noise_barrel": 0.045,
    "ecal_noise_endcap": 0.17,
    "hcal_scale": 0.93,
    "hcal_stochastic": 1.2,
    "hcal_constant": 0.08,
    "hcal_noise": 0.22,
    "crack_share": 0.05,
    "hcal_dead_phi": 0.7,
    "hcal_pulses": 0.02,
    "hf_scale": 0.94,
    "hf_em_stochastic": 2.4,
    "hf_had_stochastic": 3.4,
    "shift_x": 0.10,
    "shift_y": 0.05,
}
"""What the pseudo-data differ in from the simulation."""


def profile(name: str, **overrides: float) -> Profile:
    """The profile of a name, "mc" or "data", with single parameters of its detector, beam, tune or matter replaced."""
    if name not in ("mc", "data"):
        raise UnknownName("profile", name, ("mc", "data"))
    values = {**(DATA if name == "data" else {}), **overrides}
    known = {*Detector._fields, *Beam._fields, *Tune._fields, *Matter._fields}
    for key, value in values.items():
        if key not in known:
            raise UnknownName("simulation parameter", key, known)
        if key not in _SIGNED and not value >= 0:
            raise OptionError(f"simulation parameter {key} is {value}; it has to be 0 or more")
    chosen = Profile(name)
    return dataclasses.replace(
        chosen,
        detector=chosen.detector._replace(**{k: float(v) for k, v in values.items() if k in Detector._fields}),
        beam=chosen.beam._replace(**{k: float(v) for k, v in values.items() if k in Beam._fields}),
        tune=chosen.tune._replace(**{k: float(v) for k, v in values.items() if k in Tune._fields}),
        matter=chosen.matter._replace(**{k: float(v) for k, v in values.items() if k in Matter._fields}),
    )


_SIGNED = {"x", "y", "shift_x", "shift_y"}
