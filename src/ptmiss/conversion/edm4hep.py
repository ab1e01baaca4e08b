"""Events of EDM4hep files: tracks, Pandora's clusters and candidates, generated particles and the links to them.

Particles that the detector's simulation made count as the generated particle, of status 1, that they come from. The
links of clusters are read where the file has them, else made of those of their hits.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ptmiss import jets
from ptmiss.conversion import assignment
from ptmiss.conversion.assignment import LOST, Pairs, Particles
from ptmiss.conversion.contents import FIELDS, MIN_JET_PT, Contents, elements_of
from ptmiss.conversion.detector import CANDIDATES, CLUSTERS, TRACKS, Hits, read_candidates, read_clusters, read_tracks
from ptmiss.conversion.generated import PARTICLES, Truth, truth
from ptmiss.conversion.podio import Frames, Link, Relation, open_file
from ptmiss.errors import ColumnError, FileError, OptionError
from ptmiss.segments import Offsets, event_of, sum_by_event

TRACK_LINK, CLUSTER_LINK, HIT_LINK = "SiTracksMCTruthLink", "ClusterMCTruthLink", "CalohitMCTruthLink"
PURE, FEW_TRACKS = 0.9, 5  # tracks that tell the field: share of hits of one particle, and how many
FIELD_TOLERANCE = 0.1
CHUNK = 500  # events


def read(path: str, detector: str, limit: int | None = None, chunk: int = CHUNK) -> Iterator[Contents]:
    """The events of a file, some at a time.

    detector: ``clic`` or ``cld``, which says the magnetic field; limit: most events.
    """
    frames = open_file(path)
    frames.require((TRACKS, CLUSTERS, CANDIDATES))
    frames.first_of(PARTICLES)
    frames.first_of((CLUSTER_LINK, HIT_LINK))
    return (contents(part, detector) for part in frames.ranges(chunk, limit))


def contents(frames: Frames, detector: str) -> Contents:
    """A range of events in this package's columns."""
    found, field = truth(frames), FIELDS[detector]
    tracks, of_tracks = read_tracks(frames, field)
    clusters, of_clusters, hits = read_clusters(frames)
    elements, places = elements_of(tracks, of_tracks, clusters, of_clusters)
    of_track = track_pairs(frames, found, of_tracks)
    check_field(frames.path, detector, found, of_track, tracks["pt"])
    of_cluster = cluster_pairs(frames, found, of_clusters, clusters["energy"], hits)
    owner = assignment.owners(found.seen, at(of_track, places.first), at(of_cluster, places.second))
    energy, offsets = found.seen.momentum[:, 3], events_of(found.seen, len(elements))
    targets = assignment.targets(found.seen, owner, elements)
    lost = sum_by_event(np.where(owner == LOST, energy, 0.0), offsets)
    return Contents(
        elements,
        targets,
        read_candidates(frames),
        jets.cluster(found.seen.momentum, offsets, MIN_JET_PT, jets.EE_GENKT),
        found.neutrinos,
        sum_by_event(targets["energy"], targets.offsets) + lost - sum_by_event(energy, offsets),
        lost,
        found.beams,
    )


def at(pairs: Pairs, rows: NDArray[np.int64]) -> Pairs:
    """Pairs with tracks or clusters, with their rows (tracks,) among all elements."""
    return pairs._replace(element=rows[pairs.element])


def events_of(particles: Particles, events: int) -> Offsets:
    """Offsets (events + 1,) of particles."""
    return np.searchsorted(particles.event, np.arange(events + 1))


def track_pairs(frames: Frames, found: Truth, of_tracks: Offsets) -> Pairs:
    """Particles that made hits of tracks; weight: share of the track's hits."""
    if not of_tracks[-1]:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    if TRACK_LINK not in frames.branches:
        raise ColumnError(f"{frames.path} has {of_tracks[-1]} tracks and no {TRACK_LINK}; {links(frames)}")
    link = frames.link(TRACK_LINK)
    return pairs(frames, TRACK_LINK, link, found, rows_of(frames, TRACK_LINK, link.source, of_tracks))


def cluster_pairs(frames: Frames, found: Truth, of_clusters: Offsets, energy: NDArray, hits: Hits) -> Pairs:
    """Particles that left energy in clusters; weight: GeV."""
    if CLUSTER_LINK not in frames.branches:
        return hit_pairs(frames, found, hits)
    link = frames.link(CLUSTER_LINK)
    rows = rows_of(frames, CLUSTER_LINK, link.source, of_clusters)
    made = pairs(frames, CLUSTER_LINK, link, found, rows)
    return made._replace(weight=made.weight * energy[made.element])


def hit_pairs(frames: Frames, found: Truth, hits: Hits) -> Pairs:
    """The same from the links of hits."""
    link = frames.link(HIT_LINK)
    event = event_of(link.source.offsets)
    linked = np.stack([event, link.source.collection, link.source.place])
    clustered = np.stack([hits.event, hits.collection, hits.place])
    _, key = np.unique(np.concatenate([clustered, linked], axis=1), axis=1, return_inverse=True)
    key = key.ravel()
    cluster = np.full(key.max(initial=0) + 1, LOST)
    cluster[key[: len(hits.cluster)]] = hits.cluster
    return pairs(frames, HIT_LINK, link, found, cluster[key[len(hits.cluster) :]])


def pairs(frames: Frames, name: str, link: Link, found: Truth, element: NDArray[np.int64]) -> Pairs:
    """Pairs of seen particles and elements, LOST for none, of links (links,)."""
    particle = found.origin[rows_of(frames, name, link.target, found.offsets)]
    both = (particle != LOST) & (element != LOST)
    return Pairs(particle[both], element[both], link.weight[both])


def rows_of(frames: Frames, name: str, relation: Relation, offsets: Offsets) -> NDArray[np.int64]:
    """Rows of objects in a flat table with these offsets; FileError if a link points beside it."""
    event = event_of(relation.offsets)
    rows = offsets[event] + relation.place
    odd = (relation.place < 0) | (rows >= offsets[event + 1])
    if odd.any():
        first = int(np.argmax(odd))
        raise FileError(
            f"{frames.path}: {name} points to object {relation.place[first]} in event {frames.start + event[first]}, "
            f"which has {np.diff(offsets)[event[first]]}"
        )
    return rows


def links(frames: Frames) -> str:
    """The links that a file has, for an error."""
    there = [name for name in frames.collections if "Link" in name or "Relation" in name or "Association" in name]
    return f"links there: {', '.join(there) or 'none'}"


def check_field(path: str, detector: str, found: Truth, tracks: Pairs, pt: NDArray) -> None:
    """Raise OptionError if tracks of the detector's field do not have the momenta of their particles."""
    one = assignment.leading(tracks)
    sure = (one.weight > PURE) & (found.seen.charge[one.particle] != 0)
    if np.count_nonzero(sure) < FEW_TRACKS:
        return
    true = np.hypot(*found.seen.momentum[one.particle[sure], :2].T)
    ratio = float(np.median(true / pt[one.element[sure]]))
    if abs(ratio - 1) > FIELD_TOLERANCE:
        measured = ratio * FIELDS[detector]
        fields = ", ".join(f"{name} {field:g} T" for name, field in FIELDS.items())
        raise OptionError(
            f"{path}: tracks say a field of {measured:.2f} T, not that of --detector {detector} ({fields})"
        )
