"""Pile-up: one library of minimum-bias collisions, and crossings drawn from it.

Each crossing has a Poisson number of collisions around a mean that itself varies. Random rotations in phi and
reflections in z make collisions that are used more than once different. Simulation and pseudo-data have separate
libraries.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import FileError
from ptmiss.files import replacing
from ptmiss.simulation.parameters import Beam
from ptmiss.simulation.particles import Library, Particles, concatenate


class Crossing(NamedTuple):
    """All particles of a bunch crossing.

    collision: (particles,) number of each one's collision, 0 for the hard one. vertices: (collisions, 3), cm. mean:
    expected number of additional collisions.
    """

    particles: Particles
    collision: NDArray[np.int32]
    vertices: NDArray[np.float64]
    mean: float


def cross(hard: Particles, library: Library, beam: Beam, rng: np.random.Generator) -> Crossing:
    """The hard collision with pile-up; each collision is at its own point in the luminous region."""
    mean = max(rng.normal(beam.pileup_mean, beam.pileup_spread), 0.0) if beam.pileup_mean > 0 else 0.0
    extra = rng.integers(len(library), size=rng.poisson(mean)) if len(library) else np.zeros(0, dtype=np.int64)
    spread = (beam.sigma_xy, beam.sigma_xy, beam.sigma_z)
    vertices = np.array([beam.x, beam.y, 0.0]) + rng.normal(size=(len(extra) + 1, 3)) * spread
    first, counts = library.offsets[extra], library.offsets[extra + 1] - library.offsets[extra]
    collision = np.repeat(np.arange(1, len(extra) + 1), counts)
    index = np.arange(counts.sum()) + np.repeat(first - np.cumsum(counts) + counts, counts)
    angle, flip = rng.uniform(0, 2 * np.pi, len(extra)), rng.choice([-1.0, 1.0], len(extra))
    soft = _rotate(library.particles.take(index), angle[collision - 1], flip[collision - 1])
    collision = np.concatenate([np.zeros(len(hard.px), dtype=np.int64), collision])
    particles = concatenate([hard, soft])
    moved = dict(zip("xyz", (vertices[collision].T + np.stack(particles[4:7])).astype(np.float32), strict=True))
    return Crossing(particles._replace(**moved), collision.astype(np.int32), vertices, mean)


def _rotate(particles: Particles, angle: NDArray, flip: NDArray) -> Particles:
    """Particles rotated in phi by an angle and reflected in z by a sign, (particles,) each."""
    cosine, sine = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    sign = flip.astype(np.float32)
    return particles._replace(
        px=cosine * particles.px - sine * particles.py,
        py=sine * particles.px + cosine * particles.py,
        pz=sign * particles.pz,
        x=cosine * particles.x - sine * particles.y,
        y=sine * particles.x + cosine * particles.y,
        z=sign * particles.z,
    )


def save(library: Library, path: Path) -> None:
    """Write a library, whole or not at all."""
    with replacing(path) as partial:
        np.savez_compressed(partial, offsets=library.offsets, **library.particles._asdict())


def load(path: Path) -> Library:
    """Read a library that :func:`save` wrote."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return Library(Particles(*(file[name] for name in Particles._fields)), file["offsets"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise FileError(f"{path} is not a particle library: {error}") from None
