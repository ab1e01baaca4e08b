"""Jets: anti-kT 0.4 on PUPPI-weighted candidates, and on the hard collision's stable particles. No energy corrections.

fastjet (Cacciari, Salam, Soyez, EPJC 72 (2012) 1896) is loaded on first use; it is GPL, hence never more than an extra.
"""

from __future__ import annotations

from typing import NamedTuple

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import PtmissError

RADIUS = 0.4
MIN_PT, MIN_GEN_PT = 15.0, 10.0


class Jets(NamedTuple):
    """Jets, flat over events and sorted in pT: GeV; ``counts``, shape (events,), jets of each event."""

    pt: NDArray[np.float64]
    eta: NDArray[np.float64]
    phi: NDArray[np.float64]
    mass: NDArray[np.float64]
    counts: NDArray[np.int64]


def cluster(momentum: NDArray[np.float64], offsets: NDArray[np.int64], min_pt: float) -> Jets:
    """Jets of flat four-momenta, shape (particles, 4) as px, py, pz, E, cut into events by offsets."""
    try:
        import fastjet
    except ImportError as error:
        raise PtmissError("jets need fastjet: pip install 'ptmiss[simulation]'") from error
    names = ("px", "py", "pz", "E")
    particles = ak.zip({name: momentum[:, i] for i, name in enumerate(names)}, with_name="Momentum4D")
    events = ak.unflatten(particles, np.diff(offsets))
    fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
    found = fastjet.ClusterSequence(events, definition).inclusive_jets(min_pt=min_pt)
    px, py, pz, energy = (found[name] for name in names)
    order = ak.argsort(-(px**2 + py**2), axis=1)
    px, py, pz, energy = (ak.to_numpy(ak.flatten(column[order])) for column in (px, py, pz, energy))
    pt = np.hypot(px, py)
    mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0.0))
    return Jets(pt, np.arcsinh(pz / pt), np.arctan2(py, px), mass, ak.to_numpy(ak.num(order)).astype(np.int64))


def match(jets: Jets, others: Jets, window: float = RADIUS) -> NDArray[np.int32]:
    """Row inside the event of the nearest other jet within a window, -1 for none, shape (jets,)."""
    out = np.full(len(jets.pt), -1, dtype=np.int32)
    first, other_first = 0, 0
    for n, m in zip(jets.counts, others.counts, strict=True):
        if n and m:
            mine, theirs = slice(first, first + n), slice(other_first, other_first + m)
            dphi = np.abs(jets.phi[mine, None] - others.phi[None, theirs])
            distance = np.hypot(jets.eta[mine, None] - others.eta[None, theirs], np.minimum(dphi, 2 * np.pi - dphi))
            out[mine] = np.where(distance.min(axis=1) < window, distance.argmin(axis=1), -1)
        first, other_first = first + n, other_first + m
    return out
