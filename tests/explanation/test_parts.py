"""The recoil in parts: they add up, and each is what its candidates make."""

from collections import Counter

import numpy as np
import pytest

from ptmiss import bootstrap
from ptmiss.estimators import NetworkEstimator, make_estimators
from ptmiss.explanation import parts
from ptmiss.explanation.events import counted
from ptmiss.networks.registry import save_model
from ptmiss.recoil import recoil

from ..helpers import random_attention, random_model


@pytest.fixture(params=["pf", "puppi", "linear", "deepmet", "random", "padded", "neighbours", "attention"])
def estimator(request, tmp_path):
    if request.param in ("random", "padded", "neighbours", "attention"):
        model = random_model(padding=20 * (request.param == "padded"), context=6 * (request.param == "neighbours"))
        model = random_attention() if request.param == "attention" else model
        save_model(model, tmp_path / "net.safetensors", "random")
        return NetworkEstimator("net", str(tmp_path / "net.safetensors"))
    return make_estimators(request.param)[0]


def whole(estimator, sample):
    """u∥ and u⊥ of an estimator by the way of every processor."""
    met = estimator.met(None, sample.candidates, np.zeros(sample.candidates.offsets[-1], bool), Counter())
    return recoil(sample.boson, met - (sample.boson - sample.rest))


def test_the_parts_of_every_event_add_up_to_its_recoil(estimator, sample):
    u = whole(estimator, sample)
    found = parts.take_apart(estimator, sample).total
    np.testing.assert_allclose(found, np.stack([u.u_par, u.u_perp], axis=1), rtol=1e-5, atol=2e-3)


def test_means_and_variances_of_the_parts_add_up(estimator, sample):
    u, weight = whole(estimator, sample), sample.weight
    rows = parts.tabulate(parts.take_apart(estimator, sample), estimator.name, replicas=5)
    mean = {name: np.average(values, weights=weight) for name, values in u._asdict().items()}
    r = mean["u_par"] / mean["qt"]
    expected = {
        "mean_par": mean["u_par"],
        "mean_perp": mean["u_perp"],
        "response": r,
        "variance_par": np.average((u.u_par - r * u.qt) ** 2, weights=weight),
        "variance_perp": np.average((u.u_perp - mean["u_perp"]) ** 2, weights=weight),
        "share_par": 1,
        "share_perp": 1,
    }
    for level in parts.LEVELS:
        sums = rows[rows["level"] == level][list(expected)].sum()
        np.testing.assert_allclose(sums, list(expected.values()), rtol=2e-4, atol=2e-3, err_msg=level)


def test_a_part_is_what_pf_sums_over_its_candidates(sample):
    found = parts.take_apart(make_estimators("pf")[0], sample)
    pile_up = (sample.candidates["charge"] != 0) & (sample.candidates["fromPV"] == 0)
    met = -sample.candidates.keep(pile_up).momentum
    expected = np.zeros((len(sample), 2))
    np.add.at(expected, sample.event[pile_up], -met)
    members = np.flatnonzero(found.names["vertex"] == "pile-up")
    along = np.einsum("ej,ekj->ek", expected, sample.axes)
    np.testing.assert_allclose(found.recoil[:, members].sum(axis=1), along, atol=1e-3)
    pt = np.bincount(sample.event[pile_up], sample.candidates["pt"][pile_up], len(sample))
    np.testing.assert_allclose(found.momentum[:, members].sum(axis=1), pt, rtol=1e-5)


def test_covariances_add_up_to_the_variance(sample):
    (estimator,) = make_estimators("deepmet")
    found = parts.take_apart(estimator, sample)
    rows = parts.tabulate(found, "deepmet", replicas=2)
    whole = rows[rows["level"] == "all"].iloc[0]
    for component in ("par", "perp"):
        matrix = parts.covariances(found, component)
        assert matrix.to_numpy().sum() == pytest.approx(whole[f"variance_{component}"], rel=1e-6)
        np.testing.assert_allclose(matrix, matrix.T)
    own = parts.covariances(found).sum()
    photons = rows[rows["level"] == "kind and vertex"].set_index(["kind", "vertex"]).loc["photons", "no track"]
    assert own["photons, no track"] == pytest.approx(photons["variance_perp"], rel=1e-6)


def test_errors_are_those_of_the_bootstrap(sample):
    found = parts.take_apart(make_estimators("puppi")[0], sample)
    rows = parts.tabulate(found, "puppi", replicas=50)
    drawn = bootstrap.draws(len(sample), 50) * sample.weight
    u = found.total[:, 0]
    expected = ((drawn @ u) / (drawn @ sample.qt))[1:].std()
    assert rows[rows["level"] == "all"]["response_error"].iloc[0] == pytest.approx(expected)


def test_candidates_beyond_the_padding_add_nothing(sample, tmp_path):
    save_model(random_model(padding=20), tmp_path / "net.safetensors", "random")
    estimator = NetworkEstimator("net", str(tmp_path / "net.safetensors"))
    cut = ~counted(estimator, sample.candidates)
    term, _, factor = parts.terms(estimator, sample.candidates)
    assert cut.any()
    assert not term[cut].any()
    assert not factor[cut].any()


def test_bins_in_words():
    assert parts.words((0, 1.5, 3, np.inf)) == ["0 to 1.5", "1.5 to 3", "above 3"]
