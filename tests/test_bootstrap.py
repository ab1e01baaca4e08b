import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ptmiss import bootstrap


def test_the_first_replica_is_the_sample():
    values = np.random.default_rng(0).normal(size=501)
    event = np.arange(501) // 3
    drawn = bootstrap.draws(167, 20)
    found = bootstrap.quantiles(values, drawn, (0.16, 0.5, 0.84), event)
    expected = np.quantile(values, (0.16, 0.5, 0.84), method="inverted_cdf")
    np.testing.assert_array_equal(found[0], expected)


def test_a_replica_is_the_sample_with_events_repeated():
    values, event = np.asarray([3.0, 1.0, 2.0, 5.0]), np.asarray([0, 1, 1, 2])
    drawn = np.asarray([[1.0, 1, 1], [2, 0, 3]])
    found = bootstrap.quantiles(values, drawn, (0.25, 0.5), event)
    np.testing.assert_array_equal(found[1], np.quantile([3, 3, 5, 5, 5], (0.25, 0.5), method="inverted_cdf"))


def test_the_error_of_a_median_is_right():
    values = np.random.default_rng(1).normal(size=4000)
    found = bootstrap.response(values + 10, bootstrap.draws(4000, 200))
    error = bootstrap.with_error("median", found.median)["median_error"]
    assert error == pytest.approx(1.2533 / np.sqrt(4000), rel=0.2)
    assert found.resolution[0] == pytest.approx(1.349 / 10, rel=0.05)


def test_errors_know_that_jets_of_an_event_belong_together():
    values = np.random.default_rng(2).normal(size=500)
    alone = bootstrap.response(values + 10, bootstrap.draws(500, 200))
    twins = bootstrap.response(np.repeat(values, 4) + 10, bootstrap.draws(500, 200), np.repeat(np.arange(500), 4))
    errors = [bootstrap.with_error("m", found.median)["m_error"] for found in (alone, twins)]
    assert errors[0] == pytest.approx(errors[1])


def test_fractions_and_nothing_at_all():
    part, whole = np.asarray([[1, 0], [2, 0]]), np.asarray([[4, 0], [2, 0]])
    found = bootstrap.fraction(part, whole, bootstrap.draws(2, 3))
    assert found[0, 0] == 0.5
    assert np.isnan(found[:, 1]).all()
    assert np.isnan(bootstrap.quantiles(np.zeros(0), bootstrap.draws(2, 3), (0.5,), np.zeros(0, int))).all()
    assert list(bootstrap.frame([], "share").columns) == ["estimator", "low", "high", "share"]


def test_blocks_draw_the_same_weights_and_keep_little(monkeypatch):
    """A replica depends on its number and the seed alone, however many are drawn at a time."""
    whole = bootstrap.draws(30, 7, seed=3)
    monkeypatch.setattr(bootstrap, "BLOCK", 70)
    parts = list(bootstrap.blocks(30, 7, seed=3))
    assert [part.shape for part in parts] == [(2, 30)] * 4
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert (whole[0] == 1).all()
    assert not (bootstrap.draws(30, 7, seed=4)[1:] == whole[1:]).all()
    sums = bootstrap.replicate(lambda drawn: {"all": {"sum": drawn.sum(axis=1)}}, 30, 7, seed=3)
    np.testing.assert_array_equal(sums["all"]["sum"], whole.sum(axis=1))


def test_values_of_their_own_in_each_replica():
    values = np.random.default_rng(0).normal(size=(3, 50))
    drawn = bootstrap.draws(50, 2)
    found = bootstrap.half_width(values, drawn)
    for one, weight, width in zip(values, drawn, found, strict=True):
        low, high = np.quantile(np.repeat(one, weight.astype(int)), (0.16, 0.84), method="inverted_cdf")
        assert width == (high - low) / 2


@given(
    arrays(float, st.integers(1, 30), elements=st.floats(-1e3, 1e3, allow_subnormal=False)),
    st.sampled_from([0.5, 4.0]),
    st.randoms(),
)
@settings(max_examples=30, deadline=None)
def test_half_widths_follow_values_and_not_weights(values, factor, random):
    width = bootstrap.half_width(values)[0]
    assert bootstrap.half_width(factor * values)[0] == factor * width
    assert bootstrap.half_width(values, np.full((1, len(values)), factor))[0] == width
    shuffled = values[random.sample(range(len(values)), len(values))]
    assert bootstrap.half_width(shuffled)[0] == width


def test_weights_that_add_up_to_nothing_have_no_quantile():
    assert np.isnan(bootstrap.half_width(np.arange(4.0), np.asarray([[1.0, -1, 1, -1], [-1, -1, -1, 0]]))).all()
