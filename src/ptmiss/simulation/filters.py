"""Noise filters, by the names of NanoAOD's flags: those of Run 2 and of Run 3.

There is nothing in the events that they would find. Each drops a stated share of events at random, which is larger in
pseudo-data, so that there is something for a cut flow to count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FILTERS = (
    "goodVertices",
    "globalSuperTightHalo2016Filter",
    "HBHENoiseFilter",
    "HBHENoiseIsoFilter",
    "EcalDeadCellTriggerPrimitiveFilter",
    "BadPFMuonFilter",
    "BadPFMuonDzFilter",
    "hfNoisyHitsFilter",
    "eeBadScFilter",
    "ecalBadCalibFilter",
)
FAILING = {"mc": 0.0002, "data": 0.002}
"""Share of the events that each filter drops, in simulation and in pseudo-data."""


def flags(n: int, profile: str, rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """(n,) whether an event passes, of each filter."""
    passed = rng.random((len(FILTERS), n)) >= FAILING[profile]
    return dict(zip(FILTERS, passed, strict=True))
