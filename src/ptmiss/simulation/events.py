"""Blocks of events: generation, crossing, detector and derived quantities, as the columns of the schema."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss import jets, segments
from ptmiss.candidates import puppi
from ptmiss.simulation import detector, filters, generator, leptons, photons, pileup, schema, triggers
from ptmiss.simulation.generator import HardEvents
from ptmiss.simulation.parameters import Profile
from ptmiss.simulation.particleflow import Candidates
from ptmiss.simulation.particles import Library
from ptmiss.simulation.tracks import FAKE

SECTION, SECTIONS = 10, 100  # events in a luminosity section; sections in a run of pseudo-data
FIRST_RUN = 360_000
Columns = dict[str, NDArray]
_GENERATION, _CROSSING, _DETECTOR, _LEPTONS, _PHOTONS, _FILTERS = range(6)


@dataclass(frozen=True)
class Block:
    """A block of a production: ``n`` events from number ``first`` on; the first ``with_elements`` have elements."""

    number: int
    first: int
    n: int
    seed: np.random.SeedSequence
    with_elements: int

    def rng(self, *purpose: int) -> np.random.Generator:
        """A generator of random numbers for one purpose. How many of them are used has no effect on the others."""
        return np.random.default_rng(
            np.random.SeedSequence(self.seed.entropy, spawn_key=(*self.seed.spawn_key, *purpose))
        )


class _Event(NamedTuple):
    seen: detector.ReconstructedEvent
    crossing: pileup.Crossing


def simulate_block(
    block: Block,
    process: str,
    profile: Profile,
    library: Library,
    start_file: Path | None,
    elements: bool,
    shower_weights: bool = False,
) -> Columns:
    """The columns of one block, ``nPFCands``, ``PFCands_pt`` and so on. They depend on its seed alone."""
    seed = int(block.rng(_GENERATION).integers(1, 900_000_000))
    hard = generator.generate(generator.process(process), block.n, seed, start_file, profile.tune, shower_weights)
    return columns(block, hard, profile, library, elements)


def columns(block: Block, hard: HardEvents, profile: Profile, library: Library, elements: bool) -> Columns:
    """The columns of given hard events."""
    events = []
    for i in range(block.n):
        crossing = pileup.cross(hard.library.collision(i), library, profile.beam, block.rng(_CROSSING, i))
        with_truth = elements and i < block.with_elements
        seen = detector.reconstruct(crossing, profile, block.rng(_DETECTOR, i), with_truth)
        events.append(_Event(seen, crossing))
    table, rng = _candidates(events), block.rng(_LEPTONS)
    muons, electrons = _leptons(events, table, rng)
    found = photons.select(table.candidates, table.origin, hard.history, table.offsets, block.rng(_PHOTONS))
    values = {
        "": {
            **_numbers(block, profile, hard),
            "HLT_IsoMu24": triggers.single_muon(muons, table.candidates, table.offsets, rng),
            "HLT_Ele32_WPTight_Gsf": triggers.single_electron(electrons, table.candidates, table.offsets),
            "HLT_Photon50": triggers.single_photon(found, table.candidates, table.offsets),
        },
        "Flag": filters.flags(block.n, profile.name, block.rng(_FILTERS)),
        "Pileup": {
            "nTrueInt": [e.crossing.mean for e in events],
            "nPU": [len(e.crossing.vertices) - 1 for e in events],
        },
        **_vertices(events),
        **_missing(table, hard),
        "PFCands": table.columns,
        "Muon": _muon_columns(muons, table),
        "Electron": _electron_columns(electrons, table),
        "Photon": _photon_columns(found, table),
        **_jets(table, hard),
        "GenPart": _history(hard),
    }
    if elements:
        values.update(_elements(events, block.with_elements))
    if hard.shower is not None:
        counts = np.full(block.n, hard.shower.shape[1])
        values["PSWeight"] = {"_counts": counts, "": hard.shower.ravel()}
    return _in_schema(values)


class _Table(NamedTuple):
    """Flat candidates, and quantities derived from them; calo_eta: (candidates,) from the detector's centre."""

    candidates: Candidates
    calo_eta: NDArray[np.float64]
    offsets: NDArray[np.int64]
    origin: NDArray[np.int8]
    weight: NDArray[np.float32]
    columns: dict[str, Any]


