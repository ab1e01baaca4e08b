"""The weight against one input."""

import numpy as np
import pytest

from ptmiss.candidates import Candidates
from ptmiss.estimators import NetworkEstimator, make_estimators
from ptmiss.explanation import dependence
from ptmiss.networks.registry import save_model

from ..helpers import random_attention, random_model


@pytest.fixture
def alone(sample):
    """Candidates, each of which is an event."""
    columns = sample.candidates.columns
    return Candidates(columns, np.arange(len(columns["pt"]) + 1))


def test_the_weight_of_candidates_that_were_turned(sample, alone, monkeypatch):
    monkeypatch.setattr(dependence, "LEAST", 1)
    (linear,) = make_estimators("linear")
    rows = dependence.tabulate(linear, sample)
    puppi = rows[(rows["input"] == "puppiWeight") & (rows["sort"] == "photons")]
    photons = alone.keep(dependence.SORTS["photons"](alone))
    for row in puppi.iloc[[0, -1]].to_dict("records"):
        columns = {**photons.columns, "puppiWeight": np.full(len(photons["pt"]), row["value"], np.float32)}
        expected = linear.weigh(linear.prepare(Candidates(columns, photons.offsets)))
        assert row["weight"] == pytest.approx(expected.mean(), rel=1e-5)
        assert row["weight_error"] == pytest.approx(expected.std() / np.sqrt(len(expected)), rel=1e-4)


def test_the_sign_stays(alone):
    turned = dependence.turn(alone, "dz", 0.5)
    np.testing.assert_array_equal(np.abs(turned["dz"]), np.float32(0.5))
    np.testing.assert_array_equal(np.signbit(turned["dz"]), np.signbit(alone["dz"]))
    assert (dependence.turn(alone, "phi", -1)["phi"] == -1).all()


def test_bins_lie_between_the_central_quantiles():
    values = np.linspace(0, 100, 10_001)
    edges = dependence.bins(values, logarithmic=False)
    assert (edges[0], edges[-1], len(edges)) == (pytest.approx(1), pytest.approx(99), dependence.POINTS + 1)
    steps = dependence.bins(values, logarithmic=True)
    np.testing.assert_allclose(np.diff(np.log(steps)), np.log(steps[1] / steps[0]))
    assert (
        len(dependence.bins(np.ones(5), logarithmic=False)) == len(dependence.bins(np.zeros(5), logarithmic=True)) == 1
    )


@pytest.mark.parametrize("model", [random_model(2, context=6), random_attention(2)], ids=["sums", "attention"])
def test_surroundings_are_those_that_the_candidates_have(sample, tmp_path, monkeypatch, model):
    monkeypatch.setattr(dependence, "LEAST", 1)
    save_model(model, tmp_path / "net.safetensors", "random")
    network = NetworkEstimator("net", str(tmp_path / "net.safetensors"))
    whole = network.prepare(sample.candidates)
    expected = network.momentum_weights(network.weigh(whole))
    rows = dependence.tabulate(network, sample)
    phi = rows[(rows["input"] == "phi") & (rows["sort"] == "photons")]
    photons = dependence.SORTS["photons"](sample.candidates)
    inside = photons & (sample.candidates["phi"] >= phi["low"].min()) & (sample.candidates["phi"] < phi["high"].max())
    counts = np.histogram(sample.candidates["phi"][inside], [*phi["low"], phi["high"].iloc[-1]])[0]
    assert np.average(phi["mean"].fillna(0), weights=counts) == pytest.approx(expected[inside].mean(), rel=1e-4)
