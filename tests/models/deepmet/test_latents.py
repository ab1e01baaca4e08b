"""A DeepMET that reads what the MLPF that made its candidates knows of them, in training and as an estimator."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ptmiss import events, sample
from ptmiss.candidates import LATENTS
from ptmiss.errors import OptionError
from ptmiss.estimators import make_estimators
from ptmiss.estimators.evaluation import evaluate
from ptmiss.leptons import match
from ptmiss.networks.deepmet import BACKENDS, SEEN
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.registry import load_model, save_model

torch = pytest.importorskip("torch")

from ptmiss.estimators import reconstruction
from ptmiss.models.deepmet import dataset
from ptmiss.models.deepmet.dataset import batch
from ptmiss.models.deepmet.network import LAYOUTS, Network
from ptmiss.models.deepmet.recipe import Recipe, begin
from ptmiss.models.deepmet.train import train_files
from ptmiss.models.workflow import make_recipe

from .conftest import options

ZMUMU = str(sample.events("zmumu"))
EVENTS = 6


@pytest.fixture(scope="module")
def made():
    """Events as candidates of the shipped MLPF, with its latents."""
    return dataset.read([ZMUMU], EVENTS, made_by=reconstruction.build("mlpf"), columns=LAYOUTS["latents"].columns)


@pytest.fixture
def network():
    """A network that begins with a shipped one, with rows of the latents that are not zero."""
    found = Network("latents")
    begin(found, None, make_recipe(Recipe, {"network": "latents", "start_from": "deepmet_local"}))
    torch.manual_seed(0)
    torch.nn.init.normal_(found.latents.kernel, 0, 0.05)
    return found


@pytest.fixture
def weights(network, tmp_path):
    save_model(network.model("mine"), tmp_path / "model.safetensors", "a test")
    return tmp_path


def inputs_of(some):
    return Inputs(some.features, some.categories, some.offsets, some.latents)


def test_latents_are_those_of_the_network(made):
    """What the heads are given: the layers and the last norm of the network itself, event by event."""
    from ptmiss.elements import Elements
    from ptmiss.models.mlpf.inputs import pack
    from ptmiss.models.mlpf.reconstruction import load

    mlpf = load("mlpf")
    elements = Elements.of_events(events.inspect(ZMUMU).events(0, 1))
    rows, seen = pack(elements, mlpf.network.schema), []
    hook = mlpf.network.norm.register_forward_hook(lambda module, given, out: seen.append(out))
    with torch.inference_mode():
        mlpf.network(rows)
    hook.remove()
    kept = mlpf(elements).pt > reconstruction.MIN_PT
    first = made.latents[: made.offsets[1]]
    assert first.dtype == np.float16
    np.testing.assert_allclose(first, seen[0].numpy()[kept], rtol=1e-3, atol=2e-3)


def test_a_fresh_network_gives_what_it_began_with(made):
    fresh = Network("latents")
    begin(fresh, None, make_recipe(Recipe, {"network": "latents", "start_from": "deepmet_particles"}))
    given = load_model("deepmet_particles").evaluate(inputs_of(made))
    np.testing.assert_allclose(fresh.model("mine").evaluate(inputs_of(made)), given, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_inference_gives_what_was_trained(made, network, backend, monkeypatch):
    """Weights to 1e-5, and pTmiss of their sums in double precision to 1e-4 GeV."""
    monkeypatch.setenv("PTMISS_BACKEND", backend)
    model, inputs = network.model("mine"), inputs_of(made)
    with torch.no_grad():
        weights = network.candidates(batch(made, np.arange(EVENTS), np.zeros((EVENTS, 2), bool))).numpy()
    np.testing.assert_allclose(model.outputs(inputs), weights, atol=1e-5)
    expected = model.total(model.add(inputs, weights), np.diff(inputs.offsets))
    np.testing.assert_allclose(model.evaluate(inputs), expected, atol=1e-4)
    without = replace(model, tensors=model.tensors | {SEEN: 0 * model.tensors[SEEN]})
    assert np.abs(model.evaluate(inputs) - without.evaluate(inputs)).max() > 1


def test_a_selection_keeps_the_latents_of_its_candidates(made, network):
    model, inputs = network.model("mine"), inputs_of(made)
    mask = np.arange(len(inputs.rows)) % 3 > 0
    some = inputs.keep(mask)
    np.testing.assert_array_equal(some.latents, inputs.latents[mask])
    of_events = made.select(np.arange(EVENTS) == 2)
    np.testing.assert_array_equal(of_events.latents, made.latents[made.offsets[2] : made.offsets[3]])
    np.testing.assert_allclose(model.evaluate(inputs_of(of_events)), model.evaluate(inputs)[2:3], atol=1e-5)
    np.testing.assert_array_equal(made.first(2).latents, made.latents[: made.offsets[2]])


def test_as_an_estimator_beside_others_of_the_same_candidates(weights):
    """Its pTmiss is that of the network on the candidates without the muons, which are added exactly."""
    source = events.inspect(ZMUMU).events(0, EVENTS)
    chosen = make_estimators("mlpf,mine_mlpf,deepmet_particles_mlpf", {"mine_mlpf": weights})
    result = evaluate(chosen, source, source.Muon)
    candidates = chosen[1].reconstruction.candidates(source, chosen[1].columns)
    assert candidates[LATENTS].shape == (len(candidates["pt"]), 64)
    selected, _ = match(candidates, source.Muon)
    alone = chosen[1].inner.met(source, candidates, selected, Counter())
    np.testing.assert_allclose(result.met["mine_mlpf"], alone, atol=1e-4)
    apart = evaluate([chosen[2]], source, source.Muon)
    np.testing.assert_array_equal(result.met["deepmet_particles_mlpf"], apart.met["deepmet_particles_mlpf"])


def test_systematics_move_momenta_and_leave_latents(network, tmp_path):
    """With rows of zeros the band is that of the network that it began with; with others it is another."""
    source = events.inspect(ZMUMU).events(0, EVENTS)
    model = network.model("mine")
    for name, factor in (("zero", 0), ("mine", 1)):
        tensors = model.tensors | {SEEN: factor * model.tensors[SEEN]}
        save_model(replace(model, tensors=tensors), tmp_path / name / "model.safetensors", "a test")
    names = {f"{name}_mlpf": tmp_path / name for name in ("zero", "mine")}
    chosen = make_estimators([*names, "deepmet_local_mlpf"], names, systematics=["neutral_hadrons"])
    bands = evaluate(chosen, source, source.Muon).varied
    for name, band in bands["zero_mlpf"].items():
        np.testing.assert_allclose(band, bands["deepmet_local_mlpf"][name], atol=1e-3)
        assert np.abs(band - bands["mine_mlpf"][name]).max() > 0.1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mine",
            "'mine' needs 64 latents of the MLPF that makes its candidates, and files have none: run it as mine_mlpf",
        ),
        ("mine_targets", "and targets gives none: run it as mine_mlpf"),
    ],
)
def test_other_candidates_are_refused_before_any_work(weights, name, message):
    with pytest.raises(OptionError, match=message):
        make_estimators(name, {name: weights})


@pytest.mark.parametrize(("candidates", "whose"), [("pf", "the files have none"), ("elements", "elements gives none")])
def test_a_training_needs_an_mlpf(tmp_path, candidates, whose):
    with pytest.raises(OptionError, match=f"--network latents needs 64 latents of each candidate, and {whose}: --cand"):
        train_files({ZMUMU: 20}, {}, tmp_path, None, options(network="latents"), candidates=candidates)


def test_inputs_without_latents_are_refused(made, network):
    plain = replace(inputs_of(made), latents=None)
    with pytest.raises(ValueError, match="model 'mine' needs 64 latents of each candidate, not 0"):
        network.model("mine").evaluate(plain)


@pytest.mark.slow
def test_a_training_with_latents(tmp_path):
    """From a shipped network; the rows of the latents have learnt something, and the folder is a model."""
    recipe = options(network="latents", start_from="deepmet_particles")
    train_files({ZMUMU: 10}, {ZMUMU: 5}, tmp_path, "mine", recipe, candidates="mlpf")
    model = load_model(tmp_path)
    assert (model.latents, model.parameters) == (64, 5533 + 64 * 64)
    assert model.tensors[SEEN].any()
    assert model.features[-1] == "latent63"
