"""Invented Z → μμ events with a known recoil, for tests that need no more than that."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import uproot
from numpy.typing import NDArray

from ptmiss.files import replacing
from ptmiss.recoil import azimuth, cartesian, magnitude
from ptmiss.segments import from_counts, sum_by_event
from ptmiss.typing import Vector

Z_MASS, Z_WIDTH, MUON_MASS = 91.19, 2.5, 0.1057  # GeV
PILEUP = 30.0
RESPONSE = 0.9

Columns = dict[str, NDArray]


def write_events(path: Path, n: int = 4000, seed: int = 1, jets: float = 0.0) -> None:
    """Write n invented events as a NanoAOD-style file; jets: mean number of jets of 40 GeV, whatever the recoil."""
    rng = np.random.default_rng(seed)
    npv = 1 + rng.poisson(PILEUP, n)
    muons, boson = z_to_mumu(rng, n)
    parts = [
        muon_candidates(muons),
        hard(rng, boson),
        soft(rng, rng.poisson(20, n), 1.0),
        soft(rng, rng.poisson(9 * npv), 0.0),
    ]
    candidates = merged(parts)
    branches = {
        "run": np.ones(n, np.uint32),
        "luminosityBlock": np.ones(n, np.uint32),
        "event": np.arange(1, n + 1, dtype=np.uint64),
        "genWeight": np.ones(n, np.float32),
        "PV_npvs": npv.astype(np.int32),
        "GenMET_pt": np.zeros(n, np.float32),
        "GenMET_phi": np.zeros(n, np.float32),
        "PFCands": ak.zip(candidates),
        "Muon": ak.zip(muons | {"pdgId": -13 * muons["charge"]}),
        "Jet": counted(rng.poisson(jets, n)),
    }
    with replacing(path) as temporary, uproot.recreate(temporary, compression=uproot.ZSTD(5)) as file:
        tree = {name: value.type if isinstance(value, ak.Array) else value.dtype for name, value in branches.items()}
        file.mktree("Events", tree, counter_name=lambda c: f"n{c}", field_name=lambda c, f: f"{c}_{f}")
        file["Events"].extend(branches)


def counted(numbers: NDArray) -> ak.Array:
    """(events, var) jets, so many in each event, away from muons; GeV."""
    values = {"pt": 40.0, "eta": 2.39, "phi": 0.0, "mass": 5.0}
    return ak.zip({name: ak.unflatten(np.full(numbers.sum(), value), numbers) for name, value in values.items()})


def z_to_mumu(rng: np.random.Generator, n: int) -> tuple[Columns, Vector]:
    """Two muons an event from the decay of a boson with a falling pT spectrum; jagged columns and the boson, GeV."""
    mass = Z_MASS + Z_WIDTH / 2 * rng.standard_cauchy(n).clip(-10, 10)
    qt, phi, rapidity = rng.gamma(1.3, 22, n), rng.uniform(-np.pi, np.pi, n), rng.normal(0, 1.1, n)
    cos_theta, around = rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n)
    boost_t = np.hypot(qt, mass) / mass
    half = mass / 2 * np.sqrt(1 - cos_theta**2)
    momenta = []
    for sign in (1, -1):
        along, across = sign * half * np.cos(around), sign * half * np.sin(around)
        longitudinal = sign * mass / 2 * cos_theta
        px = boost_t * along + qt / 2
        energy = boost_t * mass / 2 + qt / mass * along
        eta = np.arcsinh((np.sinh(rapidity) * energy + np.cosh(rapidity) * longitudinal) / np.hypot(px, across))
        momenta.append((np.hypot(px, across), eta, azimuth(rotated(px, across, phi))))
    pt, eta, angle = (np.stack(part, axis=1) for part in zip(*momenta, strict=True))
    charge = np.tile(np.array([1, -1], np.int32), (n, 1))
    muons = {
        "pt": pt,
        "eta": eta,
        "phi": angle,
        "mass": np.full((n, 2), MUON_MASS),
        "pfRelIso04_all": np.full((n, 2), 0.02),
    }
    jagged = {name: ak.from_regular(ak.Array(value.astype(np.float32))) for name, value in muons.items()}
    jagged |= {"charge": ak.from_regular(ak.Array(charge)), "looseId": ak.from_regular(ak.Array(np.ones((n, 2), bool)))}
    return jagged, cartesian(qt, phi)


def rotated(x: NDArray, y: NDArray, phi: NDArray) -> Vector:
    """Vectors turned by phi."""
    return np.stack([x * np.cos(phi) - y * np.sin(phi), x * np.sin(phi) + y * np.cos(phi)], axis=-1)


def muon_candidates(muons: Columns) -> Columns:
    """The muons as PF candidates."""
    columns = {name: muons[name] for name in ("pt", "eta", "phi", "mass", "charge")}
    ones = ak.ones_like(muons["pt"])
    pdg_id = -13 * muons["charge"]
    return columns | {"pdgId": pdg_id, "puppiWeight": ones, "fromPV": ak.values_astype(3 * ones, np.int32)}


def hard(rng: np.random.Generator, boson: Vector) -> Columns:
    """Hadrons that balance the boson with a response below one."""
    qt = magnitude(boson)
    counts = 3 + rng.poisson(6 + qt / 4)
    share = rng.exponential(1, counts.sum()) + 0.05
    offsets = from_counts(counts)
    share *= np.repeat(qt * RESPONSE / sum_by_event(share, offsets), counts)
    share *= np.maximum(rng.normal(1.1, 0.35, len(share)), 0.05)
    phi = np.repeat(azimuth(-boson), counts) + rng.normal(0, 0.45, len(share))
    return hadrons(rng, counts, share + 0.1, rng.normal(0, 1.3, len(share)), phi, of_vertex=1.0)


def soft(rng: np.random.Generator, counts: NDArray, of_vertex: float) -> Columns:
    """Soft hadrons in all directions: of the underlying event (of_vertex 1) or of pile-up (0)."""
    n = counts.sum()
    pt = 0.3 + rng.exponential(1.1, n)
    return hadrons(rng, counts, pt, rng.uniform(-4.5, 4.5, n), rng.uniform(-np.pi, np.pi, n), of_vertex)


def hadrons(
    rng: np.random.Generator, counts: NDArray, pt: NDArray, eta: NDArray, phi: NDArray, of_vertex: float
) -> Columns:
    """Candidates with kind, charge, PUPPI weight and fromPV."""
    n = len(pt)
    charged = (rng.random(n) < 0.6) & (np.abs(eta) < 2.5)
    sign = rng.choice([-1, 1], n)
    neutral = np.where(np.abs(eta) > 3, 1, np.where(rng.random(n) < 0.7, 22, 130))
    weight = rng.beta(4, 1, n) if of_vertex else rng.beta(1, 5, n)
    columns = {
        "pt": pt.astype(np.float32),
        "eta": eta.astype(np.float32),
        "phi": ((phi + np.pi) % (2 * np.pi) - np.pi).astype(np.float32),
        "mass": np.where(charged, 0.13957, 0).astype(np.float32),
        "charge": np.where(charged, sign, 0).astype(np.int32),
        "pdgId": np.where(charged, 211 * sign, neutral).astype(np.int32),
        "puppiWeight": np.where(charged, of_vertex, weight).astype(np.float32),
        "fromPV": np.where(charged, 3 * int(of_vertex), 3).astype(np.int32),
    }
    return {name: ak.unflatten(column, counts) for name, column in columns.items()}


def merged(parts: list[Columns]) -> Columns:
    """Candidates of several origins in one list an event."""
    columns = {name: ak.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
    zero = ak.zeros_like(columns["pt"])
    return columns | {"d0": zero, "dz": zero}
