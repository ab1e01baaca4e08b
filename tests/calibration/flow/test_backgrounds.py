import numpy as np
import pytest

pytest.importorskip("torch")

from ptmiss.calibration.flow import backgrounds
from ptmiss.errors import UnknownName

SIGNAL, TOP = 4000, 1000


def columns(rng, n, mean, width, weight=1.0):
    return rng.normal(mean, width, (n, 1)), rng.normal(size=(n, 1)), np.full(n, weight)


@pytest.fixture(scope="module")
def samples():
    """Data with 20 % of a background whose law is known, and twice as many simulated events of that background."""
    rng = np.random.default_rng(4)
    data = backgrounds.join([columns(rng, SIGNAL, 0.0, 1.0), columns(rng, TOP, 2.0, 1.5)])
    return data, [columns(rng, 2 * TOP, 2.0, 1.5, 0.5)]


@pytest.mark.slow
@pytest.mark.parametrize("way", backgrounds.WAYS)
def test_what_is_left_is_signal(samples, way):
    u, _, weights = backgrounds.subtract(*samples, way)
    assert weights.sum() == pytest.approx(SIGNAL, rel=0.03)
    mean = np.average(u[:, 0], weights=weights)
    assert mean == pytest.approx(0.0, abs=0.08)  # with its background 0.4
    assert np.sqrt(np.average((u[:, 0] - mean) ** 2, weights=weights)) == pytest.approx(1.0, abs=0.08)


def test_the_share_of_signal_is_that_of_the_densities(samples):
    def density(x, mean, width):
        return np.exp(-0.5 * ((x - mean) / width) ** 2) / width

    (u, _, _), (top,) = samples
    found = backgrounds.signal_share(samples[0], top)
    signal, other = SIGNAL * density(u[:, 0], 0, 1), TOP * density(u[:, 0], 2, 1.5)
    away = found - signal / (signal + other)
    assert ((found >= 0) & (found <= 1)).all()
    assert np.sqrt(np.mean(away**2)) < 0.06


def test_no_background_leaves_data_as_they_are(samples):
    assert backgrounds.subtract(samples[0], []) is samples[0]


def test_a_way_that_is_not_there():
    with pytest.raises(UnknownName, match="subtraction"):
        backgrounds.check("magic")
