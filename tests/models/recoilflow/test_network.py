import numpy as np
import torch

from ptmiss.models.recoilflow.network import Network


def test_a_fresh_flow_does_not_know_the_switch_and_changes_nothing(toy_events):
    network = Network(4, 4, (16,), 5, 2)
    network.measure(toy_events)
    u, context = toy_events.u[:500], toy_events.context[:500]
    np.testing.assert_allclose(network.correct(u, context), u, atol=1e-6)


def test_the_map_is_triangular_and_grows(trained, toy_events):
    network, _ = trained
    simulated = ~toy_events.data
    u, context = toy_events.u[simulated][:400], toy_events.context[simulated][:400]
    mapped = network.correct(u, context)
    assert np.abs(mapped - u).mean() > 0.3
    for k in range(4):
        step = np.zeros(4)
        step[k] = 0.5
        moved = network.correct(u + step, context)
        np.testing.assert_allclose(moved[:, :k], mapped[:, :k], atol=1e-9)
        assert (moved[:, k] > mapped[:, k]).all()


def test_the_density_is_that_of_a_probability(trained):
    """Its integral over a plane through two of four components and over the others by sampling is one."""
    network, _ = trained
    context = torch.tensor([[20.0, 0.0, 25.0, 0.5]])
    points = 12.0 * torch.randn(60_000, 4, generator=torch.Generator().manual_seed(1))
    sampled = torch.distributions.Normal(0.0, 12.0).log_prob(points).sum(dim=1)
    wide = points * network.u_spread / 8.0 + network.u_mean
    with torch.no_grad():
        given = context.expand(len(points), -1), torch.zeros(len(points))
        density = network.log_density(wide, *given) - torch.log(network.u_spread).sum()
    scale = torch.log(network.u_spread / 8.0).sum()
    total = torch.exp(density + scale - sampled).mean()
    assert abs(float(total) - 1) < 0.15


def test_beyond_its_range_the_context_stays_as_at_the_end(trained, toy_events):
    network, _ = trained
    u, context = toy_events.u[:50], toy_events.context[:50].copy()
    context[:, 0] = network.ranges[1, 0].item()
    beyond = context.copy()
    beyond[:, 0] = 5000.0
    np.testing.assert_array_equal(network.correct(u, context), network.correct(u, beyond))


def test_no_events_are_corrected_to_none(trained):
    assert trained[0].correct(np.empty((0, 4)), np.empty((0, 4))).shape == (0, 4)
