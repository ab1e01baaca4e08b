"""Tracks of electrons that radiate: the general track, and the GSF track that follows the loss.

A general track sees one momentum, the mean curvature of its path. It ends at the layer where the electron loses more
than half of its momentum, and needs five layers; the error grows as its length falls. So hard bremsstrahlung costs
tracks, and the others come out too soft. Both legs of a conversion become tracks if they can, from where they begin.

A GSF track goes on through any loss. It has an inner momentum, of the first half of the layers, and an outer one. Where
a photon takes over most of the momentum in the pixels and converts, the track follows the hardest leg, with its charge.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.angles import wrap
from ptmiss.links import ECAL_SEED, TRACKER_SEED
from ptmiss.simulation import helix, material
from ptmiss.simulation.cascade import PRIMARY, Cascade
from ptmiss.simulation.elements import direction
from ptmiss.simulation.parameters import Beam, Detector, Matter
from ptmiss.simulation.particles import Particles
from ptmiss.simulation.superclusters import Superclusters
from ptmiss.simulation.tracks import FAKE, Tracks, concatenate, efficiencies, measure

MIN_LAYERS = 5
MAX_LOSS = 0.5
NO_TRACK = -1
SEED_WINDOW = (0.05, 0.30)
MIN_PT = 0.5
_LENGTH = material.RADII[-1] - material.RADII[0]
_FOLLOWED = material.PIXEL_LAYERS + 1
_MAX_GROWTH = 30.0


class GsfTracks(NamedTuple):
    """GSF tracks, each array of shape (tracks,): ``tracks`` has the inner momentum, the errors and the charge.

    pt_out: GeV, and its relative error pt_out_error. seed: bits, see ptmiss.links. track: row of the general track, -1
    for none. row: row of the cascade, -1 for a hadron or a fake.
    """

    tracks: Tracks
    pt_out: NDArray[np.float64]
    pt_out_error: NDArray[np.float64]
    seed: NDArray[np.int64]
    track: NDArray[np.int64]
    row: NDArray[np.int64]


def general(
    cascade: Cascade, detector: Detector, beam: Beam, rng: np.random.Generator
) -> tuple[Tracks, NDArray[np.int64]]:
    """General tracks of electrons and of the legs of conversions, with the row of the cascade of each.

    Legs are no generated particles: their ``particle`` is that of a fake.
    """
    rows = np.flatnonzero(cascade.first.charge != 0)
    crossed = cascade.crossed[rows]
    stops = crossed & (cascade.lost[rows] > MAX_LOSS)
    seen = crossed & (np.cumsum(stops, axis=1) - stops == 0)
    pt = mean_pt(cascade.pt[rows], seen)
    first = cascade.first.take(rows)
    radius, eta = np.hypot(first.x - beam.x, first.y - beam.y), np.arcsinh(first.pz / first.pt)
    likely = efficiencies(first.pt, eta, radius, detector.muon_track_efficiency, detector)
    found = (seen.sum(axis=1) >= MIN_LAYERS) & (pt > 0) & (rng.random(len(rows)) < likely)
    rows, seen, pt = rows[found], seen[found], pt[found]
    looks = detector.electron_efficiency * -np.expm1(-np.maximum(pt - 0.5, 0.0) / 2)
    electron = rng.random(len(rows)) < looks
    return _measured(cascade, rows, pt, growth(seen), electron, detector, beam, rng), rows


def mean_pt(pt: NDArray, seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(rows,) pT that has the mean curvature of the layers seen, (rows, layers) each, GeV; 0 without layers."""
    curvature = np.sum(np.where(seen, 1 / np.where(seen, np.maximum(pt, 1e-3), 1.0), 0.0), axis=1)
    return np.divide(seen.sum(axis=1), curvature, out=np.zeros(len(pt)), where=curvature > 0)


