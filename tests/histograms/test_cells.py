import numpy as np
import pytest

from ptmiss.histograms import COMPONENTS, MOMENTS, book_recoil, fill_recoil
from ptmiss.recoil import Recoil

N = 3000


@pytest.fixture(scope="module")
def events():
    """Recoils far outside of every axis, on edges, and not finite; more jets than bins; negative weights."""
    rng = np.random.default_rng(0)
    u = Recoil(rng.normal(30, 125, N), rng.normal(0, 90, N), rng.exponential(60, N))
    u.qt[5:8] = [5, 350, 2000]
    u.u_par[:5] = [200 + u.qt[0], -200 + u.qt[1], np.nan, np.inf, -200.0001 + u.qt[4]]
    return u, rng.poisson(30, N), rng.poisson(0.7, N), rng.normal(1, 0.5, N)


def filled(events, step=N):
    out = book_recoil(["pf", "puppi"])
    for first in range(0, N, step):
        part = slice(first, first + step)
        u, *others = events
        for systematic in ("nominal", "jes_up"):
            recoil = Recoil(*(component[part] for component in u))
            fill_recoil(out, "puppi", recoil, *(other[part] for other in others), systematic=systematic)
    return out


def storage(histogram):
    view = histogram.view(flow=True)
    return np.stack([view["value"], view["variance"]]) if view.dtype.names else np.asarray(view)


def test_sums_are_those_of_boost_histogram(events):
    u, npv, njets, weight = events
    keep = np.isfinite(u.u_par)
    u, npv, njets, weight = Recoil(*(x[keep] for x in u)), npv[keep], njets[keep], weight[keep]
    expected = book_recoil(["pf", "puppi"])
    where = {"estimator": "puppi", "qt": u.qt, "npv": npv, "njets": np.minimum(njets, 2)}
    for systematic in ("nominal", "jes_up"):
        for moment in MOMENTS:
            of = {"moment": moment.name, "weight": moment.term(u, weight)}
            expected["moments"].fill(systematic=systematic, **where, **of)
        for name in ("u_par", "u_perp"):
            expected[name].fill(systematic, "puppi", getattr(u, name), weight=weight)
    for component, residual in zip(COMPONENTS, (u.u_par - u.qt, u.u_perp), strict=True):
        expected["spectra"].fill(**where, component=component, residual=residual, weight=weight)
    found = filled(events)
    np.testing.assert_allclose(storage(found["moments"]), storage(expected["moments"]), rtol=1e-13, atol=1e-6)
    for name in ("spectra", "u_par", "u_perp"):
        np.testing.assert_array_equal(storage(found[name]), storage(expected[name]), err_msg=name)


def test_parts_add_up_to_the_whole_to_the_last_bit(events):
    whole, parts = filled(events), filled(events, 77)
    for name, histogram in whole.items():
        np.testing.assert_array_equal(storage(parts[name]), storage(histogram), err_msg=name)
