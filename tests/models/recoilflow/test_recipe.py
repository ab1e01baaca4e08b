import numpy as np
import pytest
import torch

from ptmiss.errors import OptionError
from ptmiss.models.recoilflow.events import Events, join
from ptmiss.models.recoilflow.network import Network
from ptmiss.models.recoilflow.recipe import (
    FLOOR,
    Recipe,
    finish,
    fit_difference,
    keep_of_switch,
    loss,
    shrink_difference,
)  # fmt: skip

from .conftest import SMALL


def test_a_stopped_training_goes_on_to_the_same_bits(toy_events, tmp_path):
    few = toy_events.select(np.arange(len(toy_events)) % 6 == 0)

    def run(directory, epochs):
        recipe = Recipe(**SMALL | {"epochs": epochs, "schedule": "constant", "warm_up": 0.0})
        network, training = recipe.train(few, few, directory, {})
        training.configuration = {}
        return network, training.run()

    whole, _ = run(tmp_path / "whole", 2)
    run(tmp_path / "parts", 1)
    parts, log = run(tmp_path / "parts", 2)
    assert list(log["epoch"]) == [1, 2]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name


def test_training_makes_the_events_likelier(trained):
    _, log = trained
    assert log["loss"].iloc[-1] < log["loss"].iloc[0]


class Flat:
    """A density that is what it is given."""

    def log_density(self, u, context, switch):
        return u[:, 0]


def test_an_event_of_negative_weight_pushes_no_further_than_the_floor():
    u = torch.tensor([[FLOOR - 5.0], [-1.0]], requires_grad=True)
    value = loss(Flat(), u, None, None, torch.tensor([-0.5, 1.0]))
    value.backward()
    assert float(value.detach()) == pytest.approx((0.5 * FLOOR + 1) / 2)
    assert u.grad[:, 0].tolist() == [0.0, -0.5]


def test_both_samples_count_as_much_as_they_have_events():
    u = np.zeros((5, 1))
    events = Events(u, u, np.array([0, 0, 0, 1, 1], bool), np.array([2.0, 2, 2, 3, -1]))
    np.testing.assert_allclose(events.balanced().weights, [1, 1, 1, 3, -1])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(30), "data: 30 effective events, a flow needs 2000"),
        (np.r_[np.ones(10), -np.ones(20)], "data: the weights of its events add up to -10, expected more than 0"),
    ],
)
def test_too_few_events_and_weights_below_zero_are_one_line(weights, message):
    good = (np.zeros((3000, 2)), np.zeros((3000, 1)), np.ones(3000))
    with pytest.raises(OptionError, match=message):
        join(good, (np.zeros((30, 2)), np.zeros((30, 1)), weights))


def identical(n=600, seed=6):
    """The same skewed events, of which a fresh flow knows next to nothing, as data and as simulation."""
    rng = np.random.default_rng(seed)
    u, context = rng.exponential(10, (n, 2)), rng.exponential(20, (n, 1))
    return Events(np.tile(u, (2, 1)), np.tile(context, (2, 1)), np.repeat([False, True], n), np.ones(2 * n))


def test_what_a_flow_lacks_of_both_samples_is_no_difference_of_them():
    events = identical()
    network = Network(2, 1, (8,), 4, 1)
    network.measure(events)
    assert fit_difference(network, events) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(network.correct(events.u, events.context), events.u, atol=1e-3)


def test_what_held_out_events_do_not_confirm_is_not_kept():
    """A switch with random weights is of no use for two samples that are one, and is turned off."""
    events = identical()
    network = Network(2, 1, (8,), 4, 1)
    network.measure(events)
    with torch.no_grad():
        network.flow.transform.transforms[0].hyper[0].weight[:, -1] = 1.0
        network.difference += 0.3
    assert np.abs(network.correct(events.u, events.context) - events.u).mean() > 1
    assert keep_of_switch(network, events) == 0
    np.testing.assert_allclose(network.correct(events.u, events.context), events.u, atol=1e-4)


