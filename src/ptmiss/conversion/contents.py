"""What files of open full simulation have, whatever their format: elements, targets, candidates and truth of events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.candidates import Candidates
from ptmiss.elements import COLUMNS, ECAL, FULL_COLUMNS, HCAL, TRACK, Elements, Targets
from ptmiss.jets import Jets
from ptmiss.segments import Offsets, event_of, from_counts
from ptmiss.typing import Vector

MIN_JET_PT = 5.0  # GeV
FIELDS = {"clic": 4.0, "cld": 2.0}
"""Solenoid of each detector, tesla."""

MM = 0.1  # cm
PER_TESLA = 2.99792458e-4  # GeV of pT times omega in 1/mm


@dataclass(frozen=True)
class Contents:
    """Some events in this package's columns.

    neutrinos: (events, 2) their sum, GeV. balance: (events,) energy of the targets, and of what is lost, beyond that of
    the particles that can be seen, GeV: zero but for rounding. lost: (events,) energy of the particles that no element
    stands for. beams: (events, 2) px of both beams together, GeV, and the angle at which they cross, rad. The last two
    are zeros where the file does not say.
    """

    elements: Elements
    targets: Targets
    candidates: Candidates
    jets: Jets
    neutrinos: Vector
    balance: NDArray[np.float64]
    lost: NDArray[np.float64]
    beams: NDArray[np.float64]

    def __len__(self) -> int:
        """Number of events."""
        return len(self.elements)


class Places(NamedTuple):
    """Rows of two tables in a table that has, event by event, those of the first and then those of the second."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    offsets: Offsets


def interleave(first: Offsets, second: Offsets) -> Places:
    """Rows of two tables in one of both; offsets: (events + 1,) each."""
    one, other = (event_of(o) for o in (first, second))
    return Places(np.arange(first[-1]) + second[one], np.arange(second[-1]) + first[other + 1], first + second)


def elements_of(
    tracks: Mapping[str, NDArray], of_tracks: Offsets, clusters: Mapping[str, NDArray], of_clusters: Offsets
) -> tuple[Elements, Places]:
    """Elements of tracks and clusters, each with columns by the names of elements, and where each row went.

    A column that one of them does not have is 0 there.
    """
    places = interleave(of_tracks, of_clusters)
    dtypes = {**COLUMNS, **dict.fromkeys(FULL_COLUMNS, np.float32)}
    columns = {name: np.zeros(places.offsets[-1], dtype) for name, dtype in dtypes.items()}
    for rows, there in ((places.first, tracks), (places.second, clusters)):
        for name, values in there.items():
            columns[name][rows] = values
    return Elements(columns, places.offsets), places


def track_columns(pt: NDArray, eta: NDArray, phi: NDArray, charge: NDArray) -> dict[str, NDArray]:
    """Columns that all tracks have: there is one vertex, and each track is of it."""
    there = np.ones(len(pt), np.int32)
    return {
        "type": TRACK * there,
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "energy": pt * np.cosh(eta),
        "charge": charge,
        "fromPV": 3 * there,
        "pvAssocQuality": 7 * there,
    }


def cluster_columns(
    energy: NDArray, position: NDArray, ecal: NDArray, hcal: NDArray, other: NDArray, sigma: NDArray
) -> dict[str, NDArray]:
    """Columns of clusters that hold energy of several calorimeters; position, sigma: (clusters, 3) in mm.

    A cluster goes by the name of the calorimeter with more of its energy. Its direction is that of its position: the
    direction in the file is that of the shower's axis.
    """
    x, y, z = np.asarray(position, np.float64).T
    eta, phi = np.arcsinh(z / np.maximum(np.hypot(x, y), 1e-6)), np.arctan2(y, x)
    return {
        "type": np.where(ecal >= hcal, ECAL, HCAL),
        "pt": energy / np.cosh(eta),
        "eta": eta,
        "phi": phi,
        "energy": energy,
        "caloEta": eta,
        "caloPhi": phi,
        "width": MM * np.sqrt((sigma**2).sum(axis=1)),
        "x": x,
        "y": y,
        "z": z,
        "ecalEnergy": ecal,
        "hcalEnergy": hcal,
        "otherEnergy": other,
        **dict(zip(("sigmaX", "sigmaY", "sigmaZ"), sigma.T, strict=True)),
    }


def candidates_of(momentum: NDArray, mass: NDArray, code: NDArray, charge: NDArray, offsets: Offsets) -> Candidates:
    """Candidates of flat momenta (candidates, 3) in GeV, masses, PDG codes and charges.

    Hadrons are 211 and 130, as in CMS's files. There is one vertex, and each candidate is of it.
    """
    px, py, pz = np.asarray(momentum, np.float64).T
    pt, charge = np.hypot(px, py), np.clip(np.rint(charge), -1, 1).astype(np.int32)
    known = np.isin(np.abs(code), (11, 13, 22))
    ones = np.ones(len(pt), np.int32)
    columns = {
        "pt": pt,
        "eta": np.arcsinh(pz / np.maximum(pt, 1e-9)),
        "phi": np.arctan2(py, px),
        "mass": mass,
        "charge": charge,
        "pdgId": np.where(known, code, np.where(charge != 0, 211 * charge, 130)).astype(np.int32),
        "dxy": np.zeros(len(pt)),
        "dz": np.zeros(len(pt)),
        "puppiWeight": np.ones(len(pt)),
        "fromPV": 3 * ones,
        "pvAssocQuality": 7 * ones,
    }
    whole = {name: c if c.dtype == np.int32 else c.astype(np.float32) for name, c in columns.items()}
    return Candidates(whole, offsets)


def offsets_of(event: NDArray[np.integer], events: int) -> Offsets:
    """Offsets (events + 1,) of rows in the order of their events, (rows,)."""
    return from_counts(np.bincount(event, minlength=events))
