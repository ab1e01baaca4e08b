"""Two models on the same events."""

import json

import numpy as np
import pandas as pd
import pytest

from ptmiss import sample as embedded
from ptmiss.estimators import make_estimators
from ptmiss.explanation import differences
from ptmiss.networks.registry import save_model

from ..helpers import call, failure, random_model


def test_differences_are_those_of_the_estimators(sample):
    pair = tuple(make_estimators("deepmet,linear"))
    found = differences.compare(pair, sample, replicas=10)
    one, other = (each.momentum_weights(each.weigh(each.prepare(sample.candidates))) for each in pair)
    whole = found.apart.set_index("sort").loc["all"]
    assert whole["mean"] == pytest.approx((other - one).mean(), rel=1e-5)
    assert whole["q95"] == pytest.approx(np.quantile(np.abs(other - one), 0.95), rel=1e-5)
    mets = [each.total(each.add(i := each.prepare(sample.candidates), each.weigh(i)), i.offsets) for each in pair]
    distance = np.hypot(*(mets[1] - mets[0]).T)
    assert found.apart.iloc[-1]["median"] == pytest.approx(np.median(distance), abs=2e-3)
    assert found.weights.groupby("sort")["share"].sum().to_numpy() == pytest.approx(1)
    rows = found.resolution.set_index("model")
    for quantity in ("response", "par", "perp"):
        assert rows.loc["ratio", quantity] == pytest.approx(
            rows.loc["linear", quantity] / rows.loc["deepmet", quantity]
        )
        assert rows.loc["ratio", f"{quantity}_error"] > 0


def test_what_is_written(tmp_path, empty_pictures):
    printed = call("models", "diff", "deepmet", "deepmet_v2", "--output", tmp_path / "out", "--replicas", 5)
    assert "recipe epochs" in printed
    assert "deepmet_v2 less deepmet" in printed
    names = {path.name for path in (tmp_path / "out").iterdir()} - {".written"}
    assert names == {"apart.csv", "resolution.csv", "weights.csv", "met.csv", "differences.png", "manifest.json"}
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["events"] == 13
    assert pd.read_csv(tmp_path / "out" / "resolution.csv")["model"].tolist() == ["deepmet", "deepmet_v2", "ratio"]


def test_two_of_one_name(tmp_path):
    for seed in (1, 2):
        save_model(random_model(seed), tmp_path / str(seed) / "model.safetensors", "random")
    found = differences.diff(tmp_path / "1", tmp_path / "2", [str(embedded.events("zmumu"))], replicas=3)
    assert found.names == (f"random ({tmp_path / '1'})", f"random ({tmp_path / '2'})")
    assert "are the same weights file" in failure(
        "models", "diff", tmp_path / "1", tmp_path / "1" / "model.safetensors"
    )
    assert "makes candidates and not pTmiss" in failure("models", "diff", "deepmet", "mlpf")
