"""The kernels of attention; what they make together is tested in test_attention.py and tests/models/deepmet."""

import numpy as np

from ptmiss.networks import messages


def test_the_exponential():
    x = np.linspace(-60, 60, 100_001).astype(np.float32)
    found = np.array([messages.exponential(value) for value in x])
    np.testing.assert_allclose(found, np.exp(x.astype(float)), rtol=4e-6)
    assert messages.exponential(np.float32(1e4)) == found[-1]
