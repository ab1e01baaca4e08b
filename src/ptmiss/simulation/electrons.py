"""PF electrons where electrons radiate: a GSF track and the supercluster that it points to.

The energy is the supercluster's, corrected; direction and charge are the track's. What belongs to an electron (general
track, clusters, legs of its converted photons) leaves the rest of particle flow, and so do both legs of an identified
conversion, so that the photon's clusters are free. A track that looks like an electron and has no supercluster is
treated as without matter.

All cuts, those of ptmiss.links too, were chosen by hand and fitted to nothing: a window that holds 97 % of the
electrons of Z → ee above 20 GeV, an energy that a hadron seldom leaves in the ECAL, little behind it, and at most one
layer missed, which leaves out most conversions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptmiss.angles import wrap
from ptmiss.elements import not_repeated
from ptmiss.links import MIN_E_OVER_P, WINDOW
from ptmiss.simulation import particleflow
from ptmiss.simulation.cascade import PRIMARY, Cascade
from ptmiss.simulation.electrontracks import GsfTracks
from ptmiss.simulation.elements import ECAL, GSF, HCAL, SUPERCLUSTER, Elements
from ptmiss.simulation.particleflow import ELECTRON_MASS, Candidates
from ptmiss.simulation.superclusters import Superclusters

MAX_H_OVER_E, HCAL_CONE = 0.15, 0.15
"""Largest HCAL energy within a cone in dR over the corrected energy of a supercluster."""
MAX_MISSING = 1
"""Layers without a hit before a track's first."""


def reconstruct(
    elements: Elements, gsf: GsfTracks, superclusters: Superclusters, cascade: Cascade, rows: NDArray[np.int64]
) -> Candidates:
    """Candidates of an event, electrons first; rows: (tracks,) row of the cascade of each general track, or -1."""
    photons = conversions(cascade, rows)
    track, cluster = match(elements, superclusters, from_the_beam(cascade, gsf, photons))
    used = np.zeros(len(elements.pt), np.bool_)
    has = gsf.track[track] >= 0
    used[gsf.track[track][has]] = True
    first = np.searchsorted(elements.type, ECAL)
    used[first + np.flatnonzero(np.isin(superclusters.member, cluster))] = True
    used[: len(rows)] |= photons | of_electrons(cascade, rows, gsf.row[track])
    kept = np.flatnonzero(not_repeated(elements.type) & ~used)
    others = particleflow.reconstruct(Elements(*(column[kept] for column in elements)))
    others = others._replace(element=kept[others.element])
    at = np.searchsorted(elements.type, GSF) + track
    element = np.where(has, gsf.track[track], at)
    electrons = _candidates(elements, at, element, superclusters.corrected[cluster])
    return Candidates(*(np.concatenate(pair) for pair in zip(electrons, others, strict=True)))


def from_the_beam(cascade: Cascade, gsf: GsfTracks, photons: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(GSF tracks,) those that miss at most one layer and are no leg of an identified conversion, (tracks,)."""
    early = np.append(cascade.born, PRIMARY)[gsf.row] < MAX_MISSING
    return early & ~((gsf.track >= 0) & np.append(photons, False)[gsf.track])


def match(
    elements: Elements, superclusters: Superclusters, good: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of good GSF tracks and of the superclusters that they point to, (electrons,) each; none is used twice.

    good: (GSF tracks,).
    """
    track, sc, hcal = (elements.of(kind) for kind in (GSF, SUPERCLUSTER, HCAL))
    energy = superclusters.corrected
    behind = np.zeros(len(energy))
    for i in range(len(energy)):
        away = np.hypot(hcal.calo_eta - sc.calo_eta[i], wrap(hcal.calo_phi - sc.calo_phi[i]))
        behind[i] = hcal.energy[away < HCAL_CONE].sum()
    clean = behind < MAX_H_OVER_E * energy
    pairs, taken = [], np.zeros(len(energy), np.bool_)
    for t in np.argsort(-track.pt, kind="stable"):
        deta, dphi = np.abs(sc.eta - track.eta[t]), np.abs(wrap(sc.calo_phi - track.calo_phi[t]))
        fits = (
            good[t]
            & clean
            & ~taken
            & (deta < WINDOW[0])
            & (dphi < WINDOW[1])
            & (energy > MIN_E_OVER_P * track.energy[t])
        )
        if fits.any():
            best = int(np.argmax(np.where(fits, energy, 0.0)))
            taken[best] = True
            pairs.append((t, best))
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def conversions(cascade: Cascade, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(tracks,) the legs of photons of which both legs are tracks."""
    mother = np.append(cascade.mother, PRIMARY)[rows]
    legs = np.bincount(mother[mother >= 0], minlength=len(cascade.mother) + 1)
    return (mother >= 0) & (legs[mother] == 2)


def of_electrons(cascade: Cascade, rows: NDArray[np.int64], electrons: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(tracks,) those that come of the particles of these rows of the cascade."""
    roots = cascade.root[electrons[electrons >= 0]]
    return np.isin(np.append(cascade.root, PRIMARY)[rows], roots)


def _candidates(
    elements: Elements, at: NDArray[np.int64], element: NDArray[np.int64], energy: NDArray[np.float64]
) -> Candidates:
    charge, eta = elements.charge[at], elements.eta[element]
    mass = np.full(len(at), ELECTRON_MASS)
    code = (-charge * 11).astype(np.int32)
    return Candidates(energy / np.cosh(eta), eta, elements.phi[element], mass, code, charge, element)
