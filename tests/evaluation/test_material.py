"""Events with material in the tracker, whose GSF tracks, brem points and superclusters repeat what others have."""

import numpy as np
import pytest

from ptmiss.elements import Elements, Targets
from ptmiss.estimators.reconstruction import ELECTRON, build
from ptmiss.evaluation import report
from ptmiss.evaluation.study import study
from ptmiss.simulation import generator, output, parameters
from ptmiss.simulation.events import Block, columns

from ..simulation.conftest import frozen

pytest.importorskip("fastjet")
pytest.importorskip("torch")


@pytest.mark.slow
def test_an_evaluation_of_events_with_material(tmp_path):
    """PF's candidates may come of a GSF track; the elements that the others see do not have it."""
    profile = parameters.profile("mc", material=1, pileup_mean=10)
    block = Block(0, 0, 3, np.random.SeedSequence(1), 3)
    made = columns(block, frozen("ttbar"), profile, frozen("minbias").library, elements=True)
    output.save_block(made, tmp_path / "block.parquet")
    path = tmp_path / "events.root"
    output.write([tmp_path / "block.parquet"], path, "ttree", {"simulation": "{}"})
    found = study([str(path)], [build(name) for name in ("elements", "mlpf", "targets")])
    kept = np.isin(made["PFElement_type"], (1, 4, 5, 8, 9))
    assert 0 < np.count_nonzero(kept) < len(kept)
    assert found.particles["mlpf"].confusion.sum() == np.count_nonzero(kept)
    tables = report.tabulate(found, replicas=5)
    ideal = tables.rates[tables.rates["estimator"] == "targets"]
    assert (ideal["efficiency"].dropna() > 0.99).all()
    tracks = tables.particle_response.query("`class` == 'charged hadron' and way == 'matched' and axis == 'pt'")
    assert {"pf", "mlpf", "targets"} <= set(tracks["estimator"])


@pytest.mark.slow
def test_the_network_for_material_collects_what_electrons_radiate():
    """Single electrons of 30 to 60 GeV: their energies are right, also of those with a GSF track alone."""
    profile = parameters.profile("mc", material=1, pileup_mean=0, pileup_spread=0)
    hard = generator.shoot(11, 120, np.random.default_rng(1), pt=(30.0, 60.0))
    block = Block(0, 0, 120, np.random.SeedSequence(2), 120)
    events = output.records(columns(block, hard, profile, frozen("minbias").library, elements=True))
    elements, targets = Elements.of_events(events), Targets.of_events(events)
    true = (targets["type"] == ELECTRON) & (np.abs(targets["eta"]) < 2.3) & (targets["pt"] > 20)
    assert np.count_nonzero(elements["gsfAlone"][true]) > 5
    ratio, width = {}, {}
    for name in ("mlpf", "mlpf_electrons"):
        found = build(name).predict(elements)
        values = found.pt[true] / targets["pt"][true]
        low, ratio[name], high = np.quantile(values, (0.25, 0.5, 0.75))
        width[name] = high - low
    assert abs(ratio["mlpf_electrons"] - 1) < 0.03
    assert width["mlpf_electrons"] < 0.1 < width["mlpf"]
    assert np.mean(found.kind[true] == ELECTRON) > 0.95
