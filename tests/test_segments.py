import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ptmiss import segments

counts = st.lists(st.integers(0, 5), max_size=20).map(np.array)


@given(counts)
def test_sum_by_event_equals_a_loop_and_empty_events_are_zero(counts):
    offsets = segments.from_counts(counts)
    values = np.random.default_rng(0).normal(size=(offsets[-1], 2)).astype(np.float32)
    expected = [values[start:stop].astype(float).sum(axis=0) for start, stop in itertools.pairwise(offsets)]
    total = segments.sum_by_event(values, offsets)
    assert total.dtype == np.float64
    np.testing.assert_allclose(total, np.reshape(expected, (len(counts), 2)), atol=1e-12)


def test_float32_values_are_summed_in_float64():
    values = np.full(10_000_000, 0.1, np.float32)
    total = segments.sum_by_event(values, np.array([0, len(values)]))
    np.testing.assert_allclose(total, np.float64(values[0]) * len(values), rtol=1e-9)


@given(counts, st.integers(0, 2**32 - 1))
def test_select_counts_what_is_kept_in_each_event(counts, seed):
    offsets = segments.from_counts(counts)
    mask = np.random.default_rng(seed).random(offsets[-1]) < 0.5
    kept = [mask[start:stop].sum() for start, stop in itertools.pairwise(offsets)]
    assert np.diff(segments.select(mask, offsets)).tolist() == kept
