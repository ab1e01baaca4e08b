"""Generated particles of EDM4hep files: those that can be seen, their origin, neutrinos and beams."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.conversion.assignment import LOST, Particles
from ptmiss.conversion.podio import Frames
from ptmiss.errors import FileError
from ptmiss.segments import Offsets, event_of, sum_by_event

PARTICLES = ("MCParticles", "MCParticle")
XYZ = ("x", "y", "z")
STABLE, NEUTRINOS, LEPTONS = 1, (12, 14, 16), (11, 13)
LARGEST_CODE = 10**10  # codes of nuclei have ten digits


class Truth(NamedTuple):
    """Generated particles: those of status 1 that can be seen, all else in the file, and what they came from.

    origin: (all,) row in ``seen`` of the particle that each one in the file comes from, LOST for none.
    """

    seen: Particles
    origin: NDArray[np.int64]
    offsets: Offsets
    neutrinos: NDArray[np.float64]
    beams: NDArray[np.float64]


def truth(frames: Frames) -> Truth:
    """The generated particles."""
    name = frames.first_of(PARTICLES)
    members = (
        "PDG",
        "generatorStatus",
        "charge",
        "mass",
        *(f"momentum.{i}" for i in XYZ),
        "parents_begin",
        "parents_end",
    )
    found, offsets = frames.columns(name, members)
    event = event_of(offsets)
    momentum = np.stack([found[f"momentum.{i}"].astype(np.float64) for i in XYZ], axis=1)
    energy = np.sqrt((momentum**2).sum(axis=1) + found["mass"].astype(np.float64) ** 2)
    momentum = np.column_stack([momentum, energy])
    code, status = found["PDG"].astype(np.int64), found["generatorStatus"]
    check_codes(frames, code[status == STABLE], event[status == STABLE])
    invisible = np.isin(np.abs(code), NEUTRINOS)
    mother = parents(frames, name, found, offsets)
    seen = (status == STABLE) & ~invisible
    row = np.where(seen, np.cumsum(seen) - 1, LOST)
    escaped = np.where((status == STABLE) & invisible, 1.0, 0.0)[:, np.newaxis] * momentum[:, :2]
    charge = np.rint(found["charge"]).astype(np.int64)
    return Truth(
        Particles(momentum[seen], code[seen], charge[seen], event[seen]),
        row[ancestors(mother, status == STABLE)],
        offsets,
        sum_by_event(escaped, offsets),
        beams(code, status, mother, momentum, event, len(offsets) - 1),
    )


def check_codes(frames: Frames, code: NDArray[np.int64], event: NDArray[np.int64]) -> None:
    """Raise FileError for a PDG code that no particle has."""
    odd = (code == 0) | (np.abs(code) > LARGEST_CODE)
    if odd.any():
        first = int(np.argmax(odd))
        raise FileError(
            f"{frames.path}: PDG code {code[first]} of a generated particle in event {frames.start + event[first]}; "
            f"codes are from 1 to {LARGEST_CODE}, or negative"
        )


def parents(frames: Frames, name: str, found: dict[str, NDArray], offsets: Offsets) -> NDArray[np.int64]:
    """(particles,) row of the first parent of each particle, its own without one."""
    relation = frames.relation(frames.side(name, "parents", 0, "#"))
    event = event_of(offsets)
    own = np.arange(offsets[-1])
    has = found["parents_end"] > found["parents_begin"]
    place = relation.offsets[event] + found["parents_begin"]
    has &= place < relation.offsets[event + 1]
    row = own.copy()
    row[has] = offsets[event[has]] + relation.place[place[has]]
    if (row < 0).any() or (row >= len(own)).any():
        raise FileError(f"{frames.path}: a parent in {name} is not there")
    return row


def ancestors(mother: NDArray[np.int64], stable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(particles,) row of the nearest stable ancestor, or of the first one of all; a stable particle's is itself."""
    row = np.arange(len(mother))
    step = np.where(stable, row, mother)
    while not np.array_equal(step[row], row):
        row = step[row]
    return row


def beams(
    code: NDArray, status: NDArray, mother: NDArray, momentum: NDArray, event: NDArray, events: int
) -> NDArray[np.float64]:
    """(events, 2) px of both beams, GeV, and the angle at which they cross, rad; zeros where there are none.

    Beams are the first two leptons without parents that have not the status of a stable particle.
    """
    first = np.flatnonzero((mother == np.arange(len(code))) & np.isin(np.abs(code), LEPTONS) & (status > STABLE))
    order = np.arange(len(first)) - np.searchsorted(event[first], event[first])
    two = first[order < 2]
    pairs, counts = np.unique(event[two], return_counts=True)
    whole, out = pairs[counts == 2], np.zeros((events, 2))
    two = two[np.isin(event[two], whole)]
    one, other = momentum[two[::2], :3], momentum[two[1::2], :3]
    along = (one * other).sum(axis=1) / np.maximum(np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1), 1e-9)
    out[whole, 0] = one[:, 0] + other[:, 0]
    out[whole, 1] = np.pi - np.arccos(np.clip(along, -1, 1))
    return out
