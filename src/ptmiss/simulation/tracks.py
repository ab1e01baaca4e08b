"""The tracker: the charged particles that become tracks, and their measured values.

Efficiency about 95 %, falling below 0.25 GeV, beyond abs eta 1.5 and with displacement. A track's errors scatter around
the resolution of its pT and eta and its measured values are drawn with these errors, so pulls are standard normal.
Fakes copy the pT, eta and errors of a real track of the event and point somewhere else: nothing but the missing
particle tells them apart. Electrons radiate: part of their momentum is lost before it is measured, and the error does
not know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.simulation.helix import closest_to_beam
from ptmiss.simulation.parameters import Beam, Detector
from ptmiss.simulation.particles import Particles

FAKE = -1
FAKE_MAX_PT = 20.0
"""Largest pT (GeV) of fakes; above it the selection of tracks removes them all."""


class Tracks(NamedTuple):
    """Tracks, each array of shape (tracks,): GeV and cm; (x, y, z) is the point closest to the beam line.

    ``pt_error`` is relative. ``particle`` is the index of the true particle, -1 for a fake. The two flags are the muon
    system's segment and the electron seed, both with false ones.
    """

    pt: NDArray
    eta: NDArray
    phi: NDArray
    x: NDArray
    y: NDArray
    z: NDArray
    pt_error: NDArray
    dxy_error: NDArray
    dz_error: NDArray
    charge: NDArray
    particle: NDArray
    muon: NDArray
    electron: NDArray

    def impact_parameters(self, vertex: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(tracks,) signed transverse and longitudinal impact parameters with respect to a point (3,), cm."""
        dx, dy = self.x - vertex[0], self.y - vertex[1]
        cosine, sine = np.cos(self.phi), np.sin(self.phi)
        return dy * cosine - dx * sine, self.z - vertex[2] - (dx * cosine + dy * sine) * np.sinh(self.eta)


def reconstruct(particles: Particles, detector: Detector, beam: Beam, rng: np.random.Generator) -> Tracks:
    """The tracks of a crossing."""
    return _with_fakes(Tracks(*_reconstruct(*particles, detector, beam, rng)), detector, beam, rng)


