import numpy as np
import pytest

from ptmiss.candidates import CATEGORIES, VOCABULARY
from ptmiss.errors import OptionError, UnknownName
from ptmiss.networks.features import FEATURES
from ptmiss.networks.inputs import Inputs as Prepared
from ptmiss.segments import from_counts

from ...helpers import random_model

torch = pytest.importorskip("torch")

from ptmiss.models.deepmet.dataset import Batch
from ptmiss.models.deepmet.network import BIAS_SCALE, PUPPI, Inputs, Network, Tanh, parameters

COMBINATIONS = int(np.prod([len(VOCABULARY[name]) for name in CATEGORIES]))


def events(counts=(900, 1, 0, 1500), seed=1):
    """Random prepared events."""
    rng, offsets = np.random.default_rng(seed), from_counts(np.asarray(counts))
    features = rng.normal(0, 1, (offsets[-1], len(FEATURES))).astype(np.float32)
    features[:, 4:] *= 0.05
    return Prepared(features, rng.integers(0, COMBINATIONS, offsets[-1]).astype(np.uint8), offsets)


def batch(inputs):
    """The same events as the network takes them."""
    counts = np.diff(inputs.offsets)
    event = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
    categories = torch.from_numpy(inputs.rows.astype(np.int64))
    latents = torch.zeros(len(event), 0, dtype=torch.half)
    return Batch(torch.from_numpy(inputs.features), categories, event, torch.zeros(len(counts), 2), latents)


def network(layout="cmssw-v1", seed=3, **inputs):
    """A network away from where it starts, so that no part of it is trivial."""
    torch.manual_seed(seed)
    made = Network(layout, Inputs(**inputs))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        made.measure_moments(batch(events((400,), seed)))
    return made


@torch.no_grad()
def met(made, inputs):
    return made(batch(inputs)).numpy()


@pytest.mark.parametrize(
    ("layout", "count"),
    [("cmssw-v1", 5149), ("jme-24-001", 4541), ("96-48-24", 9565), ("128-64-32", 15261), ("standardised", 5149)],
)
def test_parameters(layout, count):
    made = Network(layout)
    assert parameters(made) == made.model("x").parameters == count


@pytest.mark.parametrize("layout", ["relu", "silu", "event-sums", "event-recoil"])
def test_networks_for_studies_learn_and_are_not_exported(layout):
    made, some = network(layout), events()
    some.features[:, 4:6] = np.abs(some.features[:, 4:6])
    made(batch(some)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in made.parameters())
    with pytest.raises(OptionError, match="cannot be exported: inference needs activation tanh and context none"):
        made.model("x")


def test_standardised_features_have_mean_0_and_width_1():
    made, some = network("standardised"), batch(events())
    made.measure_moments(some)
    seen = made.first_inputs(some)[:, : len(FEATURES)]
    torch.testing.assert_close(seen.mean(dim=0), torch.zeros(len(FEATURES)), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std(dim=0), torch.ones(len(FEATURES)))


def test_an_unknown_layout():
    with pytest.raises(UnknownName, match="unknown network 'cmssw-v2', did you mean 'cmssw-v1'"):
        Network("cmssw-v2")


@pytest.mark.parametrize("layout", ["cmssw-v1", "jme-24-001", "96-48-24", "standardised"])
@pytest.mark.parametrize("inputs", [{}, {"puppi": False}, {"biases": False}, {"puppi": False, "biases": False}])
def test_inference_says_the_same_as_the_network(layout, inputs):
    made, some = network(layout, **inputs), events()
    expected = met(made, some)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(made.model("x").evaluate(some), expected, atol=2e-3)


@pytest.mark.parametrize("puppi", [True, False])
def test_puppi_weights_count_only_where_they_are_an_input(puppi):
    made, some = network(puppi=puppi), events()
    other = Prepared(some.features.copy(), some.rows, some.offsets)
    other.features[:, PUPPI] = 1 - other.features[:, PUPPI]
    for answer in (lambda x: met(made, x), made.model("x").evaluate):
        assert np.array_equal(answer(other), answer(some)) != puppi


