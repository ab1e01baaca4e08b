"""Jets with R = 0.4 of each reconstruction's candidates against the generated jets of the hard collision.

They are anti-kT jets, of electron beams those of ee_genkt with p = -1. ``chs`` leaves out charged candidates of another
vertex's fit (fromPV 0), ``puppi`` weighs with PUPPI. Each generated jet takes the nearest jet above LEAST_PT; response
is the ratio of their pT, resolution its interquartile range over the median.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ptmiss import bootstrap
from ptmiss.bootstrap import Draws
from ptmiss.candidates import Candidates
from ptmiss.jets import ANTIKT, Jets, cluster, responses
from ptmiss.segments import select

CHS, PUPPI = "chs", "puppi"
KINDS = (CHS, PUPPI)
LEAST_PT = 3.0  # GeV
WINDOW = 0.2
EDGES = (10, 20, 40, 60, 80, 100, 200, 400)
BINS = (*pairwise(EDGES), (20, 100))
REGIONS = {"all": (0.0, 5.0), "tracker": (0.0, 2.5), "HF": (3.0, 5.0)}
REFERENCE = "pf"
MIN_JETS = 20  # jets: a bin with fewer has no row


class Pairs(NamedTuple):
    """Generated jets, each (jets,): event, pT (GeV), eta, and the pT of the jet found over it, NaN if there is none."""

    event: NDArray[np.int64]
    pt: NDArray[np.float64]
    eta: NDArray[np.float64]
    ratio: NDArray[np.float64]


def of_candidates(made: Candidates, kind: str, algorithm: str = ANTIKT) -> Jets:
    """Jets of candidates with PUPPI weights, CHS or PUPPI; algorithm: see ptmiss.jets.cluster."""
    another = (made["charge"] != 0) & (made["fromPV"] == 0)
    weight = made["puppiWeight"] if kind == PUPPI else ~another
    kept = weight > 0
    pt, eta, phi, mass, w = (
        column[kept].astype(np.float64) for column in (*(made[name] for name in ("pt", "eta", "phi", "mass")), weight)
    )
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
    momentum = w[:, np.newaxis] * np.stack([px, py, pz, energy], axis=1)
    return cluster(momentum, select(kept, made.offsets), LEAST_PT, algorithm)


def pairs(generated: Jets, found: Jets, window: float = WINDOW) -> Pairs:
    """Each generated jet with the nearest one found."""
    event = np.repeat(np.arange(len(generated.counts)), generated.counts)
    return Pairs(event, generated.pt, generated.eta, responses(generated, found, window))


def table(measured: Mapping[tuple[str, str], Pairs], drawn: Draws) -> pd.DataFrame:
    """Response, resolution and matched fraction of each (estimator, kind) by region and bin of generated pT.

    ``resolution_vs_pf`` is the ratio to PF's with the same kind of jets, its error paired.
    """
    rows = []
    kinds = dict.fromkeys(kind for _, kind in measured)
    for kind, (region, inside), bounds in ((k, r, b) for k in kinds for r in REGIONS.items() for b in BINS):
        found = {name: _cell(p, inside, bounds, drawn) for (name, of_kind), p in measured.items() if of_kind == kind}
        cells = {name: cell for name, cell in found.items() if cell is not None}
        for name, (numbers, response) in cells.items():
            row = {"estimator": name, "jets": kind, "region": region, "low": bounds[0], "high": bounds[1]} | numbers
            if REFERENCE in cells:
                ratio = response.resolution / cells[REFERENCE][1].resolution
                row |= bootstrap.with_error(f"resolution_vs_{REFERENCE}", ratio)
            rows.append(row)
    return bootstrap.frame(rows, "jets", "region")


def _cell(
    jets: Pairs, eta: tuple[float, float], pt: tuple[float, float], drawn: Draws
) -> tuple[dict[str, object], bootstrap.Response] | None:
    inside = (np.abs(jets.eta) >= eta[0]) & (np.abs(jets.eta) < eta[1]) & (jets.pt >= pt[0]) & (jets.pt < pt[1])
    has = inside & np.isfinite(jets.ratio)
    if np.count_nonzero(has) < MIN_JETS:
        return None
    events = drawn.shape[1]
    all_jets, with_partner = (np.bincount(jets.event[mask], minlength=events) for mask in (inside, has))
    response = bootstrap.response(jets.ratio[has], drawn, jets.event[has])
    numbers: dict[str, object] = {"n": int(inside.sum())}
    numbers |= bootstrap.with_error("matched", bootstrap.fraction(with_partner, all_jets, drawn))
    numbers |= bootstrap.with_error("response", response.median)
    return numbers | bootstrap.with_error("resolution", response.resolution), response
