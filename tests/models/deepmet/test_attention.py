"""Attention in training: kernels against plain torch, and inference against the network that was trained."""

import numpy as np
import pytest

from ptmiss.networks.inputs import Inputs

torch = pytest.importorskip("torch")

from ptmiss.models.deepmet import attention
from ptmiss.models.deepmet.dataset import batch
from ptmiss.models.deepmet.network import Network
from ptmiss.models.deepmet.recipe import Recipe, begin
from ptmiss.models.workflow import make_recipe


@pytest.fixture
def some(embedded):
    return batch(embedded, np.arange(4), np.zeros((4, 2), bool))


def test_messages_and_their_gradients_are_those_of_torch(some):
    torch.manual_seed(0)
    around, n = attention.neighbourhood(some), len(some.event)
    around[1][5] = -1
    shapes = (n, 16), (n, 32), (6, 8), (8,), (8, 4)
    tensors = [0.5 * torch.randn(shape) for shape in shapes]
    for tensor in tensors:
        tensor.requires_grad_()
    change = torch.randn(n, 48)
    answers = [function(*tensors, around) for function in (attention.Messages.apply, attention.messages)]
    np.testing.assert_allclose(*(answer.detach() for answer in answers), atol=1e-5)
    assert not answers[0][5].any()
    ours, theirs = (torch.autograd.grad((answer * change).sum(), tensors) for answer in answers)
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, atol=2e-5 * float(their.abs().max()))


def test_inference_gives_what_was_trained(some, embedded):
    """Weights to 1e-5, and pTmiss of their sums in double precision to 1e-4 GeV."""
    network = Network("attention")
    begin(network, None, make_recipe(Recipe, {"network": "attention", "start_from": "deepmet_local"}))
    torch.manual_seed(0)
    torch.nn.init.normal_(network.attention.output, 0, 0.3)
    model = network.model("mine")
    inputs = Inputs(some.features.numpy(), some.categories.numpy().astype(np.uint8), embedded.offsets[:5])
    with torch.no_grad():
        weights = network.candidates(some).numpy()
    np.testing.assert_allclose(model.outputs(inputs), weights, atol=1e-5)
    expected = model.total(model.add(inputs, weights), np.diff(inputs.offsets))
    np.testing.assert_allclose(model.evaluate(inputs), expected, atol=1e-4)
