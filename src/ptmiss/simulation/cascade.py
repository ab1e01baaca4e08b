"""Electrons and photons on their way through the tracker: what they radiate, and what converts.

They go from layer to layer, charged ones on helices. In each an electron may radiate a photon, which leaves along the
tangent, and a photon may convert. What comes out goes to the calorimeter: the photons of an electron land spread in phi
beside it, as its track turns. Nothing is added or lost but photons below MIN_PHOTON.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.segments import from_counts
from ptmiss.simulation import helix, material
from ptmiss.simulation.material import LAYERS
from ptmiss.simulation.particles import Particles, concatenate, make
from ptmiss.simulation.showers import Hits

MIN_ENERGY, MIN_PHOTON = 0.2, 0.05
"""Least energies (GeV) of particles that are followed, and of radiated photons."""
PRIMARY = -1
_COLUMNS = ("px", "py", "pz", "x", "y", "z")


class Cascade(NamedTuple):
    """Electrons and photons in the tracker, each array of shape (rows,): generated ones first, then what they make.

    first, last: where they begin, and where they are after the last layer that they cross. parent: the generated
    particle, its row in the event. root: the row of that particle here. mother: row, -1 for generated ones. born: layer
    that a row comes from, -1 for generated ones. converted: photons that ended in a conversion. path: (rows, layers, 5)
    px, py (GeV), x, y, z (cm) at each layer before it radiates there; nan where it never was. lost: (rows, layers)
    share of its momentum radiated there.
    """

    first: Particles
    last: Particles
    parent: NDArray[np.int64]
    root: NDArray[np.int64]
    mother: NDArray[np.int64]
    born: NDArray[np.int64]
    converted: NDArray[np.bool_]
    path: NDArray[np.float64]
    lost: NDArray[np.float64]

    @property
    def crossed(self) -> NDArray[np.bool_]:
        """(rows, layers) where a row crossed a layer."""
        return np.isfinite(self.path[:, :, 0])

    @property
    def pt(self) -> NDArray[np.float64]:
        """(rows, layers) pT (GeV) with which a row came to a layer, nan where it never was."""
        return np.hypot(self.path[:, :, 0], self.path[:, :, 1])


def followed(particles: Particles) -> NDArray[np.bool_]:
    """(particles,) the electrons and photons that begin inside the tracker and are not too soft."""
    light = np.isin(np.abs(particles.pdg_id), (11, 22)) & (particles.energy > MIN_ENERGY)
    inside = (np.hypot(particles.x, particles.y) < material.RADII[-1]) & (
        np.abs(particles.z) < material.HALF_LENGTHS[-1]
    )
    return light & inside & (np.abs(particles.pz) < np.sinh(helix.ENDCAP_ETA) * particles.pt)


def propagate(particles: Particles, amount: float, field: float, rng: np.random.Generator) -> Cascade:
    """The cascade of an event's particles; amount: of material, in units of the budget; field in tesla."""
    chosen = np.flatnonzero(followed(particles))
    rows = _begin(_double(particles.take(chosen)), chosen)
    for layer in range(LAYERS):
        rows = _cross(rows, layer, amount, field, rng)
    return rows


def _double(particles: Particles) -> Particles:
    return particles._replace(**{name: getattr(particles, name).astype(np.float64) for name in _COLUMNS})


def _begin(first: Particles, parent: NDArray[np.int64]) -> Cascade:
    n = len(parent)
    nothing, number = np.full(n, PRIMARY), np.arange(n)
    path, last = np.full((n, LAYERS, 5), np.nan), Particles(*(column.copy() for column in first))
    return Cascade(first, last, parent, number, nothing, nothing, np.zeros(n, np.bool_), path, np.zeros((n, LAYERS)))


