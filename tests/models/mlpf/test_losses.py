import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ptmiss.models.mlpf import inputs, losses, lsh
from ptmiss.models.mlpf.dataset import Batch
from ptmiss.models.mlpf.losses import Weights
from ptmiss.models.mlpf.network import Outputs

from ...helpers import random_elements

N = 40


@pytest.fixture
def batch():
    rng = np.random.default_rng(1)
    elements = random_elements([N])
    elements.columns["eta"][:] *= np.float32(0.05)
    elements.columns["caloEta"][:] = elements["eta"]
    packed = inputs.pack(elements, inputs.schema("compact"))
    kind = torch.from_numpy(rng.integers(0, 8, N))
    there = kind > 0
    values = [torch.from_numpy(rng.uniform(0.2, 40, N).astype(np.float32)) * there for _ in range(2)]
    angles = [packed.direction[:, i] + 0.03 * torch.from_numpy(rng.normal(size=N).astype(np.float32)) for i in range(2)]
    return Batch(packed, kind, values[0], angles[0], angles[1], values[1])


@pytest.fixture
def outputs(batch):
    torch.manual_seed(0)
    log_pt, log_energy, shift = (0.3 * torch.randn(N) for _ in range(3))
    turn = torch.stack([torch.ones(N), 0.05 * torch.randn(N)], dim=-1)
    return Outputs(torch.randn(N, 8), log_pt, log_energy, batch.elements.direction[:, 0] + 0.01 * shift, turn)


def huber(x, delta):
    return np.where(np.abs(x) < delta, 0.5 * x**2, delta * (np.abs(x) - 0.5 * delta))


def probability(outputs):
    p = np.exp(outputs.logits.double().numpy())
    return p / p.sum(axis=1, keepdims=True)


def close(term, expected):
    assert float(term) == pytest.approx(expected, rel=1e-4)


def test_weighted_classes(outputs, batch):
    pt = np.maximum(batch.pt.numpy(), batch.elements.scale[:, 0].numpy())
    weight = np.clip(np.sqrt(pt), 0.4, 5) * np.where(np.isin(batch.kind, (4, 5)), 4, 1)
    right = probability(outputs)[np.arange(N), batch.kind]
    close(losses.weighted_classes(outputs, batch), np.mean(-weight * np.log(right)))


def test_binary_and_focal(outputs, batch):
    p, kind = probability(outputs), batch.kind.numpy()
    binary = -np.log(np.where(kind > 0, 1 - p[:, 0], p[:, 0])).mean()
    right = p[np.arange(N), kind] / (1 - p[:, 0])
    close(losses.binary_and_focal(outputs, batch), binary - np.mean((kind > 0) * (1 - right) ** 2 * np.log(right)))


@pytest.mark.parametrize(("term", "name", "column"), [(losses.log_pt, "pt", 0), (losses.log_energy, "energy", 1)])
def test_momentum(outputs, batch, term, name, column):
    there = batch.kind.numpy() > 0
    weight = np.minimum(np.sqrt(batch.pt.numpy()), 10)[there]
    weight /= weight.mean()
    ratio = getattr(batch, name).numpy()[there] / batch.elements.scale[:, column].numpy()[there]
    residual = getattr(outputs, f"log_{name}").numpy()[there] - np.log(ratio).clip(-6, 6)
    close(term(outputs, batch), (weight * huber(residual, 0.5)).sum() / N)


def test_angles(outputs, batch):
    there = batch.kind.numpy() > 0
    weight = np.minimum(np.sqrt(batch.pt.numpy()), 10) * there
    weight *= there.sum() / weight.sum()
    eta = (outputs.eta - batch.eta).numpy()
    turn = np.arctan2(outputs.turn[:, 1].numpy(), outputs.turn[:, 0].numpy())
    phi = turn - (batch.phi - batch.elements.direction[:, 1]).numpy()
    close(losses.angles(outputs, batch), sum(np.mean(weight * huber(x / 0.02, 1.0)) for x in (eta, phi)))
    around = batch._replace(phi=batch.phi + 2 * math.pi)
    close(losses.angles(outputs, around), float(losses.angles(outputs, batch)))


def soft(outputs, batch):
    pt = batch.elements.scale[:, 0].numpy() * np.exp(outputs.log_pt.numpy())
    return pt * (1 - probability(outputs)[:, 0])


def test_expected(outputs, batch):
    pt = batch.pt.numpy()
    close(losses.expected_pt(outputs, batch), huber((soft(outputs, batch) - pt) / np.sqrt(0.25 + pt), 1.0).mean())


def test_local_sums(outputs, batch):
    pt = batch.pt.numpy().astype(np.float64)
    deta, dphi = (batch.elements.position[:, None, i] - batch.elements.position[None, :, i] for i in range(2))
    near = np.exp(-(deta.numpy() ** 2 + 2 * (1 - np.cos(dphi.numpy()))) / (2 * 0.15**2))
    residual = near @ (soft(outputs, batch) - pt) / np.sqrt(0.25 + near @ pt)
    assert float(losses.local_pt(outputs, batch)) == pytest.approx(huber(residual, 1.0).mean(), rel=1e-3)


