"""PUPPI weights. The simulation, the ``puppi`` estimator and the reconstruction all use this implementation.

Pileup per particle identification (Bertolini, Harris, Low, Tran, JHEP 10 (2014) 059) as CMS runs it in Run 2
(CMS-JME-18-001): ``alpha = log sum pT^2 / dR^2`` over the neighbours within R0 = 0.4, the charged particles of the
primary vertex as neighbours inside abs eta < 2.5 and all particles outside. The charged pile-up of abs eta < 2 gives
the median and the lower (one-sided) RMS of both alphas; a signed chi-square with one degree of freedom turns a
particle's alpha into its weight. Charged particles get 1 or 0 by their vertex.

First :func:`charged_origin` finds the vertex of charged candidates, then :func:`weights` computes the weights. Momenta
are in GeV, lengths in cm.

``tests/candidates/test_puppi.py`` compares with the weights that CMS stored for the neutrals of ten events. 97.5 %
agree to 0.02 inside abs eta < 2.5 (RMS difference 0.036), and all beyond; 99.8 % are on the same side of the cut. The
pT cuts are those of these events: 0.2 + 0.015 nPV, then 1.7 + 0.08 nPV, then 2.0 + 0.08 nPV GeV. The published cuts
with a slope of 0.13 in the forward region do not fit them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.angles import separation

NEUTRAL, PRIMARY, PILEUP = 0, 1, 2
"""Origin of a candidate: without a track; charged, from the primary vertex; charged, from another vertex."""


@dataclass(frozen=True)
class Tune:
    """Settings of the algorithm; the defaults are CMS's for Run 2.

    ``regions`` holds one row for each range of abs eta: lower edge, pT cut on the weighted neutral at zero vertices
    (GeV), its slope per vertex (GeV), and the factors on the RMS and on the median that carry the central charged
    pile-up's alpha to that range.
    """

    cone: float = 0.4
    min_distance: float = 0.01
    min_weight: float = 0.01
    charged_eta: float = 2.5
    median_eta: float = 2.0
    median_pt: tuple[float, float] = (0.1, 0.5)
    protected_pt: float = 200.0
    dz_cut: float = 0.3
    regions: tuple[tuple[float, float, float, float, float], ...] = (
        (0.0, 0.2, 0.015, 1.0, 1.0),
        (2.5, 1.7, 0.08, 1.20, 0.90),
        (3.0, 2.0, 0.08, 0.95, 0.75),
    )


RUN2 = Tune()
_MAX_ETA = 6.0


def charged_origin(
    charge: NDArray, from_pv: NDArray, dz: NDArray[np.floating], dz_cut: float = RUN2.dz_cut
) -> NDArray[np.int8]:
    """(candidates,) origin of each candidate, by CMS's rule.

    A track in the fit of the primary vertex (fromPV 3) is PRIMARY, one in the fit of another vertex (fromPV 0) is
    PILEUP. For a track in neither fit ``dz`` (cm) decides.
    """
    primary = (from_pv == 3) | ((from_pv > 0) & (np.abs(dz) < dz_cut))
    origin = np.where(primary, PRIMARY, PILEUP)
    return np.where(charge == 0, NEUTRAL, origin).astype(np.int8)


def weights(
    pt: NDArray[np.floating],
    eta: NDArray[np.floating],
    phi: NDArray[np.floating],
    origin: NDArray[np.int8],
    offsets: NDArray[np.int64],
    npv: NDArray,
    tune: Tune = RUN2,
) -> NDArray[np.float32]:
    """(candidates,) PUPPI weights of flat candidates: pt in GeV, phi in rad, origin as :func:`charged_origin` gives it.

    offsets: (events + 1,). npv: (events,) good vertices, on which the pT cut of neutrals depends.
    """
    return weights_of_all(np.asarray(pt)[np.newaxis], eta, phi, origin, offsets, npv, tune)[0]


def weights_of_all(
    pt: NDArray[np.floating],
    eta: NDArray[np.floating],
    phi: NDArray[np.floating],
    origin: NDArray[np.int8],
    offsets: NDArray[np.int64],
    npv: NDArray,
    tune: Tune = RUN2,
) -> NDArray[np.float32]:
    """(variations, candidates) weights of candidates with several momenta, pt (variations, candidates), at once.

    Neighbours are found once for all of them, which is most of the work; the rest as in :func:`weights`.
    """
    out = np.empty(pt.shape, dtype=np.float32)
    settings = np.array(
        [
            tune.cone,
            tune.min_distance,
            tune.min_weight,
            tune.charged_eta,
            tune.median_eta,
            *tune.median_pt,
            tune.protected_pt,
        ]
    )
    _weigh_events(
        np.ascontiguousarray(pt.T, dtype=np.float64),
        np.asarray(eta, dtype=np.float64),
        np.asarray(phi, dtype=np.float64),
        np.asarray(origin, dtype=np.int8),
        np.asarray(offsets, dtype=np.int64),
        np.asarray(npv, dtype=np.float64),
        np.array(tune.regions, dtype=np.float64),
        settings,
        out,
    )
    return out


@njit(cache=True, nogil=True)
def _weigh_events(pt, eta, phi, origin, offsets, npv, regions, settings, out):  # type: ignore[no-untyped-def]
    for event in range(len(offsets) - 1):
        own = slice(offsets[event], offsets[event + 1])
        _weigh(pt[own], eta[own], phi[own], origin[own], npv[event], regions, settings, out[:, own])


@njit(cache=True, nogil=True)
def _weigh(pts, eta, phi, origin, npv, regions, settings, out):  # type: ignore[no-untyped-def]
    """Weights of one event's candidates, (variations, candidates), into out; pts: (candidates, variations)."""
    cone, min_distance, _, charged_eta, median_eta, central_pt, forward_pt, _ = settings
    central, highest = np.abs(eta) < charged_eta, _highest(pts)
    needed = (origin == NEUTRAL) & (highest > 0)
    sample = (origin != NEUTRAL) & (np.abs(eta) < median_eta)
    wanted = (needed & central) | (sample & (highest >= central_pt))
    from_charged = _alpha(pts, eta, phi, wanted, origin == PRIMARY, cone, min_distance)
    wanted = (needed & ~central) | (sample & (highest >= forward_pt))
    from_all = _alpha(pts, eta, phi, wanted, highest > 0, cone, min_distance)
    for v in range(pts.shape[1]):
        pt, alphas = pts[:, v], (from_charged[:, v], from_all[:, v])
        spread = (
            _pileup_spread(alphas[0], sample & (pt >= central_pt), origin),
            _pileup_spread(alphas[1], sample & (pt >= forward_pt), origin),
        )
        _assign(pt, eta, origin, npv, regions, settings, alphas, spread, out[v])


