from __future__ import annotations

import numpy as np
import pytest

from ptmiss.simulation import filters


@pytest.mark.parametrize("profile", filters.FAILING)
def test_each_filter_drops_its_share_independently(profile):
    n = 200_000
    found = filters.flags(n, profile, np.random.default_rng(1))
    failing = [np.count_nonzero(~passed) for passed in found.values()]
    expected = n * filters.FAILING[profile]
    assert list(found) == list(filters.FILTERS)
    assert failing == pytest.approx([expected] * 10, abs=5 * np.sqrt(expected))
    together = np.count_nonzero(~np.logical_and.reduce(list(found.values())))
    assert together == pytest.approx(10 * expected, abs=5 * np.sqrt(10 * expected))
