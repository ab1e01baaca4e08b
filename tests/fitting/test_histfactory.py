import numpy as np
import pytest

from ptmiss.fitting.histfactory import workspace
from ptmiss.fitting.templates import collect

from .conftest import events, fill, make_run

pyhf = pytest.importorskip("pyhf")
pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver is deprecated")  # pyhf uses it

NORMS = {"lumi": {"wmunu": 1.016, "dy": 1.016, "ttbar": 1.016}, "top_rate": {"ttbar": 1.06}}


def fitted(region, norms=NORMS):
    """The signal's strength and its error, by pyhf with MINUIT."""
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer())
    made = pyhf.Workspace(workspace(region, norms))
    model = made.model()
    values = pyhf.infer.mle.fit(made.data(model), model, return_uncertainties=True)
    return np.asarray(values)[model.config.poi_index]


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_a_fit_gives_back_the_injected_signal(strength):
    value, error = fitted(collect(make_run(strength, seed=int(10 * strength)), "mt", "deepmet", minimum=4000))
    assert abs(value - strength) < 3 * error
    assert 0.01 * strength < error < 0.1


@pytest.mark.slow
def test_strengths_scatter_as_their_errors_say():
    found = [fitted(collect(make_run(1.3, seed=seed), "mt", "deepmet", minimum=4000)) for seed in range(25)]
    pulls = np.array([(value - 1.3) / error for value, error in found])
    assert abs(pulls.mean()) < 0.6
    assert 0.5 < pulls.std() < 1.2  # luminosity and rates are not varied in these toys


def test_without_systematics_the_error_is_that_of_counting():
    run = make_run(data=False)
    for name in ("wmunu", "dy"):
        run.histograms[name] = fill(events(name, 20_000, np.random.default_rng(1)))
    region = collect(run, "mt", "pf", luminosity=0.001, signal=["wmunu"], minimum=1e4)
    value, error = fitted(region, {})
    signal = region.processes["wmunu"].nominal.values
    expected = 1 / np.sqrt((signal**2 / region.data).sum())
    assert value == pytest.approx(1.0, abs=0.01)
    assert error == pytest.approx(expected, rel=0.05)
