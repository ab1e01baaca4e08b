"""A search for settings: its table, going on, pruning, and what cannot be searched."""

import importlib

import pandas as pd
import pytest

from ptmiss import sample
from ptmiss.errors import OptionError

from ...helpers import call, failure

torch = pytest.importorskip("torch")
optuna = pytest.importorskip("optuna")

from ptmiss.models import tuning
from ptmiss.models.deepmet.recipe import FRESH, SPACE, Recipe

SHORT = {"epochs": 2, "warm": 0, "remove_leptons": False}
SMALL = {"rate": tuning.Range(1e-4, 1e-2), "batch": tuning.Choice((2, 4))}
SETTINGS = ["trial", "state", "loss", "epochs", *SMALL]


def search(events, output, trials, progress=None, recipe=None):
    tuning.begin(output, force=False)
    return tuning.Search(recipe or Recipe(**SHORT), SMALL, (events, events), "some", output).run(trials, progress)


def table(output):
    return pd.read_csv(output / tuning.TABLE)


@pytest.fixture(scope="module")
def few(embedded):
    return embedded.first(8)


@pytest.fixture(scope="module")
def whole(few, tmp_path_factory):
    """A search of seven trials."""
    output = tmp_path_factory.mktemp("whole")
    return output, search(few, output, 7)


def test_the_table_and_the_best_settings(whole):
    output, said = whole
    found = table(output)
    assert sorted(found["trial"]) == list(range(7))
    best = found.iloc[0]
    assert best["loss"] == found["loss"][found["state"] == "complete"].min()
    assert f"--rate {best['rate']:.3g} --batch {best['batch']}" in said
    assert (output / tuning.MARKDOWN).read_text().count("\n") == 9
    log = pd.read_csv(output / tuning.TRIALS / f"{best['trial']:03d}" / "log.csv")
    assert log["loss"].min() == pytest.approx(best["loss"])


def test_a_search_begins_with_the_settings_of_the_recipe(whole):
    found = table(whole[0]).set_index("trial")
    assert found["rate"][0] == Recipe(**SHORT).rate
    assert (found["rate"].drop(0) != found["rate"][0]).all()


@pytest.mark.parametrize("network", ["deepmet", "mlpf"])
def test_the_first_trial_has_a_value_for_every_setting(network, tmp_path):
    module = importlib.import_module(f"ptmiss.models.{network}.recipe")
    assert set(tuning.Search(module.Recipe(), module.SPACE, ((), ()), "", tmp_path).first) == set(module.SPACE)


def test_a_search_that_was_stopped_goes_on_to_the_same_trials(few, whole, tmp_path):
    def stop(what, done, _total):
        if what == "trial 4 of 7":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(few, tmp_path, 7, stop)
    assert len(table(tmp_path)) == 3
    search(few, tmp_path, 7)
    again, first = table(tmp_path), table(whole[0])
    assert (again["state"] == "fail").sum() == 1
    same = [frame[frame["state"] != "fail"].sort_values("trial")[["loss", *SMALL]] for frame in (again, first)]
    pd.testing.assert_frame_equal(*(frame.iloc[:5].reset_index(drop=True) for frame in same))


def test_what_is_finished_is_not_trained_again(few, whole):
    output, said = whole
    before = (output / tuning.TABLE).read_text()
    assert search(few, output, 7) == said
    assert (output / tuning.TABLE).read_text() == before


def test_a_trial_that_is_worse_than_others_is_pruned():
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(2, n_warmup_steps=1))
    for losses in ([3.0, 2.0], [3.0, 2.5]):
        trial = study.ask()
        measured = tuning.watch(trial, lambda loss: {"loss": loss})
        for loss in losses:
            assert measured(loss) == {"loss": loss}
        study.tell(trial, losses[-1])
    measured = tuning.watch(study.ask(), lambda loss: {"loss": loss})
    with pytest.raises(optuna.TrialPruned):
        measured(9.0)


def test_another_training_in_the_same_directory(few, whole):
    with pytest.raises(OptionError, match=r"study.db is a search of another training; choose another directory"):
        search(few, whole[0], 8, recipe=Recipe(**SHORT, loss="huber"))


def test_settings_that_are_given_are_not_searched():
    assert set(tuning.free(SPACE, {"rate": 1e-3, "epochs": 3})) == set(SPACE) - {"rate"}
    assert set(tuning.free(SPACE, {"start_from": "deepmet"}, FRESH)) == set(SPACE) - {"warm"}
    with pytest.raises(OptionError, match="nothing is left to search"):
        tuning.free(SMALL, {"rate": 1e-3, "batch": 4})


@pytest.mark.parametrize("network", ["deepmet", "mlpf"])
def test_every_setting_of_a_search_is_an_option(network):
    """The best settings are told as options."""
    from ptmiss.cli.train import train

    space = importlib.import_module(f"ptmiss.models.{network}.recipe").SPACE
    assert set(space) <= {parameter.name for parameter in train.commands[network].params}


def test_the_command(tmp_path):
    events, out = f"{sample.events('wmunu')}=30", tmp_path / "out"
    options = ("--epochs", 1, "--schedule", "cosine", "--start-from", "deepmet")
    said = call("train", "deepmet", events, *options, "--tune", 2, "--output", out)
    assert "2 complete" in said
    assert set(table(out)) == {"trial", "state", "loss", "epochs", "seconds", "rate", "batch", "average"}
    assert "--tune makes no sense with --network linear" in failure(
        "train", "deepmet", events, "--network", "linear", "--tune", 2, "--output", tmp_path / "other"
    )
    assert "is not empty" in failure("train", "deepmet", events, "--output", out)
