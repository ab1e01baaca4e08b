import pandas as pd
import pytest

from ptmiss import sample
from ptmiss.errors import OptionError, UnknownName
from ptmiss.model import load_model

torch = pytest.importorskip("torch")

from ptmiss.models.deepmet import studies
from ptmiss.models.deepmet.recipe import Recipe
from ptmiss.models.deepmet.studies import STUDIES, Variant, share_of_top, study

FILES = {name: str(sample.events(name)) for name in ("zmumu", "ttbar")}
TEST = [FILES["zmumu"], str(sample.events("data"))]
SHARES = {"zmumu": 0.5, "ttbar": 0.5}
SHORT = Recipe(epochs=1, warm=2, batch=4)


@pytest.fixture
def small(monkeypatch):
    """A study of two short trainings, the second from the first's weights with half of the events."""
    after = Variant({"balance": 2.0, "rate": 1e-4}, SHARES, events=0.5, after=studies.BASE)
    monkeypatch.setattr(studies, "Variant", lambda: Variant(shares=SHARES))
    monkeypatch.setitem(STUDIES, "small", {"C = 2, half": after})
    monkeypatch.setattr("ptmiss.comparison.FEW", 10)


def test_a_study_trains_its_variants_and_compares_them(small, tmp_path):
    found = study("small", FILES, FILES, TEST, tmp_path, 24, SHORT)
    assert found["estimator"].tolist() == ["pf", "puppi", "base", "C = 2, half"]
    assert found.set_index("estimator")["rms_par_vs_base"]["base"] == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "small.csv"), found, rtol=1e-4, check_dtype=False)
    weights = tmp_path / "C_=_2,_half" / "model.safetensors"
    assert load_model(weights).parameters == 5149
    before = weights.read_bytes()
    again = study("small", FILES, FILES, TEST, tmp_path, 24, SHORT)
    assert weights.read_bytes() == before
    pd.testing.assert_frame_equal(again, found)


def test_unknown_studies_and_missing_events(tmp_path):
    with pytest.raises(UnknownName, match="unknown study 'seed', did you mean 'seeds'"):
        study("seed", FILES, FILES, [], tmp_path, 10, SHORT)
    with pytest.raises(OptionError, match="'puppi' needs training events of ttbar_dilepton, zmumu_boosted"):
        study("puppi", FILES, FILES, [], tmp_path, 10, SHORT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", STUDIES)
def test_every_variant_is_a_recipe_with_shares_that_add_up(name):
    for variant in STUDIES[name].values():
        Recipe(**{**SHORT.model_dump(), **variant.recipe})
        assert sum(variant.shares.values()) == pytest.approx(1)
        assert variant.after in (None, studies.BASE)


def test_a_share_of_top_pairs_leaves_the_ratio_of_the_others():
    shares = share_of_top(0.5).shares
    assert shares["ttbar_dilepton"] == 0.5
    assert shares["zmumu"] / shares["zmumu_boosted"] == pytest.approx(4 / 3)
