"""Stable particles as flat arrays: the record of generation, pile-up and detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

INVISIBLE = (12, 14, 16)


class Particles(NamedTuple):
    """Stable visible particles, each array of shape (particles,): momenta in GeV, production vertex in cm."""

    px: NDArray
    py: NDArray
    pz: NDArray
    mass: NDArray
    x: NDArray
    y: NDArray
    z: NDArray
    pdg_id: NDArray
    charge: NDArray

    def take(self, index: NDArray) -> Particles:
        """The particles of an index, or of a mask (particles,)."""
        return Particles(*(column[index] for column in self))

    @property
    def pt(self) -> NDArray:
        """(particles,) transverse momentum in GeV."""
        return np.hypot(self.px, self.py)

    @property
    def energy(self) -> NDArray:
        """(particles,) energy in GeV."""
        return np.sqrt(self.px**2 + self.py**2 + self.pz**2 + self.mass**2)


class Library(NamedTuple):
    """Particles of many collisions; collision i owns those from ``offsets[i]`` to ``offsets[i + 1]``."""

    particles: Particles
    offsets: NDArray

    def __len__(self) -> int:
        """Number of collisions."""
        return len(self.offsets) - 1

    def collision(self, index: int) -> Particles:
        """The particles of one collision."""
        return self.particles.take(slice(self.offsets[index], self.offsets[index + 1]))  # type: ignore[arg-type]


def make(columns: Sequence[NDArray], pdg_id: NDArray, charge: NDArray) -> Particles:
    """Particles from columns px, py, pz, mass (GeV), x, y, z (cm), and integers, each (particles,)."""
    px, py, pz, mass, x, y, z = (np.asarray(column, dtype=np.float32) for column in columns)
    return Particles(px, py, pz, mass, x, y, z, np.asarray(pdg_id, dtype=np.int32), np.asarray(charge, dtype=np.int8))


def concatenate(parts: list[Particles]) -> Particles:
    """One record from several."""
    return Particles(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def join(libraries: list[Library]) -> Library:
    """One library from several."""
    counts = np.concatenate([np.diff(library.offsets) for library in libraries])
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return Library(concatenate([library.particles for library in libraries]), offsets)
