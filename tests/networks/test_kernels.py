import numpy as np
import pytest

from ptmiss.networks import kernels
from ptmiss.networks.inputs import Inputs

from ..helpers import random_candidates, random_model


def test_the_hyperbolic_tangent_is_good_to_a_millionth():
    x = np.concatenate([np.linspace(-12, 12, 200_001), [-1e30, 1e30, -0.0, 1e-20]]).astype(np.float32)
    y = x.copy()
    kernels.tanh_(y)
    np.testing.assert_allclose(y, np.tanh(x.astype(np.float64)), atol=8e-7)


def test_what_is_not_a_number_stays_so():
    x = np.full(16, np.nan, np.float32)
    kernels.tanh_(x)
    assert np.isnan(x).all()


def test_the_gradient_of_the_tangent():
    rng = np.random.default_rng(0)
    gradient, y = rng.normal(size=(2, 100)).astype(np.float32)
    np.testing.assert_allclose(kernels.tanh_gradient(gradient, y), gradient * (1 - y**2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("counts", [[0, 0, 500, 0, 3, kernels.BLOCK, 0], [kernels.BLOCK], [0], []])
@pytest.mark.parametrize("context", [0, 6])
def test_the_sums_are_those_of_the_outputs(counts, context):
    """They are made block by block, and an event may end anywhere in one."""
    model, inputs = random_model(context=context), Inputs.of(*random_candidates(counts))
    np.testing.assert_allclose(model.sums(inputs), model.add(inputs, model.outputs(inputs)), rtol=1e-12, atol=1e-9)
