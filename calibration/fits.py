"""Fits of smooth laws, of data and simulation with the same terms.

Terms join one after the other as long as the samples ask for one by BIC: the score of a term that is not in the law
yet tells what it would gain. A weak prior keeps what a few events cannot tell near something sensible: shapes near two
Gaussians of twice the width, those of data near those of simulation. It is a part of the quoted covariance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from iminuit import Minuit
from scipy.stats import chi2

from ptmiss.typing import Array, Mask

from .gaussians import names
from .laws import Basis, Law
from .likelihood import Background, Counts, Likelihood, Terms, free_part, predict

FREE = 1e3  # width of a prior that says nothing
STEP, RATIO, LOGIT = 0.4, 0.4, 1.0  # widths of the prior: of a difference of means in RMS, of a ratio and of a fraction
SLOPES = 0.5  # of these for all terms but the constant
LIKE_SIMULATION = 0.5  # of these for data, about what simulation has
CHANGES = (0.1, 0.1)  # of mean in RMS and of log width: what data may differ in with qT or nJets, where nothing tells
VALID = 1e-3  # expected distance to the minimum, in units of the log likelihood
ROUNDS = 30  # of joining terms
CALLS = 2000  # of a minimisation
TOLERANCE = 0.02  # of MIGRAD: an expected distance of 2e-5 to the minimum by its own estimate, which is rough
SCORINGS, HALVINGS = 20, 10  # steps after MIGRAD, and how often one is halved that leads up
EXPECTED = 5.0  # effective events in a bin of the chi2


@dataclass(frozen=True)
class Prior:
    """Normal priors of the coefficients: centres and widths (parameters, terms)."""

    centres: Array
    widths: Array


@dataclass(frozen=True)
class Fit:
    """What was fitted to one sample.

    prior: of the coefficients; pull: how far the free coefficients follow the centres of their prior, (free, free);
    deviance: -2 log likelihood; distance: the expected one to the minimum; n_effective: events.
    """

    law: Law
    prior: Prior
    pull: Array
    deviance: float
    distance: float
    n_effective: float

    @property
    def valid(self) -> bool:
        """Whether the minimum was reached."""
        return bool(np.isfinite(self.distance) and self.distance < VALID)


class Pair(NamedTuple):
    """Fits of simulation and of data."""

    mc: Fit
    data: Fit

    def of(self, sample: str) -> Fit:
        """That of ``mc`` or of ``data``."""
        return self.mc if sample == "mc" else self.data


def generic(counts: Counts, basis: Basis, n: int) -> Prior:
    """The prior of a sample alone: its own mean and width, free, and shapes near two Gaussians of twice the width."""
    mean, rms = counts.moments()
    kinds = {"mean": (mean, FREE * rms), "log_width": (np.log(0.8 * rms), FREE)}
    kinds |= {"mean_step": (0.0, STEP * rms), "log_ratio": (np.log(2), RATIO), "logit": (1.0, LOGIT)}
    chosen = [kinds[name.rstrip("_0123456789")] for name in names(n)]
    centres, widths = np.zeros((2, len(chosen), len(basis.terms)))
    centres[:, 0] = [centre for centre, _ in chosen]
    widths[:] = np.array([width for _, width in chosen])[:, np.newaxis]
    widths[:, 1:] *= SLOPES
    return Prior(centres, widths)


def like(fit: Fit, counts: Counts) -> Prior:
    """The prior of data: what simulation has."""
    widths, n = LIKE_SIMULATION * fit.prior.widths, fit.law.n
    widths[:, 1:] *= SLOPES
    changes = CHANGES[0] * counts.moments()[1], CHANGES[1]
    widths[[0, n], 1:] = np.array(changes)[:, np.newaxis]
    return Prior(fit.law.coefficients, widths)


def fit(counts: Counts, basis: Basis, free: Mask, prior: Prior, start: Array) -> Fit:
    """The most likely law with these free terms, from a start (parameters, terms)."""
    likelihood, precision = Likelihood(counts, basis), prior.widths[free] ** -2
    coefficients = np.where(free, start, 0.0)
    last: dict[bytes, Terms] = {}

    def terms(x: Array) -> Terms:
        if x.tobytes() not in last:
            coefficients[free] = x
            last.clear()
            last[x.tobytes()] = likelihood(coefficients)
        return last[x.tobytes()]

    def value(x: Array) -> float:
        return float(terms(x).value + (x - prior.centres[free]) ** 2 @ precision / 2)

    def slope(x: Array) -> Array:
        return np.asarray(terms(x).gradient[free] + precision * (x - prior.centres[free]))

    def curvature(x: Array) -> Array:
        return free_part(terms(x), free)[1] + np.diag(precision)

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # steps that are too long and taken back
        best = descend(value, slope, curvature, minimum(value, slope, curvature, coefficients[free]))
    found = terms(best)
    covariance = np.asarray(np.linalg.inv(curvature(best)))
    coefficients[free] = best
    law = Law(basis, coefficients.copy(), free.copy(), covariance)
    distance = float(slope(best) @ covariance @ slope(best)) / 2
    return Fit(law, prior, covariance * precision, 2 * found.value, distance, counts.n_effective)


def minimum(
    value: Callable[[Array], float],
    slope: Callable[[Array], Array],
    curvature: Callable[[Array], Array],
    start: Array,
) -> Array:
    """Where MIGRAD finds the least value of a function with its gradient and expected information, (parameters,)."""
    minuit = Minuit(value, start, grad=slope, hessian=curvature)
    minuit.errordef, minuit.strategy, minuit.tol = Minuit.LIKELIHOOD, 0, TOLERANCE
    minuit.migrad(ncall=CALLS)
    return np.array(minuit.values)


def descend(
    value: Callable[[Array], float],
    slope: Callable[[Array], Array],
    curvature: Callable[[Array], Array],
    start: Array,
) -> Array:
    """Where Fisher scoring comes to from a point that is not yet within VALID of the minimum, (parameters,).

    MIGRAD may stop early with many events: it judges by differences of a large value.
    """
    x, goal = start, VALID
    for _ in range(SCORINGS):
        step, before = np.linalg.solve(curvature(x), slope(x)), value(x)
        if not step @ slope(x) / 2 >= goal:
            break
        below = (x - step / 2**halved for halved in range(HALVINGS))
        lower = next((each for each in below if value(each) < before), None)
        if lower is None:
            break
        x, goal = lower, VALID / 10
    return x


def with_background(fitted: Fit, counts: Counts) -> Fit:
    """The fit with the statistics of the background's simulation in its covariance.

    For each independent uncertainty of the background the law is fitted again, with one standard deviation more and
    less.
    """
    if counts.background is None:
        return fitted
    law = fitted.law

    def again(background: Background) -> Array:
        moved = replace(counts, background=background)
        return fit(moved, law.basis, law.free, fitted.prior, law.coefficients).law.coefficients[law.free]

    both = (_vary(counts.background, sign) for sign in (1, -1))
    moves = [(again(up) - again(down)) / 2 for up, down in zip(*both, strict=True)]
    covariance = law.covariance + sum(np.outer(move, move) for move in moves)
    return replace(fitted, law=replace(law, covariance=covariance))


def _vary(background: Background, sign: int) -> list[Background]:
    """The background with each of its independent uncertainties, one standard deviation up or down."""
    law = background.law
    shares = [replace(background, share=background.share + sign * error) for error in background.share_error]
    laws = [law.move(sign * step) for step in deviations(law.covariance)]
    return [*shares, *(replace(background, law=moved) for moved in laws)]


def deviations(covariance: Array) -> Array:
    """(parameters, parameters) standard deviations that make up a covariance, one in each row, largest first."""
    variances, vectors = np.linalg.eigh(covariance)
    return np.asarray((np.sqrt(np.maximum(variances, 0)) * vectors).T[::-1])


def choose(samples: Sequence[Counts], basis: Basis, n: int = 2) -> list[Fit]:
    """Fits of n Gaussians to each sample with the same terms; the second, of data, is drawn to the first."""
    free = np.zeros((3 * n - 1, len(basis.terms)), bool)
    free[:, 0] = True
    penalty = sum(np.log(max(counts.n_effective, 2.0)) for counts in samples)
    fits = _all(samples, basis, free, n)
    for _ in range(ROUNDS):
        gain = sum(gains(found, counts) for found, counts in zip(fits, samples, strict=True))
        gain = np.where(basis.open(free), gain, 0.0)
        best = gain.max(axis=1)
        joining = np.flatnonzero(best > max(penalty, best.max() / 2))
        if not joining.size:
            break
        free = free.copy()
        free[joining, gain.argmax(axis=1)[joining]] = True
        fits = _all(samples, basis, free, n, [found.law.coefficients for found in fits])
    return [with_background(found, counts) for found, counts in zip(fits, samples, strict=True)]


def _all(
    samples: Sequence[Counts], basis: Basis, free: Mask, n: int, starts: Sequence[Array] | None = None
) -> list[Fit]:
    out: list[Fit] = []
    for number, counts in enumerate(samples):
        prior = like(out[0], counts) if out else generic(counts, basis, n)
        start = starts[number] if starts else prior.centres
        out.append(fit(counts, basis, free, prior, start))
    return out


def gains(fitted: Fit, counts: Counts) -> Array:
    """Twice the log likelihood that each term which is not free would gain, (parameters, terms), by its score."""
    law = fitted.law
    terms, inside = Likelihood(counts, law.basis)(law.coefficients), law.free.ravel()
    slope, information = terms.gradient.ravel(), terms.information.reshape(inside.size, inside.size)
    away = (law.coefficients - fitted.prior.centres)[law.free] / fitted.prior.widths[law.free] ** 2
    precision = np.diag(fitted.prior.widths[law.free] ** -2.0)
    mixed = information[:, inside] @ np.linalg.inv(information[np.ix_(inside, inside)] + precision)
    rest = np.diagonal(information) - np.einsum("if,if->i", mixed, information[:, inside])
    score = slope - mixed @ (slope[inside] + away)
    out = np.where(inside, 0.0, score**2 / np.maximum(rest, 1e-9))
    return out.reshape(law.free.shape)


def widen(fits: Sequence[Fit], samples: Sequence[Counts], n: int) -> list[Fit]:
    """The same terms with more Gaussians, which start as constants."""
    old, basis = fits[0].law.n, fits[0].law.basis
    rows = [*range(old), *range(n, n + old), *range(2 * n, 2 * n + old - 1)]
    free = np.zeros((3 * n - 1, len(basis.terms)), bool)
    free[:, 0] = True
    free[rows] |= fits[0].law.free
    starts = [generic(counts, basis, n).centres for counts in samples]
    for start, found in zip(starts, fits, strict=True):
        start[rows] = found.law.coefficients
        start[n + old : 2 * n, 0] = np.log(1.5)
        start[2 * n + old - 1 :, 0] = 1.5
    return _all(samples, basis, free, n, starts)


def goodness(counts: Counts, law: Law) -> tuple[float, int]:
    """Pearson's chi2 of all rows, and its bins: joined until EXPECTED effective events are expected in each."""
    expected, found = predict(counts, law).sum(axis=0), counts.values.sum(axis=0)
    number = np.floor(np.cumsum(expected) / counts.scale / EXPECTED)
    starts = np.flatnonzero(np.diff(number, prepend=-1.0) > 0)
    seen, foreseen = (np.add.reduceat(part, starts) for part in (found, expected))
    used = foreseen > 0.5 * EXPECTED * counts.scale
    value = ((seen - foreseen)[used] ** 2 / (foreseen[used] * counts.scale)).sum()
    return float(value), int(used.sum()) - 1


def probability(value: float, ndof: int) -> float:
    """Probability of a larger chi2."""
    return float(chi2.sf(value, ndof)) if ndof > 0 else float("nan")
