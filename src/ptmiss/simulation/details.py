"""What matter in the tracker adds to elements: GSF tracks, brem points and superclusters, and more about the others.

The three kinds, numbered as in the public MLPF, repeat what tracks and ECAL clusters have. So none of them stands for a
particle, and a reconstruction may leave them out: all but GSF tracks without a general track, which are their
electrons' only tracks (ptmiss.simulation.truth).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.simulation import elements, helix, material
from ptmiss.simulation.calorimeter import Clusters
from ptmiss.simulation.cascade import Cascade
from ptmiss.simulation.electrontracks import GsfTracks
from ptmiss.simulation.elements import BREM, GSF, SUPERCLUSTER, Elements
from ptmiss.simulation.parameters import Detector, Matter
from ptmiss.simulation.superclusters import Superclusters
from ptmiss.simulation.tracks import Tracks
from ptmiss.simulation.vertices import Association

NO_PARENT = -1
HIT_EFFICIENCY, MUON_HIT_EFFICIENCY = 0.98, 0.95
DT_LAYERS, CSC_LAYERS = 44, 24
_DT_ETA, _CSC_ETA = 1.2, (0.9, 2.4)
_LEAST_SIGNIFICANCE = 2.0


class Brems(NamedTuple):
    """Brem points, each array of shape (points,): ``track`` is the row of the GSF track, ``layer`` from 1.

    momentum: GeV, lost there as measured, with its error. region, point: where the tangent meets a calorimeter, cm,
    (points, 3). eta, phi: direction of the tangent.
    """

    track: NDArray[np.int64]
    layer: NDArray[np.int64]
    momentum: NDArray[np.float64]
    error: NDArray[np.float64]
    eta: NDArray[np.float64]
    phi: NDArray[np.float64]
    region: NDArray[np.int8]
    point: NDArray[np.float64]


class Details(NamedTuple):
    """More about elements, each array of shape (elements,): zeros where a type has no such thing.

    pt_out: outer pT (GeV) of a GSF track and its general track. delta_p, delta_p_error: momentum lost, of these and of
    brem points. trajectory_point: layer of a brem point. seed: see electrontracks. hits: of tracks. dt_hits, csc_hits:
    of muons. corrected_energy: of a supercluster, also at its clusters. parent: row of what an element is a part of.
    """

    pt_out: NDArray
    delta_p: NDArray
    delta_p_error: NDArray
    trajectory_point: NDArray
    seed: NDArray
    hits: NDArray
    dt_hits: NDArray
    csc_hits: NDArray
    corrected_energy: NDArray
    parent: NDArray


def brem_points(
    cascade: Cascade, gsf: GsfTracks, detector: Detector, matter: Matter, rng: np.random.Generator
) -> Brems:
    """Where GSF tracks seem to lose momentum: a point is kept if the loss is two sigma or more."""
    real = np.flatnonzero(gsf.row >= 0)
    rows = gsf.row[real]
    measured = cascade.lost[rows] + matter.brem_error * rng.normal(size=(len(rows), material.LAYERS))
    of, layer = np.nonzero(cascade.crossed[rows] & (measured > _LEAST_SIGNIFICANCE * matter.brem_error))
    px, py, x, y, z = cascade.path[rows[of], layer].T
    first = cascade.first.take(rows[of])
    slope = first.pz / first.pt
    pt = np.hypot(px, py)
    pz, p = pt * slope, pt * np.hypot(1, slope)
    region, point = helix.reach(px, py, pz, np.zeros(len(px), np.int8), x, y, z, detector.solenoid)
    share = measured[of, layer]
    angles = np.arcsinh(slope), np.arctan2(py, px)
    return Brems(real[of], layer + 1, share * p, matter.brem_error * p, *angles, region, point)


def collect(
    plain: Elements,
    found: Tracks,
    gsf: GsfTracks,
    impact: tuple[NDArray[np.int8], NDArray],
    association: Association,
    brems: Brems,
    clusters: Clusters,
    superclusters: Superclusters,
    vertex: NDArray,
    rng: np.random.Generator,
) -> tuple[Elements, Details]:
    """The elements with the three kinds among them, and the details; plain: those without.

    impact, association: of GSF tracks. vertex: (3,) the primary one, cm.
    """
    n_track, n_gsf, n_brem, n_sc = len(found.pt), len(gsf.pt_out), len(brems.track), len(superclusters.energy)
    first_gsf = n_track + len(clusters.energy)
    last = first_gsf + n_gsf + n_brem
    before, after = (Elements(*(c[where] for c in plain)) for where in (slice(first_gsf), slice(first_gsf, None)))
    parts = [
        before,
        _of_gsf(gsf, association, impact),
        _of_brems(brems),
        after,
        _of_superclusters(superclusters, vertex),
    ]
    together = Elements(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    n, first_sc = len(together.pt), len(together.pt) - n_sc
    out = Details._make([*np.zeros((9, n)), np.full(n, NO_PARENT)])
    rows = np.arange(first_gsf, first_gsf + n_gsf)
    _fill_tracks(out, gsf, rows)
    out.hits[:n_track] = rng.binomial(material.LAYERS, HIT_EFFICIENCY, n_track)
    out.hits[rows] = rng.binomial(material.LAYERS, HIT_EFFICIENCY, n_gsf)
    _fill_muons(out, found, rng)
    points = slice(first_gsf + n_gsf, last)
    out.delta_p[points], out.delta_p_error[points] = brems.momentum, brems.error
    out.trajectory_point[points], out.parent[points] = brems.layer, first_gsf + brems.track
    _fill_superclusters(out, superclusters, n_track, first_sc)
    return together, out


def _fill_tracks(out: Details, gsf: GsfTracks, rows: NDArray[np.int64]) -> None:
    """Momenta and seed of GSF tracks, at their rows and at those of their general tracks."""
    cosh = np.cosh(gsf.tracks.eta)
    p_in, p_out = gsf.tracks.pt * cosh, gsf.pt_out * cosh
    error = np.hypot(gsf.tracks.pt_error * p_in, gsf.pt_out_error * p_out)
    has = gsf.track >= 0
    for at, kept in ((rows, slice(None)), (gsf.track[has], has)):
        out.pt_out[at], out.delta_p[at] = gsf.pt_out[kept], (p_in - p_out)[kept]
        out.delta_p_error[at], out.seed[at] = error[kept], gsf.seed[kept]
    out.parent[rows] = gsf.track


def _fill_muons(out: Details, found: Tracks, rng: np.random.Generator) -> None:
    """Hits in the muon system, drift tubes in the barrel and cathode strips in the endcaps."""
    n, eta = len(found.pt), np.abs(found.eta)
    drift, strips = (eta < _DT_ETA) & found.muon, (eta > _CSC_ETA[0]) & (eta < _CSC_ETA[1]) & found.muon
    out.dt_hits[:n] = rng.binomial(DT_LAYERS, MUON_HIT_EFFICIENCY, n) * drift
    out.csc_hits[:n] = rng.binomial(CSC_LAYERS, MUON_HIT_EFFICIENCY, n) * strips


def _fill_superclusters(out: Details, superclusters: Superclusters, first_ecal: int, first: int) -> None:
    """Corrected energies at superclusters and their clusters, which have them for parents."""
    corrected = superclusters.corrected
    out.corrected_energy[first:] = corrected
    members = np.flatnonzero(superclusters.member >= 0)
    of = superclusters.member[members]
    out.corrected_energy[first_ecal + members] = corrected[of]
    out.parent[first_ecal + members] = first + of


def _of_gsf(gsf: GsfTracks, association: Association, impact: tuple[NDArray[np.int8], NDArray]) -> Elements:
    found = elements.of_tracks(gsf.tracks, association, impact)
    return found._replace(type=np.full(len(found.pt), GSF, np.int32))


def _of_brems(brems: Brems) -> Elements:
    n = len(brems.track)
    eta, phi = elements.direction(brems.point)
    there = brems.region != helix.NOWHERE
    blank = elements.of_deposits(np.full(n, BREM, np.int32), brems.momentum, np.ones((n, 3)), np.zeros(3),
                                 np.zeros(n), np.zeros(n, np.int32))  # fmt: skip
    angles = {"eta": brems.eta, "phi": brems.phi, "pt": brems.momentum / np.cosh(brems.eta)}
    return blank._replace(**angles, calo_eta=np.where(there, eta, 0.0), calo_phi=np.where(there, phi, 0.0))


def _of_superclusters(found: Superclusters, vertex: NDArray) -> Elements:
    n = len(found.energy)
    kind, width = np.full(n, SUPERCLUSTER, np.int32), np.zeros(n)
    return elements.of_deposits(kind, found.energy, found.position, vertex, width, found.clusters.astype(np.int32))
