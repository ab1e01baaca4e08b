"""ECAL clusters in windows around seeds, with the features of a network that says which belong to the seed."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.angles import separation
from ptmiss.networks.superclusters import FEATURES
from ptmiss.segments import Offsets, from_counts
from ptmiss.simulation.moustache import MAX_DPHI, bend, edge, in_moustache

DETA = 0.15
"""Half the width of a window in eta; in phi it is MAX_DPHI."""
_NEAR = 0.005
_SHARPEST = 10.0


class Windows(NamedTuple):
    """Windows around seeds. seed: (windows,) row of each among the clusters. offsets: (windows + 1,).

    row: (in windows,) rows of their clusters, the seed first. features: (in windows, 13), see FEATURES.
    """

    seed: NDArray[np.int64]
    offsets: Offsets
    row: NDArray[np.int64]
    features: NDArray[np.float32]


class Places(NamedTuple):
    """ECAL clusters of some events, each (clusters,) float64: GeV, cm; eta and phi from the detector's centre."""

    eta: NDArray
    phi: NDArray
    energy: NDArray
    width: NDArray
    cells: NDArray

    @property
    def et(self) -> NDArray:
        """(clusters,) transverse energy, GeV."""
        return np.asarray(self.energy / np.cosh(self.eta))


def around(places: Places, offsets: Offsets, least: float) -> Windows:
    """Windows around all clusters of a transverse energy above ``least`` (GeV), in events, offsets (events + 1,)."""
    places = Places(*(np.asarray(column, np.float64) for column in places))
    et = places.et
    seed = np.flatnonzero(et > least)
    event = np.searchsorted(offsets, seed, side="right") - 1
    found = from_counts(_count(places.eta, places.phi, seed, offsets[event], offsets[event + 1]))
    row, features = _fill(places, et, seed, offsets[event], offsets[event + 1], found, len(FEATURES))
    return Windows(seed, found, row, features)


@njit(cache=True)
def _inside(eta, phi, i, seed):  # type: ignore[no-untyped-def]
    return abs(eta[i] - eta[seed]) < DETA and abs(separation(phi[i], phi[seed])) < MAX_DPHI


@njit(cache=True)
def _count(eta, phi, seed, first, last):  # type: ignore[no-untyped-def]
    out = np.zeros(len(seed), np.int64)
    for k in range(len(seed)):
        for i in range(first[k], last[k]):
            out[k] += _inside(eta, phi, i, seed[k])
    return out


@njit(cache=True)
def _fill(places, et, seed, first, last, offsets, n_features):  # type: ignore[no-untyped-def]
    row = np.zeros(offsets[-1], np.int64)
    out = np.zeros((offsets[-1], n_features), np.float32)
    for k in range(len(seed)):
        s, at = seed[k], offsets[k] + 1
        row[offsets[k]] = s
        for i in range(first[k], last[k]):
            if i != s and _inside(places.eta, places.phi, i, s):
                row[at] = i
                at += 1
        for at in range(offsets[k], offsets[k + 1]):
            _describe(places, et, row[at], s, out[at])
    return row, out


@njit(cache=True)
def _describe(places, et, i, s, out):  # type: ignore[no-untyped-def]
    """Fill the features of a cluster beside a seed."""
    steep = abs(places.eta[s])
    dphi = separation(places.phi[i], places.phi[s])
    outward = math.copysign(1.0, places.eta[s]) * (places.eta[i] - places.eta[s])
    out[0] = math.log(et[i])
    out[1] = math.log(places.energy[i] / places.energy[s])
    out[2] = outward
    out[3], out[4] = dphi, abs(dphi)
    out[5] = outward - edge(steep, abs(dphi))
    out[6] = math.log(abs(dphi) + _NEAR) - math.log(min(bend(steep) / et[s], _SHARPEST))
    out[7] = in_moustache(places.eta[s], places.phi[s], et[s], places.eta[i], places.phi[i])
    out[8] = math.log(places.cells[i] + 1.0)
    out[9] = places.width[i]
    out[10], out[11] = steep, math.log(et[s])
    out[12] = i == s
