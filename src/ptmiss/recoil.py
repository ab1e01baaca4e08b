"""The hadronic recoil and its frame. The sign convention is decided here and nowhere else.

A transverse vector is an array of shape (events, 2): its x and y components in GeV.

``V`` is the vector boson, and ``u = -(V + pTmiss)`` the hadronic recoil. ``u_par`` is the component of ``u`` along
``t = -V / qT``, the direction of a perfect recoil, so it is close to ``+qT`` for a good estimator. The component across
it is ``u_perp = -u_x t_y + u_y t_x`` (CMS-JME-24-001).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import awkward as ak
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptmiss.typing import Scalar, Vector


class Recoil(NamedTuple):
    """Hadronic recoil in the frame of the boson, GeV, each of shape (events,)."""

    u_par: Scalar
    u_perp: Scalar
    qt: Scalar


def cartesian(pt: ArrayLike, phi: ArrayLike) -> Vector:
    """(events, 2) components of vectors given by pt (GeV) and phi (rad)."""
    pt, phi = np.asarray(pt, np.float64), np.asarray(phi, np.float64)
    out = np.empty((*np.broadcast_shapes(pt.shape, phi.shape), 2))
    np.multiply(pt, np.cos(phi), out=out[..., 0])
    np.multiply(pt, np.sin(phi), out=out[..., 1])
    return out


def transverse_sum(particles: ak.Array) -> NDArray[np.float64]:
    """(events, 2) sum of the transverse momenta of each event's particles, GeV."""
    pt = ak.values_astype(particles.pt, np.float64)
    sums = (ak.sum(pt * np.cos(particles.phi), axis=-1), ak.sum(pt * np.sin(particles.phi), axis=-1))
    return np.stack([ak.to_numpy(s) for s in sums], axis=-1)


def rapidity(particles: ak.Array) -> NDArray[np.float64]:
    """(events,) rapidity of the sum of each event's particles, pseudorapidity of one without mass; 0 without any."""
    e, x, y, z = momentum_sum(particles)
    transverse = np.sqrt(np.maximum((e - z) * (e + z), x**2 + y**2))
    return np.arcsinh(np.divide(z, transverse, out=np.zeros_like(z), where=transverse > 0))


def momentum_sum(particles: ak.Array) -> tuple[NDArray[np.float64], ...]:
    """Energy and momentum of the sum of each event's particles, (events,) each, GeV."""
    pt = ak.values_astype(particles.pt, np.float64)
    px, py, pz = pt * np.cos(particles.phi), pt * np.sin(particles.phi), pt * np.sinh(particles.eta)
    energy = np.sqrt(px**2 + py**2 + pz**2 + ak.values_astype(particles.mass, np.float64) ** 2)
    return tuple(ak.to_numpy(ak.sum(part, axis=-1)) for part in (energy, px, py, pz))


def magnitude(vector: Vector) -> Scalar:
    """(events,) lengths of (events, 2) vectors, GeV."""
    return np.hypot(vector[..., 0], vector[..., 1])


def azimuth(vector: Vector) -> Scalar:
    """(events,) angles of (events, 2) vectors in (-pi, pi], rad."""
    return np.arctan2(vector[..., 1], vector[..., 0])


def direction(vector: Vector) -> Vector:
    """(events, 2) unit vectors along (events, 2) vectors; that of a vector of zero length is the x axis."""
    length = magnitude(vector)[..., np.newaxis]
    return np.divide(vector, length, out=np.broadcast_to([1.0, 0.0], vector.shape).copy(), where=length > 0)


def across(unit: Vector) -> Vector:
    """(events, 2) unit vectors, turned anticlockwise by a right angle."""
    return np.stack([-unit[..., 1], unit[..., 0]], axis=-1)


def project(vector: Vector, axis: Vector) -> tuple[Scalar, Scalar]:
    """(events,) components of (events, 2) vectors along and across (events, 2) axes, GeV."""
    return components(vector, direction(axis))


def components(vector: Vector, unit: Vector) -> tuple[Scalar, Scalar]:
    """(events,) components of (events, 2) vectors along and across (events, 2) unit vectors, GeV."""
    x, y = vector[..., 0], vector[..., 1]
    (along_x, along_y), (across_x, across_y) = ((u[..., 0], u[..., 1]) for u in (unit, across(unit)))
    return x * along_x + y * along_y, x * across_x + y * across_y


def recoil(boson: Vector, met: Vector, visible: Vector | None = None) -> Recoil:
    """The recoil that follows from an estimator's pTmiss, in the frame of the boson.

    Args:
        boson: (events, 2) pT of the boson, GeV.
        met: (events, 2) pTmiss, GeV.
        visible: (events, 2) pT of the visible part of the boson, GeV: all of it if None (Z → ll), the charged lepton in
            W → lv, since the neutrino is in pTmiss already.

    Returns:
        u_par, u_perp and qT in GeV, each of shape (events,).
    """
    return along(boson, visible)(met)


def along(boson: Vector, visible: Vector | None = None) -> Callable[[Vector], Recoil]:
    """The recoil as a function of pTmiss alone, for several estimators on the same events; see :func:`recoil`."""
    seen, t, qt = boson if visible is None else visible, direction(-boson), magnitude(boson)
    return lambda met: Recoil(*components(-(seen + met), t), qt)


def finite_in_all(recoils: Iterable[Recoil | Vector]) -> NDArray[np.bool_]:
    """(events,) mask of events in which every estimator's recoil, or its (events, 2) pTmiss, is finite.

    Estimators are compared on these, so that none is measured on easier events than another.
    """
    parts = (u if isinstance(u, Recoil) else (u[..., 0], u[..., 1]) for u in recoils)
    return np.logical_and.reduce([np.isfinite(component) for u in parts for component in u])


def met_from_recoil(u_par: Scalar, u_perp: Scalar, boson: Vector, visible: Vector | None = None) -> Vector:
    """(events, 2) pTmiss = -(visible + u), GeV, for a recoil in the frame of the boson: the inverse of :func:`recoil`.

    u_par, u_perp: (events,), GeV. boson, visible: (events, 2), GeV, see :func:`recoil`.
    """
    t = direction(-boson)
    u = u_par[..., np.newaxis] * t + u_perp[..., np.newaxis] * across(t)
    return -((boson if visible is None else visible) + u)


def transverse_mass(lepton: Vector, met: Vector) -> Scalar:
    """(events,) mT = sqrt(2 pT pTmiss (1 - cos dphi)), GeV, of (events, 2) vectors; rounding below zero gives zero."""
    product = magnitude(lepton) * magnitude(met) - np.sum(lepton * met, axis=-1)
    return np.sqrt(np.maximum(2 * product, 0))
