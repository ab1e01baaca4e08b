"""CPU time of an event from the detector to PUPPI at 33 collisions, stage by stage."""

import time

import numpy as np

from ptmiss.candidates import puppi
from ptmiss.simulation import detector, parameters, pileup

from ..simulation.conftest import frozen

EVENTS, COLLISIONS = 40, 33.0


def crossings(profile, rng):
    hard, library = frozen("zmumu").library, frozen("minbias").library
    return [pileup.cross(hard.collision(i % 10), library, profile.beam, rng) for i in range(EVENTS)]


def weigh(seen):
    found, track = seen.candidates, seen.elements
    from_pv, dz = (np.where(found.charge != 0, column[found.element], 3) for column in (track.from_pv, track.dz))
    offsets, good = np.array([0, len(found.pt)]), np.array([seen.vertices.good])
    origin = puppi.charged_origin(found.charge, from_pv, dz)
    return puppi.weights(found.pt, found.eta, found.phi, origin, offsets, good)


def timed(function, *arguments):
    began = time.process_time()
    result = function(*arguments)
    return result, 1e3 * (time.process_time() - began)


def test_detector_to_puppi():
    profile, rng = parameters.profile("mc", pileup_mean=COLLISIONS, pileup_spread=0.0), np.random.default_rng(1)
    rows = []
    for crossing in crossings(profile, rng):
        seen, first = timed(detector.reconstruct, crossing, profile, rng, False)
        _, second = timed(weigh, seen)
        rows.append((first, second))
    first, second = np.mean(rows[5:], axis=0)  # the first events compile
    print(f"\nSimulation at {COLLISIONS:.0f} collisions, CPU time of an event:")
    print(f"  detector, vertices, particle flow {first:6.1f} ms")
    print(f"  PUPPI                             {second:6.1f} ms")
    print(f"  together                          {first + second:6.1f} ms")
