"""Primary vertices and the tracks' association with them.

The finder starts from the true collisions, so it is optimistic: a collision with three tracks or more is a vertex, two
closer than 0.07 cm merge, and sum pT^2 chooses the primary one. Whether a track is in a fit is decided by its own dz.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.simulation.parameters import Beam
from ptmiss.simulation.tracks import FAKE, Tracks

MIN_TRACKS = 3
MERGE_DISTANCE = 0.07
GOOD_TRACKS = 5
"""Tracks that make a vertex good (ndof > 4)."""
POSITION_ERROR = (0.0010, 0.0010, 0.0020)
"""Errors of x, y and z of a vertex with 30 tracks, in cm."""
FIT_EFFICIENCY = 0.75
"""Share of compatible tracks in a fit. It gives a third of the charged candidates in no fit, as in real events."""


class Vertices(NamedTuple):
    """Reconstructed vertices, the primary one first: position, shape (vertices, 3), in cm, and number of tracks.

    ``hard`` says whether the primary one holds the hard collision.
    """

    position: NDArray[np.float64]
    tracks: NDArray[np.int64]
    hard: bool

    @property
    def good(self) -> int:
        """Number of vertices with enough tracks."""
        return int(np.sum(self.tracks >= GOOD_TRACKS))


class Association(NamedTuple):
    """Vertices of tracks, each (tracks,): nearest vertex, ``fromPV`` (0 to 3), ``pvAssocQuality``, dxy and dz (cm)."""

    vertex: NDArray[np.int64]
    from_pv: NDArray[np.int32]
    quality: NDArray[np.int32]
    dxy: NDArray[np.float64]
    dz: NDArray[np.float64]


def find(tracks: Tracks, collision: NDArray[np.int32], true: NDArray, beam: Beam, rng: np.random.Generator) -> Vertices:
    """Vertices of tracks whose particles belong to ``collision``; ``true``, shape (collisions, 3), in cm."""
    real = tracks.particle != FAKE
    origin = collision[tracks.particle[real]]
    prompt = np.abs(tracks.z[real] - true[origin, 2]) < 0.5
    counts = np.bincount(origin[prompt], minlength=len(true))
    sum_pt2 = np.bincount(origin[prompt], np.minimum(tracks.pt[real][prompt], 100.0) ** 2, minlength=len(true))
    group = _merge(true[:, 2], counts >= MIN_TRACKS)
    if not np.any(group >= 0):
        return Vertices(np.array([[beam.x, beam.y, 0.0]]), np.zeros(1, dtype=np.int64), False)
    own, weight = group[group >= 0], (sum_pt2 + 1e-9)[group >= 0]
    total = np.bincount(own, weight)
    tracks_in = np.bincount(own, counts[group >= 0]).astype(np.int64)
    mean = np.stack([np.bincount(own, weight * true[group >= 0, axis]) / total for axis in range(3)], axis=1)
    error = np.array(POSITION_ERROR) * np.sqrt(30 / tracks_in)[:, None]
    order = np.argsort(-total, kind="stable")
    position = (mean + rng.normal(size=mean.shape) * error)[order]
    return Vertices(position, tracks_in[order], bool(group[0] == order[0]))


def _merge(z: NDArray, found: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(collisions,) number of each collision's merged vertex, -1 for none; z in cm."""
    group = np.full(len(z), -1)
    order = np.flatnonzero(found)[np.argsort(z[found])]
    if len(order):
        group[order] = np.concatenate([[0], np.cumsum(np.diff(z[order]) > MERGE_DISTANCE)])
    return group


def associate(tracks: Tracks, vertices: Vertices, rng: np.random.Generator) -> Association:
    """The association by CMS's rules: in the fit of the nearest vertex (quality 7 or 6) if compatible, else by dz.

    fromPV is 3 in the primary vertex's fit, 2 if the primary vertex is the nearest but its fit does not use the track,
    1 if the track is in no fit, 0 in another vertex's fit.
    """
    dxy, dz = tracks.impact_parameters(vertices.position[0])
    distance = np.abs(tracks.z[:, None] - vertices.position[None, :, 2])
    nearest = np.argmin(distance, axis=1)
    dz_nearest = distance[np.arange(len(nearest)), nearest]
    compatible = (dz_nearest < np.minimum(5 * tracks.dz_error, 1.0)) & (np.abs(dxy) < 5 * tracks.dxy_error + 0.02)
    fitted = compatible & (rng.random(len(nearest)) < FIT_EFFICIENCY)
    quality = np.select([fitted & (dz_nearest < 3 * tracks.dz_error), fitted, dz_nearest < 0.1], [7, 6, 5], default=1)
    from_pv = np.select([fitted & (nearest == 0), nearest == 0, ~fitted], [3, 2, 1], default=0)
    return Association(nearest, from_pv.astype(np.int32), quality.astype(np.int32), dxy, dz)
