import math

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file

from ptmiss.errors import FileError, OptionError, TrainingError

torch = pytest.importorskip("torch")

from ptmiss.models import training
from ptmiss.models.training import CHECKPOINT, LOG, Average, DecoupledSettings, Settings, Training

BATCHES = 4


class Interrupted(Exception):  # noqa: N818
    """What a user does with Ctrl-C."""


class Line:
    """Points of a straight line, other ones in each epoch."""

    def __len__(self):
        return BATCHES

    def epoch(self, number):
        rng = np.random.default_rng(number)
        for _ in range(BATCHES):
            x = torch.from_numpy(rng.normal(size=(8, 1)).astype(np.float32))
            yield x, 3 * x - 1


def squared(network, batch):
    x, y = batch
    return (network(x) - y).square().mean()


def validated(network):
    with torch.no_grad():
        return {"loss": float(squared(network, next(Line().epoch(99))))}


def made(directory, configuration=None, **options):
    """A training of a straight line; what is not a field of Training is one of Settings."""
    torch.manual_seed(0)
    own = {name: options.pop(name) for name in ("batches", "loss", "validate", "progress", "start") if name in options}
    settings = options.pop("kind", Settings)(**{"epochs": 4, "rate": 0.1, **options})
    fixed = {"network": torch.nn.Linear(1, 1), "settings": settings, "directory": directory}
    ways = {"batches": Line(), "loss": squared, "validate": validated}
    return Training(**{**fixed, **ways, **own}, configuration=configuration or {"rate": 0.1})


def bits(network):
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


def stop_after(batches):
    def progress(_name, done, _total):
        if done > batches:
            raise Interrupted

    return progress


def nan_at(batch):
    """A loss that is not a number at one batch, counted from the first of the first epoch."""
    seen = iter(range(1, 10**6))
    return lambda network, points: squared(network, points) * (math.nan if next(seen) == batch else 1.0)


@pytest.mark.parametrize("stopped", [1, BATCHES, BATCHES + 2, 3 * BATCHES])
def test_a_training_that_was_stopped_ends_with_the_same_bits(tmp_path, stopped):
    whole = made(tmp_path / "whole")
    log = whole.run()
    with pytest.raises(Interrupted):
        made(tmp_path / "parts", progress=stop_after(stopped)).run()
    resumed = made(tmp_path / "parts")
    again = resumed.run()
    assert bits(resumed.network) == bits(whole.network)
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), log.drop(columns="seconds"), check_exact=True)


def test_the_best_or_the_last_epoch_is_kept(tmp_path):
    """The validation loss rises on purpose: the best epoch is the first."""
    kept = {}
    for choice in ("best", "last"):
        run = made(tmp_path / choice, epochs=3, choice=choice)
        losses = iter((1.0, 2.0, 3.0))
        run.validate = lambda net, losses=losses: {"loss": next(losses)}
        epochs = []
        run.save = lambda optimizer, state, best, run=run, epochs=epochs: epochs.append(bits(run.network))
        run.run()
        kept[choice] = epochs.index(bits(run.network))
    assert kept == {"best": 0, "last": 2}


def test_averages_are_resumed_to_the_same_bits(tmp_path):
    """And they are what is validated and kept."""
    options = {"kind": DecoupledSettings, "average": 0.9}
    whole = made(tmp_path / "whole", **options)
    log = whole.run()
    with pytest.raises(Interrupted):
        made(tmp_path / "parts", progress=stop_after(BATCHES + 2), **options).run()
    resumed = made(tmp_path / "parts", **options)
    resumed.run()
    assert bits(resumed.network) == bits(whole.network)
    assert validated(whole.network)["loss"] == log["loss"].min()


def test_an_average_is_that_of_the_steps():
    network = torch.nn.Linear(1, 1)
    average = Average(network, 0.5)
    with torch.no_grad():
        before = network.weight.item()
        network.weight += 1
    for _ in range(2):
        average.update(network, 100)
    assert average.network.weight.item() == pytest.approx(before + 0.75)
    average = Average(network, 0.99)
    with torch.no_grad():
        network.weight += 1
    average.update(network, 1)
    assert average.network.weight.item() == pytest.approx(before + 1 + 9 / 11)


