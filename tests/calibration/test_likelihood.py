from dataclasses import replace

import numpy as np
import pytest

from ptmiss.calibration.laws import Basis, Law
from ptmiss.calibration.likelihood import Background, Counts, Likelihood, bin_probabilities, predict

BASIS = Basis(60.0, 2)


def law(n: int, seed: int = 0) -> Law:
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(0, 0.05, (3 * n - 1, len(BASIS.terms)))
    coefficients[n : 2 * n, 0] += [2.5, 0.6, 0.5][:n]
    return Law(BASIS, coefficients, np.ones_like(coefficients, bool), np.eye(coefficients.size))


def counts(background: bool) -> Counts:
    rng = np.random.default_rng(1)
    values = rng.poisson(20, (4, 12)).astype(float)
    values[1, 3] = -2  # as negative weights leave it
    edges = np.linspace(-40, 40, 13)
    table = Counts(values, 1.3 * np.abs(values), edges, np.array([5.0, 20.0, 40.0, 50.0]), np.array([0, 0, 1, 1]))
    if not background:
        return table
    return replace(table, background=Background(np.full(4, 0.1), np.full((1, 4), 0.01), law(1, 3)))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("background", [False, True])
def test_the_gradient_is_that_of_the_likelihood(n, background):
    likelihood, at, step = Likelihood(counts(background), BASIS), law(n).coefficients, 1e-5
    found = likelihood(at)
    for index in np.ndindex(at.shape):
        move = np.zeros_like(at)
        move[index] = step
        slope = (likelihood(at + move).value - likelihood(at - move).value) / (2 * step)
        assert found.gradient[index] == pytest.approx(slope, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("background", [False, True])
def test_the_information_is_the_variance_of_the_gradient(background):
    table, truth, rng = counts(background), law(2), np.random.default_rng(2)
    table = replace(table, values=np.abs(table.values), variances=np.abs(table.values))
    expected, total = predict(table, truth), table.values.sum(axis=1).astype(int)
    gradients = []
    for _ in range(1000):
        rows = [rng.multinomial(n, p / p.sum()) for n, p in zip(total, expected, strict=True)]
        drawn = np.array(rows, float)
        gradients.append(Likelihood(replace(table, values=drawn, variances=drawn), BASIS)(truth.coefficients).gradient)
    spread = np.var(np.array(gradients), axis=0)
    information = Likelihood(table, BASIS)(truth.coefficients).information
    size = spread.size
    np.testing.assert_allclose(np.diag(information.reshape(size, size)), spread.ravel(), rtol=0.25, atol=0.05)


def test_a_law_is_normalised_to_the_window():
    table = counts(False)
    wide = law(1)
    wide.coefficients[1, 0] = np.log(80)
    np.testing.assert_allclose(bin_probabilities(wide, table).sum(axis=1), 1)
    np.testing.assert_allclose(predict(table, wide).sum(axis=1), table.values.sum(axis=1))


def test_parts_keep_their_background():
    table = counts(True)
    part = table.part(np.array([True, False, True, False]))
    np.testing.assert_allclose(part.expected_background, table.expected_background[[0, 2]])
    assert part.jets.tolist() == [0, 1]


def test_moments_keep_the_sign_of_negative_bins():
    edges = np.linspace(-2, 2, 5)
    values = np.array([[-1.0, 3, 3, 1]])
    mean, rms = Counts(values, np.abs(values), edges, np.ones(1), np.zeros(1, int)).moments()
    assert mean == pytest.approx((1.5 - 1.5 + 1.5 + 1.5) / 6)
    second = (-1 * 2.25 + 3 * 0.25 + 3 * 0.25 + 2.25) / 6 + 1 / 12
    assert rms == pytest.approx(np.sqrt(second - mean**2))