@pytest.mark.parametrize(("gain", "factor"), [(0.0, 0.0), (3.0, 0.0), (3.5, 0.0), (7.0, 0.5), (700.0, 0.995)])
def test_a_difference_is_kept_as_far_as_it_is_significant(gain, factor):
    """Two components have nine parameters; James and Stein's factor is 1 - 7 / T, T twice the gain."""
    network = Network(2, 1, (8,), 4, 1)
    with torch.no_grad():
        network.difference += 1
        network.mixing += 1
    shrink_difference(network, gain)
    np.testing.assert_allclose([network.difference.detach().mean(), network.mixing.detach().mean()], factor, atol=1e-6)


def test_samples_of_one_law_are_left_nearly_as_they_are(tmp_path):
    """3000 events each, whose widths of 10 GeV leave 0.26 GeV to the difference of their means alone."""
    rng = np.random.default_rng(8)
    u, context = rng.normal(0, 10, (6000, 2)), rng.exponential(20, (6000, 1))
    events = Events(u, context, np.repeat([False, True], 3000), np.ones(6000))
    held = np.arange(6000) % 7 == 0
    network, run = Recipe(epochs=4, batch=256, hidden=(16,), bins=5).train(
        events.select(~held), events.select(held), tmp_path, {}
    )
    run.run()
    finish(network, events, events.select(held))
    away = network.correct(u, context) - u
    assert np.sqrt(np.mean(away[(np.abs(u) < 20).all(axis=1)] ** 2)) < 0.3


@pytest.mark.slow
def test_a_difference_that_grows_with_the_context_is_learnt_by_little_training(tmp_path):
    """Few events with large qT have all of it: the map is 6 % of qT, and is known to 1 GeV there."""
    rng = np.random.default_rng(3)
    qt = rng.exponential(20, (2, 3000, 1))
    u = rng.normal(0, 10, (2, 3000, 1)) - np.array([0.0, 0.06])[:, None, None] * qt
    events = join(*((u[k], qt[k], np.ones(3000)) for k in range(2)))
    held = np.arange(len(events)) % 6 == 0
    recipe = Recipe(epochs=6, batch=256, hidden=(16,), bins=5)
    network, run = recipe.train(events.select(~held), events.select(held), tmp_path, {})
    run.run()
    fit_difference(network, events)
    hard, at = np.full((500, 1), 80.0), rng.normal(0, 10, (500, 1))
    assert (network.correct(at, hard) - at).mean() == pytest.approx(-4.8, abs=2.0)


def test_another_correlation_is_learnt_by_little_training(tmp_path):
    """Of Gaussians the map is known: u2 + (0.8 - 0.3 a) u1 in place of u2, with a u2 for the width that is left."""
    rng = np.random.default_rng(4)
    first, rest = rng.normal(0, 10, (2, 3000)), rng.normal(0, 10, (2, 3000))
    correlation = np.array([0.3, 0.8])[:, None]
    second = correlation * first + np.sqrt(1 - correlation**2) * rest
    events = join(*((np.stack([first[k], second[k]], axis=1), np.zeros((3000, 1)), np.ones(3000)) for k in range(2)))
    held = np.arange(len(events)) % 6 == 0
    network, run = Recipe(epochs=4, hidden=(8,), bins=4).train(events.select(~held), events.select(held), tmp_path, {})
    run.run()
    fit_difference(network, events)
    mapped = network.correct(events.u[:3000], events.context[:3000])
    assert np.corrcoef(mapped.T)[0, 1] == pytest.approx(0.8, abs=0.03)
    a = np.sqrt((1 - 0.64) / (1 - 0.09))
    away = mapped[:, 1] - (a * second[0] + (0.8 - 0.3 * a) * first[0])
    assert np.sqrt(np.mean(away**2)) < 1.0
