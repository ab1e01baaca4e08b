import numpy as np
import pytest

from ptmiss.evaluation import bootstrap


def test_the_first_replica_is_the_sample():
    values = np.random.default_rng(0).normal(size=501)
    event = np.arange(501) // 3
    drawn = bootstrap.draws(167, 20)
    found = bootstrap.quantiles(values, event, drawn, (0.16, 0.5, 0.84))
    expected = np.quantile(values, (0.16, 0.5, 0.84), method="inverted_cdf")
    np.testing.assert_array_equal(found[0], expected)


def test_a_replica_is_the_sample_with_events_repeated():
    values, event = np.asarray([3.0, 1.0, 2.0, 5.0]), np.asarray([0, 1, 1, 2])
    drawn = np.asarray([[1.0, 1, 1], [2, 0, 3]])
    found = bootstrap.quantiles(values, event, drawn, (0.25, 0.5))
    np.testing.assert_array_equal(found[1], np.quantile([3, 3, 5, 5, 5], (0.25, 0.5), method="inverted_cdf"))


def test_the_error_of_a_median_is_right():
    values = np.random.default_rng(1).normal(size=4000)
    found = bootstrap.response(values + 10, np.arange(4000), bootstrap.draws(4000, 200))
    error = bootstrap.described("median", found.median)["median_error"]
    assert error == pytest.approx(1.2533 / np.sqrt(4000), rel=0.2)
    assert found.resolution[0] == pytest.approx(1.349 / 10, rel=0.05)


def test_errors_know_that_jets_of_an_event_belong_together():
    values = np.random.default_rng(2).normal(size=500)
    alone = bootstrap.response(values + 10, np.arange(500), bootstrap.draws(500, 200))
    twins = bootstrap.response(np.repeat(values, 4) + 10, np.repeat(np.arange(500), 4), bootstrap.draws(500, 200))
    errors = [bootstrap.described("m", found.median)["m_error"] for found in (alone, twins)]
    assert errors[0] == pytest.approx(errors[1])


def test_fractions_and_nothing_at_all():
    part, whole = np.asarray([[1, 0], [2, 0]]), np.asarray([[4, 0], [2, 0]])
    found = bootstrap.fraction(part, whole, bootstrap.draws(2, 3))
    assert found[0, 0] == 0.5
    assert np.isnan(found[:, 1]).all()
    assert np.isnan(bootstrap.quantiles(np.zeros(0), np.zeros(0, int), bootstrap.draws(2, 3), (0.5,))).all()
    assert list(bootstrap.frame([], "share").columns) == ["estimator", "low", "high", "share"]
