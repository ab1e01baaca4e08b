import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ptmiss.models.deepmet import losses

EVENTS = 64


def pairs(n=EVENTS, seed=0):
    """Predictions and targets of random size and direction, GeV."""
    rng = np.random.default_rng(seed)
    q, phi = rng.uniform(0, 250, n), rng.uniform(-np.pi, np.pi, n)
    target = np.stack([q * np.cos(phi), q * np.sin(phi)], axis=1)
    return target + rng.normal(0, 40, (n, 2)), target


def tensors(*arrays):
    return tuple(torch.from_numpy(np.asarray(a, np.float64)) for a in arrays)


def residuals(predicted, target):
    """Residual along the target, and its size."""
    q = np.hypot(*target.T)
    return np.einsum("ij,ij->i", predicted, target) / q - q, q


def test_squared():
    predicted, target = pairs()
    expected = 0.5 * np.mean(((predicted - target) ** 2).sum(axis=1)) / 50**2
    assert float(losses.squared_loss(*tensors(predicted, target))) == pytest.approx(expected)


def test_huber_is_squared_below_its_edge_and_a_line_beyond():
    zero = np.zeros((1, 2))
    for x in (10.0, 29.0):
        near = tensors([[x, -x]], zero)
        assert float(losses.huber_loss(*near)) == pytest.approx(float(losses.squared_loss(*near)))
    at = [float(losses.huber_loss(*tensors([[x, 0]], zero))) for x in (30.0, 80.0, 130.0, 1000.0)]
    assert np.diff(at)[:2] == pytest.approx([30 * 50 / 50**2] * 2)
    assert at[3] - at[2] == pytest.approx(30 * 870 / 50**2)


def test_weighted_events_of_large_pt_miss_count_less():
    predicted, target = pairs()
    weight = 1 / (1 + np.hypot(*target.T) / 50)
    expected = 0.5 * np.average(((predicted - target) ** 2).sum(axis=1), weights=weight) / 50**2
    assert float(losses.weighted_loss(*tensors(predicted, target))) == pytest.approx(expected)


def test_the_published_balance():
    predicted, target = pairs()
    residual, q = residuals(predicted, target)
    bins = [(q > low) & (q <= high) for low, high in ((0, 5), (5, 10), (10, np.inf))]
    expected = sum(abs(residual[b].sum()) / max(q[b].sum(), 1) for b in bins)
    assert float(losses.balance(*tensors(predicted, target), "published")) == pytest.approx(expected)


def test_the_unbiased_balance():
    predicted, target = pairs()
    residual, q = residuals(predicted, target)
    expected = 0.0
    for low, high in ((10, 20), (20, 40), (40, 80), (80, 160), (160, np.inf)):
        inside = (q > low) & (q <= high)
        ratios = [residual[h::2][inside[h::2]].sum() / max(q[h::2][inside[h::2]].sum(), 1) for h in (0, 1)]
        expected += ratios[0] * ratios[1]
    assert float(losses.balance(*tensors(predicted, target), "unbiased")) == pytest.approx(expected)


@pytest.mark.parametrize("form", ["published", "unbiased"])
def test_a_perfect_response_costs_nothing_and_half_of_it_does(form):
    target = np.array([[30.0, 40.0], [0.0, 50.0], [-60.0, 0.0], [0.0, -45.0]])
    assert float(losses.balance(*tensors(target, target), form)) == pytest.approx(0)
    bias = {"published": 0.5, "unbiased": 0.5**2}[form]
    assert float(losses.balance(*tensors(target / 2, target), form)) == pytest.approx(bias)


@pytest.mark.parametrize("form", ["published", "unbiased"])
def test_events_without_true_missing_momentum_have_a_finite_gradient(form):
    predicted = torch.ones(4, 2, requires_grad=True)
    losses.balance(predicted, torch.zeros(4, 2), form).backward()
    assert torch.isfinite(predicted.grad).all()


@pytest.fixture(scope="module")
def noisy():
    """Many small batches of one bin with a perfect response and noise twice as large as the truth, GeV."""
    rng = np.random.default_rng(5)
    q, phi = rng.uniform(20, 40, (2000, 16)), rng.uniform(-np.pi, np.pi, (2000, 16))
    target = np.stack([q * np.cos(phi), q * np.sin(phi)], axis=-1)
    return target + rng.normal(0, 60, target.shape), target


def values(noisy, form, scale=1.0):
    """The balance of each batch with all predictions scaled."""
    return np.array([float(losses.balance(*tensors(scale * p, t), form)) for p, t in zip(*noisy, strict=True)])


def mean_and_error(x):
    return x.mean(), x.std() / np.sqrt(len(x))


def test_on_noise_the_unbiased_balance_has_zero_mean_and_the_published_has_not(noisy):
    mean, error = mean_and_error(values(noisy, "unbiased"))
    assert abs(mean) < 3 * error
    mean, error = mean_and_error(values(noisy, "published"))
    assert mean > 20 * error


def test_the_published_balance_gains_by_shrinking_a_right_response_and_the_unbiased_loses(noisy):
    gain, error = mean_and_error(values(noisy, "published") - values(noisy, "published", 0.8))
    assert gain > 5 * error
    loss, error = mean_and_error(values(noisy, "unbiased", 0.8) - values(noisy, "unbiased"))
    assert loss > 5 * error
    assert loss == pytest.approx(0.2**2, abs=3 * error)
