from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ptmiss.networks.registry import save_model
from ptmiss.recoil import recoil

from ...helpers import random_model

torch = pytest.importorskip("torch")

from ptmiss.models.deepmet import dataset, losses, recipe
from ptmiss.models.deepmet.dataset import Loader
from ptmiss.models.deepmet.network import PUPPI, Network
from ptmiss.models.deepmet.recipe import Recipe

SHORT = {"epochs": 2, "warm": 0, "batch": 4}


def trained(events, directory, sources="some", **options):
    network, run = Recipe(**{**SHORT, **options}).train(events, events, directory, sources)
    return network, run.run()


@pytest.mark.slow
def test_a_few_events_are_learnt_by_heart(embedded, tmp_path):
    few = embedded.first(8)
    options = {"epochs": 40, "rate": 5e-3, "schedule": "constant", "remove_leptons": False}
    _, log = trained(few, tmp_path, **options)
    assert log["train_loss"].min() < log["train_loss"].iloc[0] / 4


def test_the_same_seed_gives_the_same_bits_and_another_does_not(embedded, tmp_path):
    few = embedded.first(16)
    first, again, other = (trained(few, tmp_path / name, seed=s)[0] for name, s in (("a", 1), ("b", 1), ("c", 2)))
    assert all(torch.equal(x, y) for x, y in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.dense2.kernel, other.dense2.kernel)


def test_a_stopped_training_of_the_network_goes_on_with_the_same_bits(embedded, tmp_path):
    few, stop = embedded.first(16), 5
    options = Recipe(**{**SHORT, "warm": 5})

    def progress(_what, done, _total):
        if done == stop:
            raise KeyboardInterrupt

    _, run = options.train(few, few, tmp_path / "parts", "some", progress)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    (resumed, second), (whole, first) = (options.train(few, few, tmp_path / d, "some") for d in ("parts", "whole"))
    second.run()
    first.run()
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_the_loss_of_a_recipe():
    rng = np.random.default_rng(0)
    predicted, target = (torch.from_numpy(rng.normal(0, 60, (64, 2))) for _ in range(2))
    squared, term = losses.squared_loss(predicted, target), losses.balance(predicted, target, "published")
    torch.testing.assert_close(Recipe().loss_of(predicted, target), squared)
    torch.testing.assert_close(Recipe(balance=10, form="published").loss_of(predicted, target), squared + 10 * term)
    torch.testing.assert_close(Recipe(loss="huber").loss_of(predicted, target), losses.huber_loss(predicted, target))


def test_it_begins_on_the_puppi_weights(embedded):
    torch.manual_seed(1)
    network, loader = Network(), Loader(embedded, 8, 1)
    batch = next(loader.epoch(0))

    def distance():
        with torch.no_grad():
            return float((network.candidates(batch)[:, 0] - 1 - batch.features[:, PUPPI]).square().mean())

    recipe.begin(network, loader, Recipe(warm=60))
    assert distance() < 0.05
    assert not torch.equal(network.norm1.mean, torch.zeros(64))


def test_it_begins_from_the_weights_of_a_file(embedded, tmp_path):
    model, network = random_model(3), Network()
    save_model(model, tmp_path / "w.safetensors", "")
    recipe.begin(network, Loader(embedded, 8, 1), Recipe(start_from=tmp_path / "w.safetensors"))
    for name, values in model.tensors.items():
        np.testing.assert_allclose(network.model("x").tensors[name], values, rtol=1e-6)


def test_a_network_with_more_inputs_begins_as_the_one_of_the_file(embedded):
    model, network = random_model(3), Network("event-recoil")
    plain = next(dataset.plain(embedded, 4))
    with torch.no_grad():
        network.load(model.tensors)
        before = network(plain)
    same = Network()
    same.load(model.tensors)
    torch.testing.assert_close(before, same(plain), rtol=1e-4, atol=1e-3)


def test_a_training_of_no_epochs_is_what_it_begins_from(embedded, tmp_path):
    save_model(random_model(3), tmp_path / "w.safetensors", "")
    settings = Recipe(start_from=tmp_path / "w.safetensors").model_copy(update={"epochs": 0})
    network, run = settings.train(embedded, embedded, tmp_path, "some")
    assert run.run().empty
    np.testing.assert_allclose(network.dense2.kernel.detach(), random_model(3).tensors["dense2.kernel"])


def test_widths_that_the_validation_measures():
    rng = np.random.default_rng(0)
    n = 4000
    q, phi = rng.uniform(100, 110, n), rng.uniform(-np.pi, np.pi, n)
    target = np.stack([q * np.cos(phi), q * np.sin(phi)], axis=1)
    along, across = target / q[:, None], np.stack([-np.sin(phi), np.cos(phi)], axis=1)
    noise = rng.normal(0, [[10.0], [20.0]], (2, n))
    found = recipe.measure(0.8 * target + noise[0, :, None] * along + noise[1, :, None] * across, target)
    assert found == pytest.approx({"response": 0.8, "rms_par": 10 / 0.8, "rms_perp": 20 / 0.8}, rel=0.05)
    u = recoil(target, -0.2 * target)
    assert u.u_par.sum() / u.qt.sum() == pytest.approx(0.8)


def test_the_validation_is_the_loss_of_all_events_without_their_leptons(embedded):
    torch.manual_seed(0)
    network = Network()
    found = recipe.validate(network, embedded, Recipe())
    whole = dataset.batch(embedded, np.arange(len(embedded)), np.ones((len(embedded), 2), bool))
    with torch.no_grad():
        expected = losses.squared_loss(network(whole), whole.target)
    assert found["loss"] == pytest.approx(float(expected), rel=1e-4)
    assert found.keys() == {"loss", "response", "rms_par", "rms_perp"}


def test_validation_events_of_small_pt_miss_have_no_widths(embedded):
    events = embedded.first(20)
    made = replace(events, target=np.ones_like(events.target), lepton=np.full_like(events.lepton, -1))
    assert recipe.validate(Network(), made, Recipe()).keys() == {"loss"}
    made.target[3] = 30
    assert recipe.validate(Network(), made, Recipe())["rms_par"] == pytest.approx(0, abs=0.01)  # GeV


def test_the_log_says_what_the_validation_measured(embedded, tmp_path):
    trained(embedded.first(16), tmp_path)
    log = pd.read_csv(tmp_path / "log.csv")
    assert list(log) == ["epoch", "train_loss", "loss", "response", "rms_par", "rms_perp", "seconds"]