@njit(cache=True, nogil=True)
def _highest(pts):  # type: ignore[no-untyped-def]
    """(candidates,) largest pT of each candidate in any variation."""
    out = pts[:, 0].copy()
    for v in range(1, pts.shape[1]):
        out = np.maximum(out, pts[:, v])
    return out


@njit(cache=True, nogil=True)
def _assign(pt, eta, origin, npv, regions, settings, alphas, spread, weight):  # type: ignore[no-untyped-def]
    """The weight of each candidate, by its alpha and by those of the pile-up."""
    min_weight, charged_eta, protected_pt = settings[2], settings[3], settings[7]
    for i in range(len(pt)):
        if origin[i] != NEUTRAL:
            weight[i] = 1.0 if origin[i] == PRIMARY else 0.0
            continue
        region = len(regions) - 1
        while region > 0 and abs(eta[i]) < regions[region, 0]:
            region -= 1
        which = 0 if abs(eta[i]) < charged_eta else 1
        median, rms, count = spread[which]
        alpha = alphas[which][i]
        value = _chi2_cdf(alpha, median * regions[region, 4], rms * regions[region, 3]) if count > 0 else 1.0
        if value * pt[i] < regions[region, 1] + regions[region, 2] * npv:
            value = 0.0
        value = max(value, min(pt[i] / protected_pt, 1.0))
        weight[i] = value if value >= min_weight else 0.0


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _alpha(pts, eta, phi, wanted, neighbours, cone, min_distance):  # type: ignore[no-untyped-def]
    """log sum pT^2/dR^2 over the neighbours of each wanted candidate, (candidates, variations); 0 without any."""
    variations = pts.shape[1]
    total = np.zeros(pts.shape)
    columns = int(2 * math.pi / cone)
    row, column = _buckets(eta, phi, cone, columns)
    rows = row.max() + 1 if len(row) else 0
    order, start = _sort_into_buckets(row * columns + column, neighbours, rows * columns)
    squares, near_eta, near_phi = pts[order] ** 2, eta[order], phi[order]
    for i in np.flatnonzero(wanted):
        first = 0.0
        for near_row in range(max(row[i] - 1, 0), min(row[i] + 2, rows)):
            for step in range(-1, 2):
                bucket = near_row * columns + (column[i] + step) % columns
                for k in range(start[bucket], start[bucket + 1]):
                    distance2 = (near_eta[k] - eta[i]) ** 2 + separation(near_phi[k], phi[i]) ** 2
                    if min_distance**2 <= distance2 < cone**2:
                        inverse = 1 / distance2
                        first += squares[k, 0] * inverse
                        for v in range(1, variations):
                            total[i, v] += squares[k, v] * inverse
        total[i, 0] = first
        for v in range(variations):
            total[i, v] = math.log(total[i, v]) if total[i, v] > 0 else 0.0
    return total


