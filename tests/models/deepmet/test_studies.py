import pandas as pd
import pytest

from ptmiss import sample
from ptmiss.errors import OptionError, UnknownName
from ptmiss.networks.registry import load_model

torch = pytest.importorskip("torch")

from ptmiss.models.deepmet import studies
from ptmiss.models.deepmet.recipe import Recipe
from ptmiss.models.deepmet.studies import REPEATS, SHARES, STUDIES, Variant, study, with_top_share

FILES = dict(zip(SHARES, (str(sample.events(name)) for name in ("zmumu", "wmunu", "ttbar")), strict=True))
TEST = [FILES["zmumu"], FILES["ttbar_dilepton"]]
SHORT = Recipe(epochs=1, warm=2, batch=4)


@pytest.fixture
def small(monkeypatch):
    """A study of three short trainings, the last from the base's weights with half of the events."""
    after = Variant({"balance": 2.0, "rate": 1e-4, "warm": 0}, events=0.5, after=studies.BASE)
    monkeypatch.setattr(studies, "REPEATS", {"seed 2": REPEATS["seed 2"]})
    monkeypatch.setitem(STUDIES, "small", {"ReLU": studies.with_network("relu"), "C = 2, half": after})
    monkeypatch.setattr("ptmiss.resolutions.comparison.MIN_EVENTS", 10)


def run(output, events=24, recipe=SHORT):
    ((_, found),) = study(["small"], FILES, TEST, output, events, recipe)
    return found


@pytest.mark.slow
def test_a_study_trains_its_variants_and_compares_them(small, tmp_path, empty_pictures):
    found = run(tmp_path)
    assert found["variant"].tolist() == ["base", "seed 2", "ReLU", "C = 2, half"]
    assert found["parameters"].tolist() == [5149] * 4
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "small.csv"), found, rtol=1e-4, check_dtype=False)
    assert {path.name for path in tmp_path.iterdir()} == {"small.csv", "small.png", "small.pdf", "trainings"}
    weights = {path.parent.name.rpartition("-")[0]: path for path in tmp_path.glob("trainings/*/model.safetensors")}
    assert weights.keys() == {"base", "seed_2", "C_=_2,_half"}
    assert load_model(weights["base"]).parameters == 5149


@pytest.mark.slow
def test_trainings_are_repeated_only_where_something_differs(small, tmp_path, empty_pictures):
    first = run(tmp_path)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("trainings/*/checkpoint.safetensors")}
    pd.testing.assert_frame_equal(run(tmp_path), first)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    run(tmp_path, events=30)
    assert len(list(tmp_path.glob("trainings/*"))) == 2 * len(made)
    run(tmp_path, recipe=SHORT.model_copy(update={"rate": 1e-3}))
    assert len(list(tmp_path.glob("trainings/*"))) == 3 * len(made)
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_unknown_studies_and_missing_events(tmp_path):
    with pytest.raises(UnknownName, match="unknown study 'seed', did you mean 'seeds'"):
        next(study(["seed"], FILES, TEST, tmp_path, 10, SHORT))
    with pytest.raises(
        OptionError, match=r"studies need training events of .*; there are none of ttbar_dilepton, zmumu_boosted"
    ):
        next(study(["puppi"], {"zmumu": FILES["zmumu"]}, TEST, tmp_path, 10, SHORT))
    with pytest.raises(OptionError, match=r"studies need 440 events of zmumu; .*zmumu.root has 60"):
        next(study(["puppi"], FILES, TEST, tmp_path, 1000, SHORT))
    assert list(tmp_path.iterdir()) == []


def test_the_events_that_choose_the_epoch_are_not_trained_on():
    bench = studies.Bench.of(["size"], FILES, TEST, None, 40, SHORT, None)
    trained = {tuple(target) for part in bench.pool.values() for target in part.target.tolist()} - {(0.0, 0.0)}
    assert len(bench.held_out) == 3
    assert not trained & {tuple(target) for target in bench.held_out.target.tolist()}


@pytest.mark.parametrize("name", STUDIES)
def test_every_variant_is_a_recipe_with_shares_that_add_up(name):
    for variant in STUDIES[name].values():
        recipe = variant.recipe_of(SHORT)
        Recipe(**{**recipe.model_dump(), "epochs": max(recipe.epochs, 1)})
        assert sum(variant.shares.values()) == pytest.approx(1)
        assert variant.after in (None, studies.BASE)


def test_a_share_of_top_pairs_leaves_the_ratio_of_the_others():
    counts = with_top_share(0.5).counts(7000)
    assert counts["ttbar_dilepton"] == 3500
    assert counts["zmumu"] / counts["zmumu_boosted"] == pytest.approx(4 / 3)
    assert with_top_share(0.0).counts(7000).keys() == {"zmumu", "zmumu_boosted"}


def test_fewer_events_for_more_epochs_are_as_many_steps():
    for variant in STUDIES["size"].values():
        steps = variant.recipe_of(SHORT).epochs * sum(variant.counts(10_000).values()) / 10_000
        assert steps == pytest.approx(max(variant.events, 1), rel=0.11)