def concatenate(parts: Sequence[Tracks]) -> Tracks:
    """One record from several."""
    return Tracks(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@njit(cache=True)
def efficiency(pt, eta, radius, plateau, detector):  # type: ignore[no-untyped-def]
    """Probability that a charged particle with this pT (GeV), eta and radius of production (cm) becomes a track."""
    eta = abs(eta)
    if eta > 3.0 or radius > detector.track_max_radius:
        return 0.0
    plateau *= (1 - 0.08 * max(eta - 1.5, 0.0)) * (1 - 1.8 * max(eta - 2.5, 0.0))
    turn_on = 1 / (1 + math.exp(-(pt - detector.track_turn_on) / detector.track_turn_on_width))
    return plateau * turn_on * (1 - radius / detector.track_max_radius)


@njit(cache=True)
def resolution(pt, eta, detector):  # type: ignore[no-untyped-def]
    """Resolutions of pT (relative), dxy (cm) and dz (cm)."""
    forward = 1 + 0.12 * abs(eta) ** 2.8
    relative = math.hypot(detector.track_resolution, detector.track_resolution_slope * pt) * forward
    dxy = math.hypot(detector.dxy_resolution, detector.dxy_resolution_slope / pt)
    dz = math.hypot(detector.dz_resolution, detector.dz_resolution_slope / pt) * math.cosh(eta) ** 0.8
    return relative, dxy, dz


@njit(cache=True)
def _reconstruct(px, py, pz, mass, x, y, z, pdg_id, charge, detector, beam, rng):  # type: ignore[no-untyped-def]
    n = len(px)
    out = np.empty((9, n))
    charges, particle = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    muon, electron = np.empty(n, dtype=np.bool_), np.empty(n, dtype=np.bool_)
    count = 0
    for i in range(n):
        if charge[i] == 0:
            continue
        pt = math.hypot(px[i], py[i])
        radius = math.hypot(x[i] - beam.x, y[i] - beam.y)
        plateau = detector.muon_track_efficiency if abs(pdg_id[i]) == 13 else detector.track_efficiency
        if rng.random() > efficiency(pt, math.asinh(pz[i] / pt), radius, plateau, detector):
            continue
        radiates = abs(pdg_id[i]) == 11
        measured = _measure(px[i], py[i], pz[i], x[i], y[i], z[i], charge[i], radiates, detector, beam, rng)
        for k in range(9):
            out[k, count] = measured[k]
        charges[count], particle[count] = charge[i], i
        muon[count], electron[count] = _flags(abs(pdg_id[i]), pt, detector, rng)
        count += 1
    values = out[:, :count]
    return (
        values[0], values[1], values[2], values[3], values[4], values[5], values[6], values[7], values[8],
        charges[:count], particle[:count], muon[:count], electron[:count],
    )  # fmt: skip


@njit(cache=True)
def _measure(px, py, pz, x, y, z, charge, radiates, detector, beam, rng):  # type: ignore[no-untyped-def]
    """pT, eta, phi, the reference point and the three errors of a track."""
    pt = math.hypot(px, py)
    x, y, z, phi = closest_to_beam(px, py, pz, charge, x, y, z, beam.x, beam.y, detector.solenoid)
    if radiates:
        pt *= 1 - min(rng.standard_exponential() * 0.03, 0.7)
    eta = math.asinh(pz / math.hypot(px, py))
    relative, dxy, dz = resolution(pt, eta, detector)
    relative *= math.exp(0.2 * rng.standard_normal())
    dxy *= math.exp(0.2 * rng.standard_normal())
    dz *= math.exp(0.2 * rng.standard_normal())
    curvature = max(1 + relative * rng.standard_normal(), 0.1)
    shift = dxy * rng.standard_normal()
    x, y, z = x - shift * math.sin(phi), y + shift * math.cos(phi), z + dz * rng.standard_normal()
    phi += 0.0005 * rng.standard_normal()
    eta += 0.0005 * rng.standard_normal()
    return pt / curvature, eta, phi, x, y, z, relative, dxy, dz


@njit(cache=True)
def measure(px, py, pz, x, y, z, charge, detector, beam, rng):  # type: ignore[no-untyped-def]
    """pT, eta, phi, reference point and errors, (9, particles), of particles that all become tracks and lose nothing.

    Momenta in GeV, production vertex in cm, each (particles,).
    """
    out = np.empty((9, len(px)))
    for i in range(len(px)):
        out[:, i] = _measure(px[i], py[i], pz[i], x[i], y[i], z[i], charge[i], False, detector, beam, rng)
    return out


@njit(cache=True)
def efficiencies(pt, eta, radius, plateau, detector):  # type: ignore[no-untyped-def]
    """(particles,) probability to become a track, see :func:`efficiency`; the columns are (particles,)."""
    out = np.empty(len(pt))
    for i in range(len(pt)):
        out[i] = efficiency(pt[i], eta[i], radius[i], plateau, detector)
    return out


@njit(cache=True)
def _flags(code, pt, detector, rng):  # type: ignore[no-untyped-def]
    """Whether the track has a segment in the muon system, and whether it is an electron seed."""
    draw = rng.random()
    if code == 13:
        return draw < detector.muon_efficiency * (1 - math.exp(-(max(pt - 0.5, 0.0)) / 1.0)), False
    if code == 11:
        return False, draw < detector.electron_efficiency * (1 - math.exp(-(max(pt - 0.5, 0.0)) / 2.0))
    return draw < detector.muon_fakes and pt > 0.7, draw > 1 - detector.electron_fakes


def _with_fakes(tracks: Tracks, detector: Detector, beam: Beam, rng: np.random.Generator) -> Tracks:
    """The tracks and fakes: with pT, eta and errors of a real track, but a random direction and origin."""
    sources = np.flatnonzero((tracks.pt < FAKE_MAX_PT) & ~tracks.muon & ~tracks.electron)
    n = rng.poisson(detector.fake_rate * len(sources))
    source = rng.choice(sources, n) if n else sources[:0]
    fake = Tracks(*(column[source] for column in tracks))
    phi = rng.uniform(-np.pi, np.pi, n)
    shift = rng.normal(size=n) * np.maximum(fake.dxy_error, 0.05)
    fake = fake._replace(
        phi=phi,
        x=beam.x - shift * np.sin(phi),
        y=beam.y + shift * np.cos(phi),
        z=rng.normal(size=n) * beam.sigma_z,
        charge=rng.choice(np.array([-1, 1]), n),
        particle=np.full(n, FAKE),
        muon=rng.random(n) < detector.muon_fakes,
        electron=rng.random(n) < detector.electron_fakes,
    )
    return concatenate([tracks, fake])
