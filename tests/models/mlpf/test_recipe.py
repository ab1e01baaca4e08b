import json
import math

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from ptmiss import sample
from ptmiss.cli import cli
from ptmiss.errors import OptionError, TrainingError

torch = pytest.importorskip("torch")
pytest.importorskip("fastjet")

from ptmiss.models.mlpf import monitoring, recipe, reconstruction, train
from ptmiss.models.mlpf.recipe import Recipe
from ptmiss.models.mlpf.reconstruction import MLPF
from ptmiss.models.workflow import make_recipe

from .conftest import options

ZMUMU = str(sample.events("zmumu"))
TINY = {"width": 32, "hidden": 16, "layers": 1}


class Interrupted(Exception):  # noqa: N818
    """What a user does with Ctrl-C."""


def stop_after(batches):
    def progress(name, done, _total):
        if name.startswith("training") and done > batches:
            raise Interrupted

    return progress


def bits(net):
    return {name: value.numpy().tobytes() for name, value in net.state_dict().items()}


def run(events, directory, progress=None, **given):
    chosen = Recipe(**options(**{"epochs": 2, "budget": 150, **TINY, **given}))
    net, training = chosen.train(events, events, directory, [], progress)
    return net, training.run()


@pytest.mark.slow
def test_eight_events_can_be_learned(few, tmp_path):
    _, log = run(few, tmp_path, epochs=60, rate=5e-3, width=64, hidden=64, average=0.9)
    assert log["loss"].iloc[-1] < 0.35 * log["loss"].iloc[0]
    assert log["met_rms"].iloc[-1] < 0.5 * log["met_rms"].iloc[0]


def test_a_training_that_was_stopped_ends_with_the_same_bits(few, tmp_path):
    whole, log = run(few, tmp_path / "whole", epochs=3)
    with pytest.raises(Interrupted):
        run(few, tmp_path / "parts", stop_after(5), epochs=3)
    resumed, again = run(few, tmp_path / "parts", epochs=3)
    assert bits(resumed) == bits(whole)
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), log.drop(columns="seconds"), check_exact=True)


def test_a_loss_that_is_no_number(few, tmp_path):
    few = few.select(np.arange(8))
    few.targets.columns["pt"][0] = math.nan
    few.targets.columns["type"][0] = 1
    with pytest.raises(TrainingError, match="the loss is nan at batch 1 of epoch 1; no epoch was finished"):
        run(few, tmp_path, budget=10**5)


@pytest.mark.parametrize("loss", ["focal", "2021", "v2.2.0"])
def test_other_losses_fall(few, tmp_path, loss):
    _, log = run(few, tmp_path, loss=loss, epochs=4, term={"angles": 0.1})
    assert log["loss"].iloc[-1] < log["loss"].iloc[0]


def test_it_goes_on_from_weights(few, tmp_path):
    net, _ = run(few, tmp_path / "first")
    reconstruction.save(MLPF(net, "first"), tmp_path / "first.safetensors", "")
    chosen = Recipe(**options(start_from=tmp_path / "first.safetensors", rate=1e-9, decay=0.0))
    fresh, training = chosen.train(few, few, tmp_path / "second", [])
    training.run()
    assert fresh.configuration == net.configuration
    for name, value in fresh.state_dict().items():
        torch.testing.assert_close(value, net.state_dict()[name], atol=1e-5, rtol=1e-4)


def test_targets_against_themselves(embedded):
    """The ideal reconstruction has no pTmiss residual and jets without width."""
    true = recipe.true(embedded)
    numbers = monitoring.measure(true, true)
    assert numbers["met_rms"] == numbers["met_half_width"] == numbers["jet_width_20"] == 0
    assert numbers["jet_response_20"] == 1


def test_one_bad_event_makes_an_rms_and_no_half_width():
    """200 events of one particle each, in one of which it has 1000 GeV too much."""
    n, rng = 200, np.random.default_rng(0)
    pt = rng.normal(0, 1, n) + 50
    flat = np.zeros(n)
    true, found = (
        monitoring.Particles.of(x, flat, flat, x, np.arange(n + 1))
        for x in (np.full(n, 50.0), pt + 1000 * (np.arange(n) == 7))
    )
    numbers = monitoring.measure(found, true)
    assert numbers["met_rms"] > 40
    assert numbers["met_half_width"] < 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training from the command line."""
    output = tmp_path_factory.mktemp("trained")
    arguments = ["train", "mlpf", f"{ZMUMU}=6", "--validation", f"{ZMUMU}=3", "--epochs", "1", "--output", str(output)]
    arguments += [
        "--width",
        "32",
        "--hidden",
        "16",
        "--layers",
        "1",
        "--name",
        "tiny",
        "--term",
        "energy=0",
        "--term",
        "local=2",
    ]
    told = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return output, told.output


def test_a_training_leaves_weights_card_log_and_figure(trained):
    output, told = trained
    names = {"model.safetensors", "README.md", "log.csv", "training.png", "checkpoint.safetensors", ".written"}
    assert {path.name for path in output.iterdir()} == names
    assert "best of 1 epochs: loss" in told
    assert "pf_met_rms" in told
    log = pd.read_csv(output / "log.csv")
    assert {"loss", "met_rms", "met_half_width", "jet_width_20", "jet_width_60"} <= set(log)
    assert reconstruction.load(output).name == "tiny"
    card = (output / "README.md").read_text()
    assert 'architecture: "mlpf"' in card
    assert "* pf_jet_width_20: " in card
    assert json.loads(card.split("* recipe: `")[1].split("`")[0])["term"] == {
        "classes": 1.0,
        "pt": 1.0,
        "energy": 0.0,
        "angles": 0.0,
        "expected": 0.5,
        "local": 2.0,
        "missing": 0.0,
    }


def test_another_configuration_is_refused(trained):
    output, _ = trained
    with pytest.raises(OptionError, match=r"another training: .*width"):
        train.train_files({ZMUMU: 6}, {ZMUMU: 3}, output, "tiny", options(**{**TINY, "width": 64}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "--epochs 0: input should be greater than or equal to 1"),
        ({"term": {"jets": 1}}, "unknown term jets; known: classes, pt, energy, angles, expected, local"),
        ({"term": {"pt": "much"}}, "--term pt='much': input should be a valid number"),
        ({"attention": "sparse"}, "--attention 'sparse': input should be 'window' or 'exact'"),
        ({"heads": 16}, "width 64 cannot be divided into 16 heads"),
        ({"average": 1.0}, "--average 1.0: input should be less than 1"),
        ({"warm_up": -1}, "--warm-up -1: "),
    ],
)
def test_an_option_with_a_wrong_value_is_named(given, message):
    with pytest.raises(OptionError) as refused:
        make_recipe(train.build_recipe, options(**given), "preset")
    assert message in str(refused.value)


def test_options_that_weights_decide(tmp_path):
    with pytest.raises(OptionError, match=r"--start-from .* determines the network: leave out --width, --layers"):
        recipe.check_start(Recipe(start_from=tmp_path, width=64, layers=2))
    with pytest.raises(OptionError, match="leave out --network"):
        recipe.check_start(Recipe(start_from=tmp_path, preset="lsh"))
