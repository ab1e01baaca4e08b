import numpy as np
import pytest

pytest.importorskip("zuko")

from ptmiss.calibration.flow import toys
from ptmiss.models.recoilflow import recipe as recipes
from ptmiss.models.recoilflow.events import join

SMALL = {"epochs": 3, "batch": 512, "hidden": (16,), "bins": 5}


def events_of(first, second):
    """Two toys as events with weights of one."""
    parts = [(toy.u, np.stack(list(toy.context.values()), axis=1), np.ones(len(toy))) for toy in (first, second)]
    return join(*parts)


@pytest.fixture(scope="session")
def toy_events():
    return events_of(toys.draw("mc", 2400, seed=1), toys.draw("data", 2400, seed=2))


@pytest.fixture(scope="session")
def trained(toy_events, tmp_path_factory):
    """A flow with little training, and its log."""
    held = np.arange(len(toy_events)) % 6 == 0
    recipe = recipes.Recipe(**SMALL)
    directory = tmp_path_factory.mktemp("flow")
    network, run = recipe.train(toy_events.select(~held), toy_events.select(held), directory, {})
    return network, run.run()
