"""Jets with R = 0.4, of candidates or of generated particles, without energy corrections.

Anti-kT at hadron colliders; at electron colliders its counterpart in angles and energies, ee_genkt with p = -1.

fastjet (Cacciari, Salam, Soyez, EPJC 72 (2012) 1896) is imported when it is first used. It stays an optional dependency
because its licence is the GPL.
"""

from __future__ import annotations

from typing import NamedTuple

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.angles import wrap
from ptmiss.errors import PtmissError
from ptmiss.segments import from_counts

RADIUS = 0.4
MIN_PT, MIN_GEN_PT = 15.0, 10.0
ANTIKT, EE_GENKT = "antikt", "ee_genkt"


class Jets(NamedTuple):
    """Jets of many events, sorted in pT within each: columns (jets,) in GeV and rad; counts (events,) of jets."""

    pt: NDArray[np.float64]
    eta: NDArray[np.float64]
    phi: NDArray[np.float64]
    mass: NDArray[np.float64]
    counts: NDArray[np.int64]


def cluster(momentum: NDArray[np.float64], offsets: NDArray[np.int64], min_pt: float, algorithm: str = ANTIKT) -> Jets:
    """Jets above ``min_pt`` (GeV) of flat four-momenta, shape (particles, 4): px, py, pz, E in GeV.

    offsets: (events + 1,). algorithm: ANTIKT or EE_GENKT.
    """
    try:
        import fastjet
    except ImportError as error:
        raise PtmissError("jets need fastjet: pip install 'ptmiss[simulation]'") from error
    names = ("px", "py", "pz", "E")
    particles = ak.zip({name: momentum[:, i] for i, name in enumerate(names)}, with_name="Momentum4D")
    events = ak.unflatten(particles, np.diff(offsets))
    fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)
    if algorithm == EE_GENKT:
        definition = fastjet.JetDefinition(fastjet.ee_genkt_algorithm, RADIUS, -1.0)
    else:
        definition = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
    found = fastjet.ClusterSequence(events, definition).inclusive_jets(min_pt=min_pt)
    px, py, pz, energy = (found[name] for name in names)
    order = ak.argsort(-(px**2 + py**2), axis=1)
    px, py, pz, energy = (ak.to_numpy(ak.flatten(column[order])) for column in (px, py, pz, energy))
    pt = np.hypot(px, py)
    mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0.0))
    return Jets(pt, np.arcsinh(pz / pt), np.arctan2(py, px), mass, ak.to_numpy(ak.num(order)).astype(np.int64))


def match(jets: Jets, others: Jets, window: float = RADIUS) -> NDArray[np.int32]:
    """(jets,) number, in its event, of the nearest other jet within a window in (eta, phi); -1 for none."""
    counts = np.repeat(others.counts, jets.counts)  # of the others in each jet's event
    one = np.repeat(np.arange(len(jets.pt)), counts)
    row = np.arange(len(one)) - np.repeat(from_counts(counts)[:-1], counts)
    other = np.repeat(_first(others, jets), counts) + row
    distance = np.hypot(jets.eta[one] - others.eta[other], wrap(jets.phi[one] - others.phi[other]))
    near = np.flatnonzero(distance < window)
    near = near[np.lexsort((distance[near], one[near]))]
    matched, nearest = np.unique(one[near], return_index=True)
    out = np.full(len(jets.pt), -1, dtype=np.int32)
    out[matched] = row[near[nearest]]
    return out


def responses(jets: Jets, others: Jets, window: float) -> NDArray[np.float64]:
    """(jets,) pT of the nearest other jet within a window over the jet's own; NaN for none."""
    row = match(jets, others, window)
    has = row >= 0
    out = np.full(len(row), np.nan)
    out[has] = others.pt[(_first(others, jets) + row)[has]] / jets.pt[has]
    return out


def _first(others: Jets, jets: Jets) -> NDArray[np.int64]:
    """(jets,) row of the first other jet in each jet's event."""
    return np.repeat(from_counts(others.counts)[:-1], jets.counts)
