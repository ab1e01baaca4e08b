import numpy as np
import pytest

from ptmiss import binning
from ptmiss.errors import OptionError
from ptmiss.histograms import (
    MOMENTS,
    book_met,
    book_mt,
    book_recoil,
    fill_met,
    fill_recoil,
    fill_variations,
    scale,
    subtract,
)
from ptmiss.recoil import Recoil
from ptmiss.resolutions.moments import sums


def sample(n=500, seed=0):
    rng = np.random.default_rng(seed)
    recoil = Recoil(rng.normal(30, 25, n), rng.normal(0, 20, n), rng.exponential(60, n))
    return recoil, rng.poisson(30, n), rng.poisson(0.7, n), rng.normal(1, 0.5, n)


def filled(recoil, npv, njets, weight):
    out = book_recoil(["pf", "puppi"])
    fill_recoil(out, "pf", recoil, npv, njets, weight)
    return out


def test_what_is_booked_is_there_before_an_event_is():
    for name, booked in (book_recoil(["pf"]) | book_met(["pf"]) | book_mt(["pf"])).items():
        if name != "spectra":
            assert list(booked.axes["systematic"]) == ["nominal"]
            assert not booked.values(flow=True).any()
    with pytest.raises(OptionError, match="are empty: no event was selected"):
        sums(book_recoil(["pf"])["moments"], "pf")


def test_edges_are_the_published_ones():
    assert binning.QT_EDGES == (0, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100, 120, 140, 170, 200, 230, 260, 290, 350)
    assert set(binning.QT_EDGES) | {150, 1000} == set(binning.DEFAULT.qt_stored)
    assert binning.NPV_EDGES[:14] == (
        4.5,
        7.5,
        9.5,
        11.5,
        13.5,
        15.5,
        17.5,
        19.5,
        21.5,
        23.5,
        27.5,
        31.5,
        35.5,
        40.6,
    )


def test_moments_are_sums_over_all_events_whatever_the_range():
    recoil, npv, njets, weight = sample()
    recoil = recoil._replace(u_par=recoil.u_par * 1e4)  # far outside any axis
    total = sums(filled(recoil, npv, njets, weight)["moments"], "pf").part(slice(None))
    for moment in MOMENTS:
        np.testing.assert_allclose(total.moments[moment], moment.term(recoil, weight).sum(), rtol=1e-12)
    np.testing.assert_allclose(total(1, par=1, qt=1), (weight * recoil.u_par * recoil.qt).sum())
    np.testing.assert_allclose(total(2, perp=4), (weight**2 * recoil.u_perp**4).sum())


def test_each_event_is_in_its_bin():
    recoil = Recoil(np.array([1.0, 2.0]), np.zeros(2), np.array([7.0, 400.0]))
    moments = filled(recoil, np.array([5, 200]), np.array([0, 9]), np.ones(2))["moments"]
    view = moments[{"systematic": "nominal", "estimator": "pf", "moment": "w1 par0 perp0 qt0"}].view(flow=True)
    assert np.argwhere(view).tolist() == [[2, 1, 0], [len(binning.DEFAULT.qt_stored) - 1, view.shape[1] - 1, 2]]


def test_weights_and_squares_of_weights():
    recoil, npv, njets, weight = sample()
    spectra = filled(recoil, npv, njets, weight)["spectra"]
    inclusive = spectra[{"estimator": "pf", "qt": sum, "npv": sum, "njets": sum, "component": "perp", "residual": sum}]
    assert inclusive.value < weight.sum() or inclusive.value == pytest.approx(weight.sum())
    view = spectra[{"estimator": "pf", "component": "perp"}].view(flow=True)
    np.testing.assert_allclose(view["value"].sum(), weight.sum())
    np.testing.assert_allclose(view["variance"].sum(), (weight**2).sum())


