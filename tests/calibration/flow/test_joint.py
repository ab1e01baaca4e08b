"""What only a joint map can mend: samples whose components have the same laws and other correlations."""

import numpy as np
import pytest

pytest.importorskip("zuko")

from ptmiss.calibration.flow import toys
from ptmiss.models.classifier import separate
from ptmiss.models.recoilflow.events import join
from ptmiss.models.recoilflow.recipe import Recipe, fit_difference

CONTEXT = ("qt", "njets", "npv")


def columns(toy):
    return toy.u, np.stack([toy.context[name] for name in CONTEXT], axis=1), np.ones(len(toy))


@pytest.mark.slow
def test_correlations_are_mended_by_a_joint_map_alone(tmp_path):
    mc, data = toys.draw("mc", 4000, seed=1), toys.draw("correlated", 4000, seed=2)
    events = join(columns(mc), columns(data))
    held = np.arange(len(events)) % 7 == 0
    network, run = Recipe(epochs=6, hidden=(16,), bins=5).train(events.select(~held), events.select(held), tmp_path, {})
    run.run()
    fit_difference(network, events)
    new, wanted = toys.draw("mc", 3000, seed=3), toys.draw("correlated", 3000, seed=4)
    pairs = [[np.sort(toy.u[:, k]) for toy in (mc, data)] for k in range(4)]
    maps = {
        "none": new.u,
        "quantiles": np.stack([np.interp(new.u[:, k], *pair) for k, pair in enumerate(pairs)], axis=1),
        "flow": network.correct(new.u, columns(new)[1]),
    }
    found = {name: separate(u, wanted.u) for name, u in maps.items()}
    areas = {name: each.auc for name, each in found.items()}
    assert max(each.error for each in found.values()) < 0.01
    assert areas["none"] > 0.62
    assert areas["quantiles"] == pytest.approx(areas["none"], abs=0.03)
    assert areas["flow"] < 0.57