def test_without_biases_they_are_zero():
    some = events()
    assert not network(biases=False).candidates(batch(some))[:, 1:].any()
    assert not network(biases=False).model("x").outputs(some)[:, 1:].any()
    assert network().model("x").outputs(some)[:, 1:].any()


def test_a_fresh_network_is_a_weighted_sum():
    made, some = Network(inputs=Inputs(biases=False)), events()
    weight = made.model("x").outputs(some)[:, :1].astype(np.float64)
    summed = [50 * (1 - weight) * some.features[:, 6:]][0]
    expected = [summed[a:b].sum(axis=0) for a, b in zip(some.offsets[:-1], some.offsets[1:], strict=True)]
    np.testing.assert_allclose(met(made, some), expected, atol=2e-3)


def test_loading_is_the_inverse_of_exporting():
    made, some = network(), events()
    again = Network()
    again.load(made.model("x").tensors)
    np.testing.assert_allclose(met(again, some), met(made, some), atol=1e-3)
    for name, value in made.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)


def test_weights_of_any_origin_can_be_loaded():
    released, some = random_model(4), events()
    made = Network()
    made.load(released.tensors)
    np.testing.assert_allclose(met(made, some), released.evaluate(some), atol=2e-3, rtol=1e-5)
    np.testing.assert_allclose(
        made.dense4.kernel.detach()[:, 1:] * BIAS_SCALE, released.tensors["dense4.kernel"][:, 1:]
    )


def test_exporting_leaves_the_network_as_it_is():
    made = network(puppi=False, biases=False)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    made.model("x").tensors["dense1.kernel"][:] = 7
    for name, value in made.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_order_of_candidates_does_not_matter():
    made, some = network(), events((700,))
    order = np.random.default_rng(0).permutation(700)
    shuffled = Prepared(some.features[order], some.rows[order], some.offsets)
    np.testing.assert_allclose(met(made, shuffled), met(made, some), atol=2e-3)


def test_momenta_turned_by_half_a_turn_in_a_network_that_does_not_look_at_them():
    made, some = network(biases=False), events()
    with torch.no_grad():
        made.dense1.kernel[6:8] = 0
        made.output.bias.zero_()
        made.output.kernel[:2] = 0
    turned = Prepared(some.features * np.array([1, 1, 1, 1, 1, 1, -1, -1], np.float32), some.rows, some.offsets)
    np.testing.assert_allclose(met(made, turned), -met(made, some), atol=1e-3)


def test_measured_moments_make_each_layer_standard():
    made, some = network(), batch(events())
    made.measure_moments(some)
    with torch.no_grad():
        x = made.hidden(made.first_inputs(some), (made.first_kernel(), made.dense1.bias))
    torch.testing.assert_close(made.norm1.mean, x.mean(dim=0))
    torch.testing.assert_close(made.norm1.variance, x.var(dim=0, unbiased=False))
    assert not made.norm1.mean.requires_grad


def test_the_tangent_and_its_gradient_are_those_of_torch():
    x = torch.linspace(-6, 6, 1000)
    ours, theirs = (x.clone().requires_grad_() for _ in range(2))
    y = Tanh.apply(ours * 1)
    y.square().sum().backward()
    torch.tanh(theirs).square().sum().backward()
    torch.testing.assert_close(y.detach(), torch.tanh(x), atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=5e-6, rtol=0)


def test_gradients_of_the_network_are_those_of_finite_differences():
    made, some = network(), batch(events((60, 30)))
    made(some).sum().backward()
    with torch.no_grad():
        for parameter in (made.dense1.kernel, made.norm2.gamma, made.embedding["pdgId"], made.dense4.bias):
            direction, step = torch.sign(parameter.grad), 1e-3
            up, down = (made_at(made, parameter, s * step * direction, some) for s in (1, -1))
            assert (up - down) / (2 * step) == pytest.approx(float(parameter.grad.abs().sum()), rel=0.05)


def made_at(made, parameter, change, some):
    """The summed answer of a network with one parameter changed for a moment."""
    parameter += change
    answer = float(made(some).sum())
    parameter -= change
    return answer