def _candidates(events: list[_Event]) -> _Table:
    """All candidates, with their association to vertices and their PUPPI weights."""
    flat = Candidates(*(np.concatenate(c) for c in zip(*(e.seen.candidates for e in events), strict=True)))
    counts = np.array([len(e.seen.candidates.pt) for e in events])
    offsets = segments.from_counts(counts)
    charged = flat.charge != 0
    track = {
        name: np.concatenate([getattr(e.seen.elements, name)[e.seen.candidates.element] for e in events])
        for name in ("dxy", "dz", "from_pv", "quality", "calo_eta")
    }
    d0, dz = (np.where(charged, track[name], 0.0) for name in ("dxy", "dz"))
    from_pv, quality = np.where(charged, track["from_pv"], 3), np.where(charged, track["quality"], 7)
    origin = puppi.charged_origin(flat.charge, from_pv, dz)
    npv = np.array([e.seen.vertices.good for e in events])
    weight = puppi.weights(flat.pt, flat.eta, flat.phi, origin, offsets, npv)
    names = {name: getattr(flat, name) for name in ("pt", "eta", "phi", "mass", "charge")}
    rest = {
        "pdgId": flat.pdg_id,
        "d0": d0,
        "dz": dz,
        "puppiWeight": weight,
        "fromPV": from_pv,
        "pvAssocQuality": quality,
    }
    return _Table(flat, track["calo_eta"], offsets, origin, weight, {"_counts": counts, **names, **rest})


def _numbers(block: Block, profile: Profile, hard: HardEvents) -> dict[str, Any]:
    event = block.first + np.arange(block.n)
    section = event // SECTION
    return {
        "run": FIRST_RUN + section // SECTIONS if profile.name == "data" else np.ones(block.n),
        "luminosityBlock": 1 + (section % SECTIONS if profile.name == "data" else section),
        "event": event + 1,
        "genWeight": hard.weight,
    }


def _vertices(events: list[_Event]) -> dict[str, dict[str, Any]]:
    vertices = [e.seen.vertices for e in events]
    position = np.stack([v.position[0] for v in vertices])
    primary = {
        "npvs": [len(v.tracks) for v in vertices],
        "npvsGood": [v.good for v in vertices],
        **dict(zip("xyz", position.T, strict=True)),
        "isHard": [v.hard for v in vertices],
    }
    others = {
        "_counts": np.array([len(v.tracks) - 1 for v in vertices]),
        "z": np.concatenate([v.position[1:, 2] for v in vertices]),
    }
    return {"PV": primary, "OtherPV": others}


def _missing(table: _Table, hard: HardEvents) -> dict[str, dict[str, Any]]:
    """The branches of the three missing transverse momenta."""
    pt, phi = table.candidates.pt, table.candidates.phi
    transverse = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt], axis=1)
    plain = segments.sum_by_event(transverse, table.offsets)
    puppied = segments.sum_by_event(transverse * table.weight[:, None], table.offsets)
    out = {
        name: _polar(-total[:, :2]) | {"sumEt": total[:, 2]} for name, total in (("MET", plain), ("PuppiMET", puppied))
    }
    return {**out, "GenMET": _polar(hard.invisible)}


def _polar(vector: NDArray) -> dict[str, Any]:
    return {"pt": np.hypot(vector[:, 0], vector[:, 1]), "phi": np.arctan2(vector[:, 1], vector[:, 0])}


def _leptons(events: list[_Event], table: _Table, rng: np.random.Generator) -> tuple[leptons.Leptons, leptons.Leptons]:
    """Muons and electrons."""
    genuine = np.concatenate([_genuine(event) for event in events])
    muons, electrons = (
        leptons.select(code, table.candidates, table.origin, genuine, table.offsets, rng) for code in (13, 11)
    )
    return muons, electrons


def _genuine(event: _Event) -> NDArray[np.bool_]:
    """(candidates,) whether the candidate's track is that of a particle with the same code."""
    candidates = event.seen.candidates
    charged = candidates.charge != 0
    out = np.zeros(len(charged), dtype=np.bool_)
    particle = event.seen.track_particle(candidates.element[charged])
    true = np.where(particle != FAKE, np.abs(event.crossing.particles.pdg_id[particle]), 0)
    out[charged] = true == np.abs(candidates.pdg_id[charged])
    return out


def _muon_columns(found: leptons.Leptons, table: _Table) -> dict[str, Any]:
    names = {"looseId": found.loose, "mediumId": found.medium, "tightId": found.tight}
    return {**_lepton_columns(found, table), "pfRelIso04_all": found.isolation, **names}


def _electron_columns(found: leptons.Leptons, table: _Table) -> dict[str, Any]:
    return {
        **_lepton_columns(found, table),
        "pfRelIso03_all": found.isolation,
        "cutBased": 2 + found.medium.astype(np.int32) + found.tight,
        "mvaIso_WP90": found.medium & (found.isolation < 0.15),
        "mvaIso_WP80": found.tight & (found.isolation < 0.10),
        "deltaEtaSC": table.calo_eta[found.candidate] - table.candidates.eta[found.candidate],
    }


