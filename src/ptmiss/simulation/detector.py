"""Detector and reconstruction: from a bunch crossing to particle-flow candidates, one event at a time.

No conversions, bremsstrahlung photons, nuclear interactions or out-of-time pile-up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.simulation import calorimeter, elements, geometry, helix, particleflow, showers, tracks, truth, vertices
from ptmiss.simulation.parameters import Detector, Profile
from ptmiss.simulation.particles import Particles
from ptmiss.simulation.pileup import Crossing


class ReconstructedEvent(NamedTuple):
    """One reconstructed event; ``targets`` is None without truth."""

    tracks: tracks.Tracks
    vertices: vertices.Vertices
    elements: elements.Elements
    candidates: particleflow.Candidates
    targets: truth.Targets | None


def reconstruct(
    crossing: Crossing, profile: Profile, rng: np.random.Generator, with_truth: bool = True
) -> ReconstructedEvent:
    """Tracks, vertices, elements and candidates of a crossing."""
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


def _reach(particles: Particles, detector: Detector) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    momentum, vertex = particles[:3], particles[4:7]
    return helix.reach(*momentum, particles.charge, *vertex, detector.solenoid)


def _extrapolate(found: tracks.Tracks, detector: Detector) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Calorimeter that each track reaches, (tracks,), and the point there in cm, (tracks, 3), as measured."""
    momentum = found.pt * np.cos(found.phi), found.pt * np.sin(found.phi), found.pt * np.sinh(found.eta)
    return helix.reach(*momentum, found.charge, found.x, found.y, found.z, detector.solenoid)
