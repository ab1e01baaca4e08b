"""Tracks, clusters and candidates of EDM4hep files, as columns of elements and as candidates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.candidates import Candidates
from ptmiss.conversion.assignment import LOST
from ptmiss.conversion.contents import MM, PER_TESLA, candidates_of, cluster_columns, track_columns
from ptmiss.conversion.podio import Frames
from ptmiss.errors import FileError
from ptmiss.segments import Offsets, event_of

TRACKS, CLUSTERS, CANDIDATES = "SiTracks_Refitted", "PandoraClusters", "PandoraPFOs"
XYZ = ("x", "y", "z")
POSITION = tuple(f"position.{axis}" for axis in XYZ)
AT_VERTEX, AT_CALORIMETER = 1, 4  # places of track states
OMEGA, D0, Z0 = 5, 0, 9  # their variances in the covariance of a track state
COVARIANCES = ("covMatrix.values[21]", "covMatrix[21]", "covMatrix[15]")


def read_tracks(frames: Frames, field: float) -> tuple[dict[str, NDArray], Offsets]:
    """Columns of tracks, from their states at the vertex and at the calorimeter; field: tesla."""
    found, offsets = frames.columns(TRACKS, ("chi2", "ndf", "trackStates_begin", "trackStates_end"))
    full = {
        name: frames.columns(TRACKS, (name,))[0][name] for name in ("dEdx", "dEdxError") if frames.has(TRACKS, name)
    }
    radius = "radiusOfInnermostHit"
    full |= {"innerRadius": frames.columns(TRACKS, (radius,))[0][radius]} if frames.has(TRACKS, radius) else {}
    branch = frames.side(TRACKS, "trackStates", 1, "_")
    state = ("location", "D0", "phi", "omega", "Z0", "tanLambda", "time", *(f"referencePoint.{i}" for i in XYZ))
    state = tuple(name for name in state if frames.has(branch, name))
    states, of_states = frames.columns(branch, state)
    event = event_of(offsets)
    begin, end = (of_states[event] + found[f"trackStates_{which}"] for which in ("begin", "end"))
    vertex, outer = (place_of(states["location"], begin, end, where) for where in (AT_VERTEX, AT_CALORIMETER))
    if (vertex == LOST).any():
        raise FileError(f"{frames.path}: a track of {TRACKS} has no state at the vertex")
    one = {name: column[vertex] for name, column in states.items()}
    omega = one["omega"].astype(np.float64)
    pt = PER_TESLA * field / np.maximum(np.abs(omega), 1e-12)
    columns = track_columns(pt, np.arcsinh(one["tanLambda"]), one["phi"], np.sign(omega))
    columns |= {"d0": MM * one["D0"], "dz": MM * one["Z0"], "chi2": found["chi2"], "ndf": found["ndf"], **full}
    columns |= {name: one[name] for name in ("omega", "tanLambda", "time") if name in one}
    return columns | errors(frames, branch, vertex, omega) | impact(states, outer), offsets


def place_of(location: NDArray, begin: NDArray[np.int64], end: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """(tracks,) row of the first state at a place between begin and end, LOST for none."""
    rows = np.flatnonzero(location == wanted)
    next_one = np.searchsorted(rows, begin)
    found = np.append(rows, len(location))[np.minimum(next_one, len(rows))]
    return np.where(found < end, found, LOST)


def errors(frames: Frames, branch: str, rows: NDArray[np.int64], omega: NDArray) -> dict[str, NDArray]:
    """Errors of pt (relative), d0 and dz (cm) of tracks, from the covariance of their states; none if it is missing."""
    name = next((one for one in COVARIANCES if frames.has(branch, one)), "")
    if not name:
        return {}
    covariance = frames.columns(branch, (name,))[0][name][rows]
    curvature, d0, z0 = (np.sqrt(np.maximum(covariance[:, i], 0)) for i in (OMEGA, D0, Z0))
    return {"ptError": curvature / np.maximum(np.abs(omega), 1e-12), "d0Error": MM * d0, "dzError": MM * z0}


def impact(states: dict[str, NDArray], rows: NDArray[np.int64]) -> dict[str, NDArray]:
    """Where tracks reach the calorimeter, (tracks,) eta and phi; zeros for those that do not."""
    if "referencePoint.x" not in states or not (rows != LOST).any():
        return {}
    x, y, z = (states[f"referencePoint.{i}"][rows].astype(np.float64) for i in XYZ)
    reached = rows != LOST
    return {
        "caloEta": np.where(reached, np.arcsinh(z / np.maximum(np.hypot(x, y), 1e-6)), 0),
        "caloPhi": np.where(reached, np.arctan2(y, x), 0),
    }


class Hits(NamedTuple):
    """Hits of clusters, each (hits,): number of the collection, place there, event, and row of the cluster."""

    collection: NDArray[np.int64]
    place: NDArray[np.int64]
    event: NDArray[np.int64]
    cluster: NDArray[np.int64]


def read_clusters(frames: Frames) -> tuple[dict[str, NDArray], Offsets, Hits]:
    """Columns of clusters, and their hits."""
    ends = [f"{what}_{end}" for what in ("subdetectorEnergies", "hits") for end in ("begin", "end")]
    found, offsets = frames.columns(CLUSTERS, ("energy", *POSITION, "iTheta", *ends))
    ecal, hcal, other = calorimeters(frames, found, offsets)
    hits = hits_of(frames, found, offsets)
    sigma, count = spread(frames, hits, len(found["energy"]))
    position = np.stack([found[axis] for axis in POSITION], axis=1)
    columns = cluster_columns(found["energy"], position, ecal, hcal, other, sigma)
    return columns | {"iTheta": found["iTheta"], "nCells": count}, offsets, hits


def calorimeters(frames: Frames, found: dict[str, NDArray], offsets: Offsets) -> tuple[NDArray, NDArray, NDArray]:
    """Energy of each cluster in ECAL, in HCAL, and elsewhere, (clusters,) GeV."""
    branch = f"_{CLUSTERS}_subdetectorEnergies"
    if branch not in frames.branches:  # old files number their vectors, and this is the last one
        branch = max(name for name in frames.branches if name.startswith(f"{CLUSTERS}_") and name[-1].isdigit())
    values, of_values = frames.numbers_of(branch)
    event = event_of(offsets)
    begin, end = (of_values[event] + found[f"subdetectorEnergies_{which}"] for which in ("begin", "end"))
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    padded = np.append(values, [0.0, 0.0])
    ecal, hcal = (np.where(begin + i < end, padded[begin + i], 0.0) for i in (0, 1))
    return ecal, hcal, np.maximum(sums[end] - sums[begin] - ecal - hcal, 0.0)


def hits_of(frames: Frames, found: dict[str, NDArray], offsets: Offsets) -> Hits:
    """The hits of all clusters, in the order of the clusters."""
    relation = frames.relation(frames.side(CLUSTERS, "hits", 1, "#"))
    event = event_of(offsets)
    counts = (found["hits_end"] - found["hits_begin"]).astype(np.int64)
    cluster = np.repeat(np.arange(len(counts)), counts)
    first = relation.offsets[event] + found["hits_begin"]
    place = np.arange(len(cluster)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    if len(place) and place.max() >= len(relation.place):
        raise FileError(f"{frames.path}: a hit of {CLUSTERS} is not there")
    return Hits(relation.collection[place], relation.place[place], event[cluster], cluster)


def spread(frames: Frames, hits: Hits, clusters: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(clusters, 3) standard deviation of hits weighted with energy, mm, and (clusters,) number of hits.

    Hits of collections that are not in the file are counted alone.
    """
    position, energy = np.zeros((len(hits.place), 3)), np.zeros(len(hits.place))
    names = {number: name for name, number in frames.numbers.items()} if len(hits.place) else {}
    for number in np.unique(hits.collection):
        if (name := names.get(int(number), "")) in frames.branches:
            mine = hits.collection == number
            found, offsets = frames.columns(name, ("energy", *POSITION))
            rows = offsets[hits.event[mine]] + hits.place[mine]
            energy[mine] = found["energy"][rows]
            position[mine] = np.stack([found[axis][rows] for axis in POSITION], axis=1)
    weight = np.maximum(np.bincount(hits.cluster, energy, clusters), 1e-12)
    mean = np.stack([np.bincount(hits.cluster, energy * x, clusters) / weight for x in position.T], axis=1)
    square = ((position - mean[hits.cluster]) ** 2).T
    variance = np.stack([np.bincount(hits.cluster, energy * x, clusters) / weight for x in square], axis=1)
    return np.sqrt(variance), np.bincount(hits.cluster, minlength=clusters)


def read_candidates(frames: Frames) -> Candidates:
    """Pandora's candidates."""
    code = "PDG" if frames.has(CANDIDATES, "PDG") else "type"
    momenta = [f"momentum.{axis}" for axis in XYZ]
    found, offsets = frames.columns(CANDIDATES, (code, "charge", "mass", *momenta))
    momentum = np.stack([found[name] for name in momenta], axis=1)
    return candidates_of(momentum, found["mass"], found[code], found["charge"], offsets)