def growth(seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(rows,) factor by which the error of the curvature grows if only some layers are seen, (rows, layers).

    It falls with the square of the track's length.
    """
    radii = np.array(material.RADII)
    first = radii[np.argmax(seen, axis=1)]
    last = radii[seen.shape[1] - 1 - np.argmax(seen[:, ::-1], axis=1)]
    return np.clip((_LENGTH / np.maximum(last - first, 1.0)) ** 2, 1.0, _MAX_GROWTH)


def _measured(
    cascade: Cascade,
    rows: NDArray[np.int64],
    pt: NDArray,
    factor: NDArray,
    electron: NDArray[np.bool_],
    detector: Detector,
    beam: Beam,
    rng: np.random.Generator,
) -> Tracks:
    """Tracks of rows with these true pT, (rows,), whose error is larger by a factor, (rows,)."""
    first = cascade.first.take(rows)
    scale = pt / first.pt
    px, py, pz = (column * scale for column in (first.px, first.py, first.pz))
    values = measure(px, py, pz, first.x, first.y, first.z, first.charge, detector, beam, rng)
    error = values[6]
    values[0] /= np.maximum(1 + error * np.sqrt(factor**2 - 1) * rng.normal(size=len(rows)), 0.1)
    values[6] = error * factor
    particle = np.where(cascade.mother[rows] == PRIMARY, cascade.parent[rows], FAKE)
    no = np.zeros(len(rows), np.bool_)
    return Tracks._make([*values, first.charge.astype(np.int64), particle, no, electron])


def gaussian_sum(
    cascade: Cascade,
    found: Tracks,
    rows: NDArray[np.int64],
    superclusters: Superclusters,
    detector: Detector,
    beam: Beam,
    matter: Matter,
    rng: np.random.Generator,
) -> GsfTracks:
    """GSF tracks of an event; rows: (tracks,) row of the cascade of each general track, -1 for others."""
    seeds = np.zeros(len(cascade.parent), np.int64)
    seeds[rows[(rows >= 0) & found.electron]] |= TRACKER_SEED
    seeds[_ecal_seeded(cascade, superclusters, detector, matter, rng)] |= ECAL_SEED
    crossed = cascade.crossed
    chosen = np.flatnonzero((seeds > 0) & (crossed.sum(axis=1) >= MIN_LAYERS))
    track_of = np.full(len(cascade.parent), NO_TRACK)
    track_of[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
    ends = followed_leg(cascade, chosen)
    charge = cascade.first.charge[ends].astype(np.int64)
    inner, outer = halves(crossed[chosen])[0], halves(crossed[ends])[1]
    own = _measured(cascade, chosen, mean_pt(cascade.pt[chosen], inner), growth(inner), seeds[chosen] > 0, detector,
                    beam, rng)  # fmt: skip
    pt_out = mean_pt(cascade.pt[ends], outer)
    error = own.pt_error / growth(inner) * growth(outer)
    pt_out = pt_out / np.maximum(1 + error * rng.normal(size=len(chosen)), 0.1)
    real = GsfTracks(own._replace(charge=charge), pt_out, error, seeds[chosen], track_of[chosen], chosen)
    return _with_hadrons(real, found, np.flatnonzero(found.electron & (rows < 0)), rng)


def halves(crossed: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The first and the last half of the layers crossed, each (rows, layers)."""
    number, half = np.cumsum(crossed, axis=1), (crossed.sum(axis=1)[:, None] + 1) // 2
    return crossed & (number <= half), crossed & (number > half)


def followed_leg(cascade: Cascade, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(rows,) the charged row that each GSF track follows beyond the pixels: the hardest that came of an electron."""
    pt = np.where(cascade.first.charge != 0, np.nan_to_num(cascade.pt[:, _FOLLOWED]), 0.0)
    hardest = np.arange(len(pt))
    order = np.argsort(pt, kind="stable")
    hardest[cascade.root[order]] = order  # the last of each root is its hardest
    begins = cascade.root[rows] == rows
    follows = begins & (pt[hardest[rows]] > 0)
    return np.where(follows, hardest[rows], rows)


def _ecal_seeded(
    cascade: Cascade, superclusters: Superclusters, detector: Detector, matter: Matter, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows that begin before the third pixel layer and point to a supercluster, with hits that are found."""
    early = (cascade.first.charge != 0) & (cascade.born < material.PIXEL_LAYERS - 2)
    rows = np.flatnonzero(early & (cascade.first.pt > MIN_PT) & cascade.crossed[:, 2])
    eta, phi = impact(cascade.first.take(rows), detector)
    to_eta, to_phi = direction(superclusters.position)
    near = (np.abs(eta[:, None] - to_eta) < SEED_WINDOW[0]) & (np.abs(wrap(phi[:, None] - to_phi)) < SEED_WINDOW[1])
    return rows[near.any(axis=1) & (rng.random(len(rows)) < matter.pixel_seeds)]


def impact(particles: Particles, detector: Detector) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(particles,) eta and phi on the calorimeter, from the detector's centre, if nothing is lost."""
    columns = (particles.px, particles.py, particles.pz, particles.charge, particles.x, particles.y, particles.z)
    return direction(helix.reach(*columns, detector.solenoid)[1])


def _with_hadrons(real: GsfTracks, found: Tracks, tracks: NDArray[np.int64], rng: np.random.Generator) -> GsfTracks:
    """The same with general tracks that only look like electrons: inner and outer momentum are measured apart."""
    n = len(tracks)
    fake = Tracks(*(column[tracks] for column in found))
    error = 4 * fake.pt_error
    inner, outer = (fake.pt / np.maximum(1 + error * rng.normal(size=n), 0.1) for _ in range(2))
    fake = fake._replace(pt=inner, pt_error=error)
    together = concatenate([real.tracks, fake])
    rest = (outer, error, np.full(n, TRACKER_SEED), tracks, np.full(n, NO_TRACK))
    return GsfTracks(together, *(np.concatenate(pair) for pair in zip(real[1:], rest, strict=True)))
