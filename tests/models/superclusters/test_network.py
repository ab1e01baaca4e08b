import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ptmiss.errors import WeightsError
from ptmiss.models.superclusters.dataset import Dataset, hardest, of_places
from ptmiss.models.superclusters.network import Network
from ptmiss.models.superclusters.recipe import Recipe, terms
from ptmiss.networks import superclusters
from ptmiss.networks.registry import load_model
from ptmiss.networks.superclusters import FEATURES
from ptmiss.simulation.windows import Places


@pytest.fixture(scope="module")
def dataset():
    rng, counts = np.random.default_rng(1), np.random.default_rng(2).integers(1, 7, 40)
    n = counts.sum()
    features, energy = rng.normal(size=(n, len(FEATURES))), rng.exponential(10, n) + 0.1
    columns = (column.astype(np.float32) for column in (features, energy, rng.random(n)))
    return Dataset(*columns, np.append(0, np.cumsum(counts)), rng.uniform(5, 50, 40).astype(np.float32))


@pytest.fixture(scope="module")
def network(dataset):
    torch.manual_seed(3)
    network = Network(8, 2)
    network.measure(dataset)
    torch.nn.init.normal_(network.factor.weight)
    return network


def test_numpy_gives_what_torch_gives(dataset, network, tmp_path):
    superclusters.save(network.model("mine"), tmp_path / "mine.safetensors", "")
    found = superclusters.load(tmp_path / "mine.safetensors")
    answer = found(dataset.features, dataset.energy, dataset.offsets)
    with torch.no_grad():
        outputs = network(dataset.batch(np.arange(40)))
    np.testing.assert_allclose(answer.probability, torch.sigmoid(outputs.logit), atol=1e-5)
    np.testing.assert_allclose(answer.energy, outputs.log_energy.exp(), rtol=1e-4)
    assert np.std(answer.energy / answer.energy.mean()) > 0.1


def test_a_window_does_not_depend_on_the_others(dataset, network):
    with torch.no_grad():
        together, alone = network(dataset.batch(np.arange(40))), network(dataset.batch(np.array([7])))
    rows = slice(*dataset.offsets[7:9])
    np.testing.assert_allclose(together.logit[rows], alone.logit, atol=1e-5)
    assert float(together.log_energy[7]) == pytest.approx(float(alone.log_energy[0]), abs=1e-5)


def test_what_is_not_a_network_of_superclusters(dataset, network, tmp_path):
    superclusters.save(network.model("mine"), tmp_path / "mine.safetensors", "")
    with pytest.raises(WeightsError, match="holds a network of superclusters, which makes no pTmiss"):
        load_model(tmp_path / "mine.safetensors")
    with pytest.raises(WeightsError, match="architecture 'mlpf', expected 'superclusters'"):
        superclusters.load("mlpf")


def test_a_network_learns_what_belongs(dataset):
    """Share and energy that features say at once."""
    features = dataset.features.copy()
    share = (features[:, 2] > 0).astype(np.float32)
    share[dataset.offsets[:-1]] = 1
    true = np.add.reduceat(share * dataset.energy, dataset.offsets[:-1])
    easy = Dataset(features, dataset.energy, share, dataset.offsets, true)
    torch.manual_seed(1)
    network = Recipe(width=8, layers=1).build_network(easy)
    optimizer, batch = torch.optim.Adam(network.parameters(), 1e-2), easy.batch(np.arange(40))
    first = [float(term.detach()) for term in terms(network, batch)]
    for _ in range(300):
        loss = sum(terms(network, batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    last = [float(term.detach()) for term in terms(network, batch)]
    assert last[0] < 0.4 * first[0]
    assert last[1] < 0.5 * first[1]


def test_windows_of_a_few_clusters():
    """Two clusters of an electron, one of a photon far away, and one that nothing showered in."""
    some = Places(np.array([0.1, 0.1, 1.5, -1]), np.array([0, 0.1, 0, 2]), np.array([20.0, 4, 30, 9]), *np.ones((2, 4)))
    particle, share = np.array([5, 5, 8, -1]), np.array([1, 0.8, 0.9, 0])
    found = of_places(some, particle, np.array([25.0, 25, 31, 0]), share, np.array([0, 4]))
    assert found.true.tolist() == [25, 31]
    assert found.offsets.tolist() == [0, 2, 3]
    assert found.share == pytest.approx([1, 0.8, 0.9])
    assert hardest(np.array([3, 3, 1]), np.array([1.0, 2, 3])).tolist() == [False, True, True]