def test_the_rate_warms_up_and_ends_at_its_floor():
    settings = DecoupledSettings(rate=0.1, warm_up=0.1, floor=0.02)
    rates = [settings.rate_at(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.001)
    assert max(rates) == pytest.approx(0.1, rel=0.05)
    assert rates[-1] == pytest.approx(0.002, rel=1e-2)
    assert DecoupledSettings(warm_up=0).rate_at(0, 10) == pytest.approx(DecoupledSettings().rate)


def test_only_matrices_decay():
    network = torch.nn.Linear(3, 2)
    groups = DecoupledSettings(decay=0.3).optimizer(network).param_groups
    assert [(group["weight_decay"], [p.ndim for p in group["params"]]) for group in groups] == [(0.3, [2]), (0.0, [1])]


def test_half_precision():
    network = torch.nn.Linear(2, 2)
    with pytest.raises(ValidationError, match="precision bfloat16 needs device cuda, not cpu"):
        DecoupledSettings(precision="bfloat16")
    with DecoupledSettings(precision="bfloat16", device="cuda").model_copy(update={"device": "cpu"}).autocast():
        assert network(torch.ones(1, 2)).dtype == torch.bfloat16
    with DecoupledSettings().autocast():
        assert network(torch.ones(1, 2)).dtype == torch.float32


def test_a_finished_training_is_not_repeated(tmp_path):
    first = made(tmp_path)
    first.run()
    again = made(tmp_path, loss=nan_at(1))
    again.run()
    assert bits(again.network) == bits(first.network)


def test_only_a_fresh_network_is_started(tmp_path):
    started = []
    with pytest.raises(Interrupted):
        made(tmp_path, start=started.append, progress=stop_after(BATCHES)).run()
    made(tmp_path, start=started.append).run()
    assert len(started) == 1


def test_it_learns_and_its_log_is_a_table(tmp_path):
    log = made(tmp_path, epochs=30).run()
    assert log["loss"].iloc[-1] < 1e-3 * log["loss"].iloc[0]
    assert pd.read_csv(tmp_path / LOG)["epoch"].tolist() == list(range(1, 31))


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    made(tmp_path, {"rate": 0.1, "loss": "huber"}).run()
    with pytest.raises(OptionError, match=r"another training: rate 0\.1 there, 0\.2 here; choose") as refused:
        made(tmp_path, {"rate": 0.2, "loss": "huber"}).run()
    assert "\n" not in str(refused.value)
    assert "huber" not in str(refused.value)


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    with pytest.raises(TrainingError, match=r"nan at batch 3 of epoch 1; no epoch was finished"):
        made(tmp_path / "first", loss=nan_at(3)).run()
    assert not (tmp_path / "first").exists()
    with pytest.raises(TrainingError, match=rf"nan at batch 2 of epoch 2; .*{CHECKPOINT} keeps epoch 1"):
        made(tmp_path, loss=nan_at(BATCHES + 2)).run()
    whole, resumed = made(tmp_path / "whole"), made(tmp_path)
    whole.run()
    resumed.run()
    assert bits(resumed.network) == bits(whole.network)


def test_a_validation_loss_that_is_no_number_ends_the_training(tmp_path):
    with pytest.raises(TrainingError, match="the validation loss is nan after epoch 1; no epoch was finished"):
        made(tmp_path, validate=lambda network: {"loss": math.nan}).run()


def test_it_stops_when_the_validation_loss_does_not_fall_and_keeps_the_best(tmp_path):
    losses, states = iter([3.0, 1.0, 2.0, 1.5, 0.1]), []

    def validate(network):
        states.append(bits(network))
        return {"loss": next(losses)}

    run = made(tmp_path, epochs=9, patience=2, validate=validate)
    assert run.run()["loss"].tolist() == [3.0, 1.0, 2.0, 1.5]
    assert bits(run.network) == states[1] != states[-1]


def test_schedules():
    cosine, cyclic, constant = (Settings(rate=0.3, schedule=name) for name in ("cosine", "cyclic", "constant"))
    assert cosine.rate_at(0, 100) == 0.3
    assert cosine.rate_at(50, 100) == pytest.approx(0.15)
    assert cosine.rate_at(100, 100) == pytest.approx(0, abs=1e-15)
    rates = [cyclic.rate_at(step, 800) for step in range(800)]
    assert (min(rates), max(rates)) == pytest.approx((0.1, 0.3))
    assert rates[:200] == pytest.approx(rates[200:400])
    assert np.ptp(np.abs(np.diff(rates))) < 1e-12
    assert {constant.rate_at(step, 100) for step in range(100)} == {0.3}


def test_the_rate_of_the_schedule_is_that_of_the_steps(tmp_path):
    run = made(tmp_path, epochs=1, rate=0.3, schedule="cosine")
    optimizer = torch.optim.SGD(run.network.parameters(), 99.0)
    run.train_epoch(optimizer, 0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(run.settings.rate_at(BATCHES - 1, BATCHES))


def test_gradients_are_clipped(tmp_path):
    run = made(tmp_path, loss=lambda network, batch: 1e6 * squared(network, batch), clip=1e-3, schedule="constant")
    before = torch.nn.utils.parameters_to_vector(run.network.parameters()).detach()
    run.train_epoch(torch.optim.SGD(run.network.parameters(), 1.0), 0)
    moved = torch.nn.utils.parameters_to_vector(run.network.parameters()).detach() - before
    assert 0 < moved.norm() <= 1.001 * BATCHES * 0.1 * 1e-3


@pytest.mark.parametrize("length", [0, 7, -20])
def test_a_truncated_checkpoint(tmp_path, length):
    made(tmp_path).run()
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FileError, match=r"checkpoint\.safetensors is not a readable checkpoint .*; remove it to begin"):
        made(tmp_path).run()


def test_a_file_that_is_no_checkpoint_of_a_training(tmp_path):
    save_file({"x": np.zeros(1)}, tmp_path / CHECKPOINT)
    with pytest.raises(FileError, match=r"not a readable checkpoint .*state"):
        made(tmp_path).run()


def test_a_device_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(training.torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="--device cuda: this machine has no CUDA device"):
        made(tmp_path, device="cuda").run()
    assert list(tmp_path.iterdir()) == []