def _photon_columns(found: photons.Photons, table: _Table) -> dict[str, Any]:
    row, level = found.candidate, found.identification
    return {
        "_counts": np.diff(np.searchsorted(row, table.offsets)),
        **{name: table.columns[name][row] for name in ("pt", "eta", "phi")},
        "pfRelIso03_all": found.isolation,
        "cutBased": level,
        "mvaID_WP90": level >= 2,
        "mvaID_WP80": level >= 3,
        "electronVeto": found.electron_veto,
        "pixelSeed": found.pixel_seed,
    }


def _lepton_columns(found: leptons.Leptons, table: _Table) -> dict[str, Any]:
    row, source = found.candidate, table.columns
    shared = {name: source[name][row] for name in ("pt", "eta", "phi", "mass", "charge", "pdgId", "dz")}
    return {"_counts": np.diff(np.searchsorted(row, table.offsets)), **shared, "dxy": source["d0"][row]}


def _jets(table: _Table, hard: HardEvents) -> dict[str, dict[str, Any]]:
    candidates, kept = table.candidates, table.weight > 0
    pt, eta, phi, mass = (column[kept] for column in candidates[:4])
    weight = table.weight[kept].astype(np.float64)
    momentum = weight * np.stack(
        [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)]
    )
    particles = hard.library.particles
    true = np.stack([particles.px, particles.py, particles.pz, particles.energy]).astype(np.float64)
    found = jets.cluster(momentum.T, segments.select(kept, table.offsets), jets.MIN_PT)
    generated = jets.cluster(true.T, hard.library.offsets, jets.MIN_GEN_PT)
    matched = jets.match(found, generated)
    return {"Jet": {**_jet_columns(found), "genJetIdx": matched}, "GenJet": _jet_columns(generated)}


def _jet_columns(found: jets.Jets) -> dict[str, Any]:
    return {"_counts": found.counts, "pt": found.pt, "eta": found.eta, "phi": found.phi, "mass": found.mass}


def _history(hard: HardEvents) -> dict[str, Any]:
    kept = hard.history
    return {
        "_counts": np.diff(kept.offsets),
        **{name: getattr(kept, name) for name in ("pt", "eta", "phi", "mass", "status")},
        "pdgId": kept.pdg_id,
        "statusFlags": kept.flags,
        "genPartIdxMother": kept.mother,
    }


_ELEMENT_NAMES = {
    "caloEta": "calo_eta",
    "caloPhi": "calo_phi",
    "d0": "dxy",
    "ptError": "pt_error",
    "d0Error": "dxy_error",
    "dzError": "dz_error",
    "fromPV": "from_pv",
    "pvAssocQuality": "quality",
    "isMuon": "muon",
    "isElectron": "electron",
    "nCells": "cells",
}
_DETAIL_NAMES = {
    "ptOut": "pt_out",
    "deltaP": "delta_p",
    "deltaPError": "delta_p_error",
    "trajectoryPoint": "trajectory_point",
    "nHits": "hits",
    "nDTHits": "dt_hits",
    "nCSCHits": "csc_hits",
    "correctedEnergy": "corrected_energy",
}
_TARGET_NAMES = {
    "type": "kind",
    "pileupFraction": "pileup",
    "emEnergy": "em_energy",
    "hadEnergy": "had_energy",
    "nParticles": "particles",
    "tracklessFraction": "trackless",
}


def _elements(events: list[_Event], n: int) -> dict[str, dict[str, Any]]:
    """The branches of elements and targets of the first ``n`` events; the others have none."""
    out: dict[str, dict[str, Any]] = {}
    counts = np.array([len(e.seen.elements.pt) if i < n else 0 for i, e in enumerate(events)])
    parts = [("PFElement", "elements", _ELEMENT_NAMES), ("PFElementTarget", "targets", _TARGET_NAMES)]
    if events[0].seen.details is not None:
        parts.append(("PFElementDetail", "details", _DETAIL_NAMES))
        parts.append(("PFElementShower", "showers", {"pdgId": "pdg_id"}))
    for collection, part, names in parts:
        branches = next(c for c in schema.SCHEMA if c.name == collection).branches
        out[collection] = {"_counts": counts}
        for branch in branches:
            field = names.get(branch.name, branch.name)
            kept = [getattr(getattr(event.seen, part), field) for event in events[:n]]
            out[collection][branch.name] = np.concatenate(kept) if kept else np.zeros(0)
    return out


def _in_schema(values: dict[str, dict[str, Any]]) -> Columns:
    """Branches in the schema's order, types and precision."""
    out: Columns = {}
    for collection in schema.collections(values):
        if collection.many:
            out[f"n{collection.name}"] = np.asarray(values[collection.name]["_counts"], dtype=np.int64)
        for branch in collection.branches:
            out[collection.branch_name(branch)] = schema.cut(values[collection.name][branch.name], branch)
    return out
