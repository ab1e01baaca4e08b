"""The hadronic recoil and its frame: the one place that knows the sign convention.

A transverse vector is an array of shape (events, 2): its x and y components in GeV.

``V`` is the vector boson, ``u = -(V + pTmiss)`` the hadronic recoil. ``u_par`` is the component of ``u`` along
``t = -V / qT``, the direction in which a perfect recoil points, so ``u_par`` is close to ``+qT`` for a good estimator;
``u_perp = -u_x t_y + u_y t_x`` is the component across it (CMS-JME-24-001).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]
Scalar = NDArray[np.float64]


class Recoil(NamedTuple):
    """Hadronic recoil in the frame of the boson, GeV, each of shape (events,)."""

    u_par: Scalar
    u_perp: Scalar
    qt: Scalar


def cartesian(pt: ArrayLike, phi: ArrayLike) -> Vector:
    """(events, 2) components of vectors given by pt (GeV) and phi (rad)."""
    pt, phi = np.asarray(pt, np.float64), np.asarray(phi, np.float64)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi)], axis=-1)


def magnitude(vector: Vector) -> Scalar:
    """Length of each vector, GeV."""
    return np.hypot(vector[..., 0], vector[..., 1])


def azimuth(vector: Vector) -> Scalar:
    """Angle of each vector in (-pi, pi], rad."""
    return np.arctan2(vector[..., 1], vector[..., 0])


def direction(vector: Vector) -> Vector:
    """Unit vector along each vector; a vector of zero length counts as the x axis."""
    length = magnitude(vector)[..., np.newaxis]
    return np.divide(vector, length, out=np.broadcast_to([1.0, 0.0], vector.shape).copy(), where=length > 0)


def across(unit: Vector) -> Vector:
    """The unit vector at a right angle, anticlockwise."""
    return np.stack([-unit[..., 1], unit[..., 0]], axis=-1)


def project(vector: Vector, axis: Vector) -> tuple[Scalar, Scalar]:
    """Components of a vector along and across an axis, GeV."""
    t = direction(axis)
    return np.sum(vector * t, axis=-1), np.sum(vector * across(t), axis=-1)


def recoil(boson: Vector, met: Vector, visible: Vector | None = None) -> Recoil:
    """The recoil that an estimator's pTmiss leaves, in the frame of the boson.

    visible: what is seen of the boson, the boson itself if None (Z → ll); in W → lv the charged lepton, since the neutrino is
    in pTmiss already.
    """
    u_par, u_perp = project(-((boson if visible is None else visible) + met), -boson)
    return Recoil(u_par, u_perp, magnitude(boson))


def met_from_recoil(u_par: Scalar, u_perp: Scalar, boson: Vector, visible: Vector | None = None) -> Vector:
    """pTmiss = -(visible + u) for a recoil given in the frame of the boson: the inverse of :func:`recoil`."""
    t = direction(-boson)
    u = u_par[..., np.newaxis] * t + u_perp[..., np.newaxis] * across(t)
    return -((boson if visible is None else visible) + u)


def transverse_mass(lepton: Vector, met: Vector) -> Scalar:
    """mT = sqrt(2 pT pTmiss (1 - cos dphi)), GeV; rounding below zero counts as zero."""
    product = magnitude(lepton) * magnitude(met) - np.sum(lepton * met, axis=-1)
    return np.sqrt(np.maximum(2 * product, 0))