def test_missing_sums(outputs, batch):
    cut = batch._replace(elements=batch.elements._replace(offsets=torch.tensor([0, 15, 15, N])))
    expected, phi = [], outputs.momentum(batch.elements)[2].numpy()
    for where in (slice(0, 15), slice(15, 15), slice(15, N)):
        pt = batch.pt.numpy()[where].astype(np.float64)
        for component in (np.cos, np.sin):
            found = (soft(outputs, batch)[where] * component(phi[where])).sum()
            true = (pt * component(batch.phi.numpy()[where])).sum()
            expected.append(huber((found - true) / np.sqrt(0.25 + pt.sum()), 1.0))
    close(losses.missing_pt(outputs, cut), np.sum(expected) / 3)


def test_loss_2021(outputs, batch):
    chance = 1 / (1 + np.exp(-outputs.logits.double().numpy()))
    truth = np.eye(8)[batch.kind]
    right = np.where(truth, chance, 1 - chance)
    focal = -np.where(truth, 0.25, 0.75) * (1 - right) ** 2 * np.log(right)
    there = batch.kind.numpy() > 0
    pt, eta, phi, energy = (x.numpy() for x in outputs.momentum(batch.elements))
    t = {name: getattr(batch, name).numpy() for name in ("pt", "eta", "phi", "energy")}
    expected = 100 * focal.sum(axis=1).mean()
    for weight, residual, delta in (
        (1e-4, pt - t["pt"], 1.0),
        (1e-4, energy - t["energy"], 1.0),
        (100, eta - t["eta"], 0.1),
        (10, np.sin(phi) - np.sin(t["phi"]), 0.1),
        (10, np.cos(phi) - np.cos(t["phi"]), 0.1),
    ):
        expected += weight * np.mean(there * huber(residual, delta))
    close(losses.loss_2021(outputs, batch), expected)


def test_loss_v220(outputs, batch):
    p, kind = probability(outputs), batch.kind.numpy()
    there = kind > 0
    binary = -np.log(np.where(there, 1 - p[:, 0], p[:, 0])).mean()
    right = p[np.arange(N), kind] / (1 - p[:, 0])
    expected = 10 * binary - np.mean(there * (1 - right) ** 2 * np.log(right))
    pt, energy = batch.pt.numpy()[there], batch.energy.numpy()[there]
    scale = batch.elements.scale.numpy()[there]
    for value, predicted, measured in ((pt, outputs.log_pt, scale[:, 0]), (energy, outputs.log_energy, scale[:, 1])):
        expected += np.mean(np.sqrt(pt) * (predicted.numpy()[there] - np.log(value / measured)) ** 2)
    phi = outputs.momentum(batch.elements)[2]
    for residual in (outputs.eta - batch.eta, phi.sin() - batch.phi.sin(), phi.cos() - batch.phi.cos()):
        expected += 0.01 * np.mean(residual.numpy()[there] ** 2)
    close(losses.loss_v220(outputs, batch), expected)


def test_terms_can_be_left_out(outputs, batch):
    assert set(losses.terms(outputs, batch, Weights())) == {"classes", "pt", "energy", "expected", "local"}
    without = Weights(expected=0, local=0, pt=0, energy=0)
    assert set(losses.terms(outputs, batch, without)) == {"classes"}
    assert float(losses.ours(outputs, batch, without)) == float(losses.weighted_classes(outputs, batch))


def test_a_batch_without_particles_has_a_loss(outputs, batch):
    nothing = batch._replace(kind=batch.kind * 0, pt=batch.pt * 0, energy=batch.energy * 0)
    for value in (
        losses.ours(outputs, nothing, Weights(angles=1, missing=1)),
        losses.loss_2021(outputs, nothing),
        losses.loss_v220(outputs, nothing),
    ):
        assert value.isfinite()


@pytest.mark.parametrize(
    "weights", [losses.gaussian, lambda x: lsh.kernel(x, torch.ones(x.shape[:2], dtype=torch.bool))]
)
def test_distances_are_in_single_precision_under_autocast(weights):
    position = torch.from_numpy(np.random.default_rng(0).uniform(-5, 5, (2, 64, 2)).astype(np.float32))
    exact = weights(position)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(weights(position), exact)
    torch.testing.assert_close(exact.diagonal(dim1=1, dim2=2), torch.ones(2, 64), atol=1e-3, rtol=0)


def test_hashes_do_not_change_under_autocast():
    torch.manual_seed(1)
    graph = lsh.CombinedGraph(8, 16)
    embedded, offsets = torch.randn(4000, 64), torch.tensor([0, 4000])
    exact = graph.hash_elements(embedded, offsets)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(graph.hash_elements(embedded, offsets)[0], exact)
