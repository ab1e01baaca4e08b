"""Detector and reconstruction: from a bunch crossing to particle-flow candidates, one event at a time.

No nuclear interactions or out-of-time pile-up; bremsstrahlung photons and conversions only with matter in the tracker.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.networks.superclusters import load as load_network
from ptmiss.simulation import (
    calorimeter,
    cascade,
    details,
    electrons,
    electrontracks,
    elements,
    geometry,
    helix,
    particleflow,
    showers,
    superclusters,
    tracks,
    truth,
    vertices,
)
from ptmiss.simulation.electrontracks import GsfTracks
from ptmiss.simulation.parameters import Detector, Profile
from ptmiss.simulation.particles import Particles
from ptmiss.simulation.pileup import Crossing


class ReconstructedEvent(NamedTuple):
    """One reconstructed event; ``targets`` is None without truth, the last three are None without matter."""

    tracks: tracks.Tracks
    vertices: vertices.Vertices
    elements: elements.Elements
    candidates: particleflow.Candidates
    targets: truth.Targets | None
    details: details.Details | None = None
    gsf: GsfTracks | None = None
    showers: truth.Showers | None = None

    def track_particle(self, element: NDArray[np.int64]) -> NDArray[np.int64]:
        """(rows,) the particle of the tracks or GSF tracks at rows of the elements, -1 for a fake."""
        if self.gsf is None:
            return self.tracks.particle[element]
        first = int(np.searchsorted(self.elements.type, elements.GSF))
        known = np.full(len(self.elements.pt), tracks.FAKE)
        known[: len(self.tracks.particle)] = self.tracks.particle
        known[first : first + len(self.gsf.tracks.particle)] = self.gsf.tracks.particle
        return known[element]


def reconstruct(
    crossing: Crossing, profile: Profile, rng: np.random.Generator, with_truth: bool = True
) -> ReconstructedEvent:
    """Tracks, vertices, elements and candidates of a crossing.

    With matter, what comes of it has random numbers of its own, children of ``rng``.
    """
    if profile.matter.material > 0:
        return _in_matter(crossing, profile, rng, with_truth)
    particles, detector, beam = crossing.particles, profile.detector, profile.beam
    found = tracks.reconstruct(particles, detector, beam, rng)
    primary = vertices.find(found, crossing.collision, crossing.vertices, beam, rng)
    association = vertices.associate(found, primary, rng)

    cells = geometry.cells(detector)
    hits = showers.deposit(particles, *_reach(particles, detector), detector, rng)
    energy = calorimeter.read_out(hits, cells, detector, rng)
    clusters, towers = calorimeter.cluster(energy, cells), calorimeter.towers(energy, cells)

    impact = _extrapolate(found, detector)
    collected = elements.collect(found, association, impact, clusters, towers, primary.position[0])
    candidates = particleflow.reconstruct(collected)
    targets = (
        truth.assign(particles, crossing.collision, found, hits, clusters, towers, collected) if with_truth else None
    )
    return ReconstructedEvent(found, primary, collected, candidates, targets)


def _in_matter(crossing: Crossing, profile: Profile, rng: np.random.Generator, with_truth: bool) -> ReconstructedEvent:
    """The same with material in the tracker."""
    particles, detector, beam, matter = crossing.particles, profile.detector, profile.beam, profile.matter
    of_matter = rng.spawn(1)[0]
    rows = cascade.propagate(particles, matter.material, detector.solenoid, of_matter)
    followed = np.isin(np.arange(len(particles.px)), rows.parent)
    plain = tracks.reconstruct(
        particles._replace(charge=np.where(followed, 0, particles.charge).astype(np.int8)), detector, beam, rng
    )
    light, of_light = electrontracks.general(rows, detector, beam, of_matter)
    found = tracks.concatenate([plain, light])
    row_of = np.concatenate([np.full(len(plain.pt), cascade.PRIMARY), of_light])
    primary = vertices.find(found, crossing.collision, crossing.vertices, beam, rng)
    association = vertices.associate(found, primary, rng)

    cells = geometry.cells(detector)
    arriving, parent = cascade.arrivals(particles, rows)
    row_hits = showers.deposit(arriving, *_reach(arriving, detector), detector, rng)
    hits = cascade.by_particle(row_hits, parent, len(particles.px))
    energy = calorimeter.read_out(hits, cells, detector, rng)
    clusters, towers = calorimeter.cluster(energy, cells), calorimeter.towers(energy, cells)
    super_ = superclusters.build(clusters, load_network() if matter.superclusters > 0 else None)

    plain_elements = elements.collect(
        found, association, _extrapolate(found, detector), clusters, towers, primary.position[0]
    )
    gsf = electrontracks.gaussian_sum(rows, found, row_of, super_, detector, beam, matter, of_matter)
    of_gsf = vertices.associate(gsf.tracks, primary, of_matter)
    brems = details.brem_points(rows, gsf, detector, matter, of_matter)
    impact = _extrapolate(gsf.tracks, detector)
    vertex = primary.position[0]
    collected, more = details.collect(
        plain_elements, found, gsf, impact, of_gsf, brems, clusters, super_, vertex, of_matter
    )
    candidates = electrons.reconstruct(collected, gsf, super_, rows, row_of)
    targets = (
        truth.assign(particles, crossing.collision, found, hits, clusters, towers, collected, gsf)
        if with_truth
        else None
    )
    seen = truth.showers(particles, hits, clusters, collected.type) if with_truth else None
    return ReconstructedEvent(found, primary, collected, candidates, targets, more, gsf, seen)


def _reach(particles: Particles, detector: Detector) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    momentum, vertex = particles[:3], particles[4:7]
    return helix.reach(*momentum, particles.charge, *vertex, detector.solenoid)


def _extrapolate(found: tracks.Tracks, detector: Detector) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Calorimeter that each track reaches, (tracks,), and the point there in cm, (tracks, 3), as measured."""
    momentum = found.pt * np.cos(found.phi), found.pt * np.sin(found.phi), found.pt * np.sinh(found.eta)
    return helix.reach(*momentum, found.charge, found.x, found.y, found.z, detector.solenoid)