def _cross(rows: Cascade, layer: int, amount: float, field: float, rng: np.random.Generator) -> Cascade:
    """The same with all that happens in a layer."""
    last = rows.last
    alive = np.flatnonzero(~rows.converted)
    px, py, pz, x, y, z = (getattr(last, name)[alive] for name in _COLUMNS)
    radius, half = material.RADII[layer], material.HALF_LENGTHS[layer]
    there, state = helix.cross(px, py, pz, last.charge[alive], x, y, z, radius, half, field)
    at = alive[there]
    rows.path[at, layer] = state[there]
    for column, values in zip((last.px, last.py, last.x, last.y, last.z), state[there].T, strict=True):
        column[at] = values
    thickness = amount * material.SHARES[layer] * material.budget(_eta(last, at))
    charged = last.charge[at] != 0
    photons = _radiate(rows, at[charged], layer, thickness[charged], rng)
    pairs = _convert(rows, at[~charged], layer, thickness[~charged], rng)
    return _append(rows, [photons, pairs], layer)


def _eta(rows: Particles, at: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.arcsinh(rows.pz[at] / np.hypot(rows.px[at], rows.py[at]))


def _radiate(
    rows: Cascade, at: NDArray[np.int64], layer: int, thickness: NDArray, rng: np.random.Generator
) -> tuple[NDArray[np.int64], Particles]:
    """Photons of the electrons at a layer, with the rows of these."""
    last, kept = rows.last, material.kept_fraction(thickness, rng)
    rows.lost[at, layer] = 1 - kept
    hard = (1 - kept) * last.energy[at] > MIN_PHOTON
    mother = at[hard]
    photons = _scaled(last.take(mother), (1 - kept)[hard], 22, 0)
    for column in (last.px, last.py, last.pz):
        column[at] *= kept
    return mother, photons


def _convert(
    rows: Cascade, at: NDArray[np.int64], layer: int, thickness: NDArray, rng: np.random.Generator
) -> tuple[NDArray[np.int64], Particles]:
    """Electrons and positrons of the photons that convert at a layer, with the rows of these."""
    mother = at[material.converts(thickness, rng)]
    rows.converted[mother] = True
    share = material.pair_share(len(mother), rng)
    photons = rows.last.take(mother)
    pair = [_scaled(photons, share, 11, -1), _scaled(photons, 1 - share, -11, 1)]
    return np.concatenate([mother, mother]), concatenate(pair)


def _scaled(particles: Particles, share: NDArray, code: int, charge: int) -> Particles:
    """Massless particles of a kind with a share (particles,) of the momenta of others."""
    n = len(share)
    return particles._replace(
        px=particles.px * share,
        py=particles.py * share,
        pz=particles.pz * share,
        mass=np.zeros(n, np.float32),
        pdg_id=np.full(n, code, np.int32),
        charge=np.full(n, charge, np.int8),
    )


def _append(rows: Cascade, parts: list[tuple[NDArray[np.int64], Particles]], layer: int) -> Cascade:
    mother = np.concatenate([part[0] for part in parts])
    first = concatenate([part[1] for part in parts])
    new = _begin(first, rows.parent[mother])._replace(
        root=rows.root[mother], mother=mother, born=np.full(len(mother), layer)
    )
    columns = [np.concatenate(pair) for pair in zip(rows[2:], new[2:], strict=True)]
    return Cascade(concatenate([rows.first, new.first]), concatenate([rows.last, new.last]), *columns)


def arrivals(particles: Particles, cascade: Cascade) -> tuple[Particles, NDArray[np.int64]]:
    """What goes to the calorimeters, (rows,), and the generated particle of each, in whose order they are."""
    others = np.ones(len(particles.px), np.bool_)
    others[cascade.parent] = False
    there = ~cascade.converted & (cascade.last.energy > MIN_PHOTON)
    both = concatenate([particles.take(others), cascade.last.take(there)])
    parent = np.concatenate([np.flatnonzero(others), cascade.parent[there]])
    order = np.argsort(parent, kind="stable")
    both = both.take(order)
    return make(both[:7], both.pdg_id, both.charge), parent[order]


def by_particle(hits: Hits, parent: NDArray[np.int64], n: int) -> Hits:
    """Hits of rows, whose particles ``parent`` (rows,) go up, as those of the n particles."""
    counts = np.bincount(parent, np.diff(hits.offsets), minlength=n).astype(np.int64)
    return Hits(hits.cell, hits.energy, from_counts(counts))
