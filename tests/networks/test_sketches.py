"""Sketches of what networks read."""

import json

import numpy as np
import pytest

from ptmiss import candidates, events, sample
from ptmiss.errors import FileError
from ptmiss.estimators import NetworkEstimator, make_estimators
from ptmiss.networks import sketches
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.registry import save_model, weights_file
from ptmiss.networks.sketches import GROUPS, INPUTS

from ..helpers import random_model


@pytest.fixture(scope="module")
def network():
    return make_estimators("deepmet")[0]


@pytest.fixture(scope="module")
def read(network):
    """Candidates of 20 embedded events."""
    return candidates.read(events.inspect(str(sample.events("zmumu"))).events(0, 20), network.columns)


def test_counts_are_those_of_histograms(network, read):
    inputs = Inputs.from_candidates(read)
    found = sketches.count(network.model, inputs)
    weights = network.momentum_weights(network.weigh(inputs))
    columns = {name: read[name] for name in ("eta", "pt", "phi", "mass", "puppiWeight")} | {"weight": weights}
    for name, values in columns.items():
        edges = [-np.inf, *sketches.EDGES[name], np.inf]
        expected = np.histogram(values.astype(np.float64), edges)[0]
        assert np.abs(found[name].sum(axis=0) - expected).sum() <= 0.002 * len(weights), name  # rounding at an edge
    tracks = read["charge"] != 0
    assert found["dz"].sum() == found["dxy"].sum() == np.count_nonzero(tracks)
    np.testing.assert_array_equal(found["category"].sum(axis=0), np.bincount(inputs.rows, minlength=sketches.ROWS))
    first = (
        slice(0, read.offsets[1]),
        slice(*read.offsets[GROUPS : GROUPS + 2]),
        slice(*read.offsets[2 * GROUPS : 2 * GROUPS + 2]),
    )
    assert found["category"][0].sum() == sum(part.stop - part.start for part in first)


def test_a_run_sketches_one_candidate_in_so_many(network, read, monkeypatch):
    none = np.zeros(read.offsets[-1], bool)
    found = network.sketch(read, none)
    assert found["category"].sum() == -(-read.offsets[-1] // sketches.STRIDE)
    monkeypatch.setattr("ptmiss.estimators.network.STRIDE", 1)
    whole, expected = network.sketch(read, none), sketches.count(network.model, Inputs.from_candidates(read))
    for name in INPUTS:
        np.testing.assert_array_equal(whole[name], expected[name])
    lepton = np.abs(read["pdgId"]) == 13
    assert network.sketch(read, lepton)["category"].sum() == np.count_nonzero(~lepton)


def test_a_network_that_sees_neighbours_sketches_whole_events(read, tmp_path, monkeypatch):
    monkeypatch.setattr("ptmiss.estimators.network.STRIDE", 10)
    save_model(random_model(context=6), tmp_path / "net.safetensors", "random")
    network = NetworkEstimator("net", str(tmp_path / "net.safetensors"))
    counts = np.diff(read.offsets)
    found = network.sketch(read, np.zeros(read.offsets[-1], bool))
    assert found["category"].sum() == counts[0] + counts[10]
    whole = Inputs.from_candidates(read)
    weights = network.momentum_weights(network.weigh(whole))[: counts[0]]
    place = np.searchsorted(sketches.EDGES["weight"], weights, side="right")
    np.testing.assert_array_equal(found["weight"][0], np.bincount(place, minlength=sketches.size("weight")))


def test_sketches_of_networks_add_up_as_histograms():
    rng = np.random.default_rng(0)
    parts = [{name: rng.integers(0, 9, (GROUPS, sketches.size(name))) for name in INPUTS} for _ in range(2)]
    one, other = sketches.book(["a", "b"]), sketches.book(["a", "b"])
    sketches.add(one, "b", parts[0])
    sketches.add(other, "b", parts[1])
    found, expected = sketches.of(one + other, "b"), sketches.total(parts)
    for name in INPUTS:
        np.testing.assert_array_equal(found[name], expected[name])
        assert not sketches.of(one, "a")[name].any()


def test_a_file_of_a_sketch_round_trip(network, read, tmp_path):
    counts = sketches.count(network.model, Inputs.from_candidates(read))
    sketches.write(tmp_path / "sketch.json", counts, {"events": 20})
    found = sketches.read(tmp_path / "sketch.json")
    assert found.about == {"events": 20}
    for name in INPUTS:
        np.testing.assert_array_equal(found.counts[name], counts[name])
    content = json.loads((tmp_path / "sketch.json").read_text())
    content["counts"]["pt"] = [[1, 2]]
    (tmp_path / "sketch.json").write_text(json.dumps(content))
    with pytest.raises(FileError, match=r"is no sketch of a training|pt has shape"):
        sketches.read(tmp_path / "sketch.json")
    (tmp_path / "sketch.json").write_text("{}")
    with pytest.raises(FileError, match="is no sketch of a training"):
        sketches.read(tmp_path / "sketch.json")


@pytest.mark.parametrize("name", ["deepmet", "deepmet_v2", "deepmet_response", "linear"])
def test_every_network_of_the_package_has_one(name):
    found = sketches.read(weights_file(name).with_name(sketches.FILE))
    assert found.counts["category"].sum() > 100_000
    assert len(found.about["events"]) == 5