def test_events_without_a_finite_recoil_are_left_out():
    recoil, npv, njets, _weight = sample(4)
    recoil.u_par[1] = np.nan
    recoil.u_perp[2] = np.inf
    total = sums(filled(recoil, npv, njets, np.ones(4))["moments"], "pf").part(slice(None))
    assert total() == 2
    assert np.isfinite(total(par=2))


def test_filling_in_pieces_is_filling_at_once():
    recoil, npv, njets, weight = sample()
    whole = filled(recoil, npv, njets, weight)
    first, second = (
        filled(Recoil(*(part[piece] for part in recoil)), npv[piece], njets[piece], weight[piece])
        for piece in (slice(0, 123), slice(123, None))
    )
    for name in whole:
        merged = (first[name] + second[name]).view(flow=True)
        for field in merged.dtype.names or [...]:
            np.testing.assert_allclose(merged[field], whole[name].view(flow=True)[field], rtol=1e-12, atol=1e-9)


def test_systematics_are_an_axis_that_grows():
    recoil, npv, njets, weight = sample()
    out = filled(recoil, npv, njets, weight)
    fill_recoil(out, "pf", recoil, npv, njets, 1.1 * weight, systematic="scale_up")
    assert list(out["moments"].axes["systematic"]) == ["nominal", "scale_up"]
    nominal, varied = (sums(out["moments"], "pf", s).part(slice(None)) for s in ("nominal", "scale_up"))
    np.testing.assert_allclose(varied(par=1), 1.1 * nominal(par=1))
    np.testing.assert_allclose(varied(2), 1.21 * nominal(2))


def test_scaling_is_filling_with_scaled_weights():
    recoil, npv, njets, weight = sample()
    a, b = filled(recoil, npv, njets, weight), filled(recoil, npv, njets, 2.5 * weight)
    for name in a:
        view, expected = scale(a[name], 2.5).view(flow=True), b[name].view(flow=True)
        for field in view.dtype.names or [...]:
            np.testing.assert_allclose(view[field], expected[field], atol=1e-9)


def test_subtracting_a_background_takes_its_weights_and_adds_its_errors():
    (signal, *rest), (background, *other) = sample(seed=1), sample(seed=2)
    s, b = filled(signal, *rest), filled(background, *other)
    left = sums(subtract(s["moments"], b["moments"]), "pf").part(slice(None))
    one, two = (sums(h["moments"], "pf").part(slice(None)) for h in (s, b))
    for moment in MOMENTS:
        sign = 1 if moment.weight == 2 else -1
        np.testing.assert_allclose(left.moments[moment], one.moments[moment] + sign * two.moments[moment])
    spectra = subtract(s["spectra"], b["spectra"]).view(flow=True)
    np.testing.assert_allclose(spectra["variance"], (s["spectra"] + b["spectra"]).view(flow=True)["variance"])
    np.testing.assert_allclose(
        spectra["value"], s["spectra"].view(flow=True)["value"] - b["spectra"].view(flow=True)["value"], atol=1e-9
    )


def test_pt_miss_by_size_and_direction():
    out = book_met(["pf"])
    fill_met(out, "pf", np.array([[3.0, 4.0], [0.0, -300.0]]), np.array([1.0, 2.0]))
    size = out["met"][{"systematic": 0, "estimator": "pf"}]
    assert size[{"met": 2}].value == 1  # 5 GeV in bins of 2
    assert size.view(flow=True)[-1]["value"] == 2
    assert out["met_phi"].sum().value == 3


def test_several_weights_in_one_pass_are_those_one_after_the_other():
    recoil, npv, njets, weight = sample()
    varied = {"nominal": weight, "pu_up": 1.2 * weight, "pu_down": 0.5 - weight}
    together, apart = book_recoil(["pf", "puppi"]), book_recoil(["pf", "puppi"])
    fill_variations(together, "puppi", recoil, npv, njets, varied)
    for name, each in varied.items():
        fill_recoil(apart, "puppi", recoil, npv, njets, each, name)
    for name, histogram in apart.items():
        assert together[name] == histogram
