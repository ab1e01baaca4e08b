import numpy as np
import pandas as pd
import pytest

from ptmiss.errors import OptionError

torch = pytest.importorskip("torch")

from ptmiss.models.deepmet import study_tables
from ptmiss.models.deepmet.study_tables import Answers, compare

EVENTS = 3000


@pytest.fixture(scope="module")
def answers():
    """Trainings with known noise about one truth: 20 GeV for the base, 18 for a sharper one, a shrinking one."""
    rng = np.random.default_rng(1)
    q, phi = rng.uniform(0, 120, EVENTS), rng.uniform(-np.pi, np.pi, EVENTS)
    target = np.stack([q * np.cos(phi), q * np.sin(phi)], axis=1)
    noise = rng.normal(0, 20, target.shape)
    seeds = {f"seed {i}": target + noise + rng.normal(0, 1, target.shape) for i in (2, 3)}
    made = {"base": target + noise, **seeds, "sharper": target + 0.9 * noise, "smaller": 0.5 * (target + noise)}
    return {name: Answers(predicted, target) for name, predicted in made.items()}


def test_gains_and_their_errors(answers):
    found = compare(answers, replicas=50).set_index("variant")
    assert found.loc["base", "rms_par"] == pytest.approx(20, rel=0.06)
    for width in ("rms_par", "rms_perp", "half_width_par"):
        assert found.loc["sharper", f"{width}_gain"] == pytest.approx(0.1, abs=0.01)
        assert found.loc["sharper", f"{width}_gain_error"] < 0.01
    assert found.loc["sharper", "loss_gain"] == pytest.approx(1 - 0.9**2)
    assert found.loc["base", ["rms_par_gain", "loss_gain"]].eq(0).all()


def test_shrinking_is_no_gain(answers):
    found = compare(answers, replicas=20).set_index("variant").loc["smaller"]
    assert found["response_above_50"] == pytest.approx(0.5, abs=0.01)
    assert found["rms_perp_gain"] == pytest.approx(0)
    assert found["loss_gain"] < 0


def test_the_spread_of_seeds_is_that_of_a_difference():
    table = pd.DataFrame({"variant": ["base", "seed 2", "seed 3", "other"], "x": [0.9, 1.0, 1.1, 7.0]})
    assert study_tables.seed_spread(table, "x") == pytest.approx(0.1 * np.sqrt(2))


def test_the_loss_is_that_of_the_training(answers):
    from ptmiss.models.deepmet import losses

    base = answers["base"]
    expected = float(losses.squared_loss(*map(torch.from_numpy, base)))
    assert compare(answers, replicas=5)["loss"][0] == pytest.approx(expected)


def test_another_reference(answers):
    found = compare(answers, "sharper", 5).set_index("variant")
    assert found.loc["sharper", ["rms_par_gain", "loss_gain"]].eq(0).all()
    assert found.loc["base", "rms_par_gain"] == pytest.approx(1 - 1 / 0.9, abs=0.01)
    assert found["reference"].eq("sharper").all()


def test_too_few_events(answers):
    few = {name: Answers(a.predicted[:30], a.target[:30]) for name, a in answers.items()}
    with pytest.raises(OptionError, match="fewer than 50 test events with true pTmiss above 20 GeV"):
        compare(few)


def test_figure_and_printed_table(answers, tmp_path, capsys):
    found = compare(answers, replicas=5)
    found.insert(1, "parameters", 5149)
    paths = study_tables.draw({"one": found, "two": found.iloc[[0, 1, 2, 3]]}, tmp_path / "gains")
    assert [path.name for path in paths] == ["gains.png", "gains.pdf"]
    assert all(path.stat().st_size > 10_000 for path in paths)
    study_tables.show("one", found)
    printed = capsys.readouterr().out
    assert "study one" in printed
    assert "sharper" in printed