@njit(cache=True, nogil=True)
def _buckets(eta, phi, size, columns):  # type: ignore[no-untyped-def]
    """Row in eta and column in phi of each candidate, in buckets no smaller than ``size``."""
    row, column = np.empty(len(eta), dtype=np.int64), np.empty(len(eta), dtype=np.int64)
    for i in range(len(eta)):
        row[i] = int(min(max(eta[i] + _MAX_ETA, 0.0), 2 * _MAX_ETA) / size)
        column[i] = min(int((phi[i] / (2 * math.pi) + 0.5) % 1.0 * columns), columns - 1)
    return row, column


@njit(cache=True, nogil=True)
def _sort_into_buckets(bucket, chosen, buckets):  # type: ignore[no-untyped-def]
    """Indices of the chosen candidates, bucket after bucket, and the first index of each bucket."""
    start = np.zeros(buckets + 1, dtype=np.int64)
    for i in range(len(bucket)):
        if chosen[i]:
            start[bucket[i] + 1] += 1
    start = np.cumsum(start)
    order, place = np.empty(start[-1], dtype=np.int64), start[:-1].copy()
    for i in range(len(bucket)):
        if chosen[i]:
            order[place[bucket[i]]] = i
            place[bucket[i]] += 1
    return order, start


@njit(cache=True, nogil=True)
def _pileup_spread(alpha, sample, origin):  # type: ignore[no-untyped-def]
    """Median and lower RMS of the pile-up's alpha, corrected for the primary vertex's share, and how many there are."""
    pileup = alpha[sample & (origin == PILEUP)]
    count = len(pileup)
    if count == 0:
        return 0.0, 1.0, 0
    zeros = np.sum(pileup == 0)
    last_zero = np.sum(pileup < 0) + zeros - 1 if zeros > 0 else 0  # in the order of size
    middle = last_zero + int((count - last_zero) * 0.5)
    median = np.partition(pileup, middle)[middle]
    squares, below = 0.0, 0
    for value in pileup:
        if value != 0 and value <= median:
            squares += (value - median) ** 2
            below += 1
    rms = math.sqrt(squares / below) if below > 0 else 0.0
    if rms == 0:
        rms = math.sqrt(1e-5)
    primary_below = np.sum(alpha[sample & (origin == PRIMARY)] <= median)
    share = primary_below / (primary_below + 0.5 * count)
    shift = math.sqrt(2 * _inverse_erf(share) ** 2 * rms)
    return median - shift, rms - shift, count


@njit(cache=True, nogil=True)
def _chi2_cdf(alpha, median, rms):  # type: ignore[no-untyped-def]
    """Probability that pile-up has a smaller signed chi-square; a particle without neighbours sits at the median."""
    if alpha == 0 or alpha <= median:
        return 0.0
    return math.erf((alpha - median) / abs(rms) / math.sqrt(2))


@njit(cache=True, nogil=True)
def _inverse_erf(value):  # type: ignore[no-untyped-def]
    """Winitzki's approximation, then Newton's method; value in [0, 1)."""
    log = math.log(1 - value * value)
    half = 2 / (math.pi * 0.147) + log / 2
    x = math.sqrt(math.sqrt(half * half - log / 0.147) - half)
    for _ in range(3):
        x -= (math.erf(x) - value) * math.sqrt(math.pi) / 2 * math.exp(x * x)
    return x
