"""Events with material in the tracker, whose GSF tracks, brem points and superclusters repeat what others have."""

import numpy as np
import pytest

from ptmiss.estimators.reconstruction import build
from ptmiss.evaluation import report
from ptmiss.evaluation.study import study
from ptmiss.simulation import output, parameters
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
