from itertools import pairwise

import correctionlib
import numpy as np
import pytest
from correctionlib import schemav2 as cs

from ptmiss.calibration.flow import export
from ptmiss.calibration.flow.maps import JointMap
from ptmiss.models.recoilflow.dense import Dense

CONTEXT = ("qt", "njets", "npv")


def dense(inputs, hidden, seed, size=2.0):
    """A network with random weights on inputs of tens of GeV."""
    rng = np.random.default_rng(seed)
    sizes = [inputs, *hidden, 1]
    layers = [(rng.normal(size=(b, a)) / a, rng.normal(size=b)) for a, b in pairwise(sizes)]
    layers[0] = (layers[0][0] / 10, layers[0][1])
    layers[-1] = (layers[-1][0] * size, layers[-1][1])
    low, high = np.r_[0.0, 0, 5, np.full(inputs - 3, -60)], np.r_[80.0, 2, 40, np.full(inputs - 3, 60)]
    return Dense(tuple(layers), low, high)


def networks(seed, hidden=(16, 16), size=2.0):
    return [dense(len(CONTEXT) + k + 1, hidden, 10 * seed + k, size) for k in range(4)]


@pytest.fixture(scope="module")
def joint():
    return JointMap(("pf", "puppi"), CONTEXT, networks(1), {"stat_0": networks(2, size=0.3)})


@pytest.fixture(scope="module")
def evaluators(joint):
    corrections = [export.joint_correction(joint, k) for k in range(4)]
    made = cs.CorrectionSet(schema_version=2, corrections=corrections)
    return correctionlib.CorrectionSet.from_string(made.model_dump_json(exclude_unset=True))


def events(n, seed=3):
    rng = np.random.default_rng(seed)
    context = rng.exponential(30, n), rng.poisson(0.8, n), rng.poisson(22.0, n).astype(float)
    return context, rng.normal(0, 25, (n, 4))


@pytest.mark.parametrize("systematic", ["nominal", "stat_0"])
def test_plain_correctionlib_gives_what_the_networks_give(joint, evaluators, systematic):
    """Residuals, after qT is taken off and before it is added again, also outside of the ranges of the networks."""
    (qt, njets, npv), residual = events(3000)
    expected = joint(residual, np.column_stack([qt, njets, npv]), systematic)
    par = np.array([1.0, 0, 1, 0])
    u = residual + qt[:, None] * par
    for k, name in enumerate(joint.features):
        found = evaluators[name].evaluate(qt, njets, npv, *u.T[: k + 1], systematic)
        np.testing.assert_allclose(found - qt * par[k], expected[:, k], rtol=0, atol=2e-3)
    assert np.abs(expected - residual).max() > 0.5


def test_outside_of_its_range_a_shift_is_carried_on(joint, evaluators):
    where = 30.0, 1, 20.0
    at = [evaluators["pf_u_par"].evaluate(*where, u, "nominal") - u for u in (90.0, 200.0, 900.0)]
    np.testing.assert_allclose(at, at[0], atol=1e-9)  # 30 + 60 GeV and above
    assert evaluators["pf_u_par"].evaluate(30.0, 9, 20.0, 10.0, "nominal") == pytest.approx(
        evaluators["pf_u_par"].evaluate(30.0, 2, 20.0, 10.0, "nominal")
    )


def test_an_unknown_systematic_is_an_error(evaluators):
    with pytest.raises(IndexError, match="stat_9"):
        evaluators["pf_u_par"].evaluate(30.0, 1, 20.0, 1.0, "stat_9")
