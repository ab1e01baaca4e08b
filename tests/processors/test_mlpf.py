"""Processors with the estimators that MLPF makes the candidates of."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ptmiss import sample
from ptmiss.cli import cli
from ptmiss.estimators import make_estimators
from ptmiss.processors.boson import Zmumu
from ptmiss.processors.neutrino import Wmunu
from ptmiss.processors.validation import Validation
from ptmiss.runs import fileset, pools, runner

from ..helpers import SMALL, random_network

ZMUMU = str(sample.events("zmumu"))
NAMES = ["pf", "puppi", "deepmet", "mlpf", "mlpf_puppi", "deepmet_mlpf"]
BLIND = 45  # of the 60 embedded events have no elements


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Weights of a small random MLPF."""
    pytest.importorskip("torch")
    from ptmiss.models.mlpf import reconstruction

    path = tmp_path_factory.mktemp("mlpf") / "model.safetensors"
    reconstruction.save(reconstruction.MLPF(random_network(**SMALL), "small"), path, "random numbers")
    return path


@pytest.fixture
def chosen(network, weights):
    return make_estimators(NAMES, {"mlpf": network, "deepmet": weights})


def ran(processor, pool=None):
    outputs, _ = runner.run(fileset.parse({"zmumu": [ZMUMU]}), processor, pool=pool, chunksize=20)
    return outputs["zmumu"]


@pytest.mark.slow
@pytest.mark.parametrize("cls", [Zmumu, Wmunu, Validation])
def test_every_processor_fills_every_estimator(cls, chosen):
    out = ran(cls(chosen))
    assert list(out["met"].axes["estimator"]) == NAMES
    counts = {name: out["met"][{"estimator": name}].sum(flow=True) for name in NAMES}
    number = {name: getattr(count, "value", count) for name, count in counts.items()}
    assert number["mlpf"] == number["mlpf_puppi"] == number["deepmet_mlpf"] <= number["pf"] == number["deepmet"]
    if cls is Wmunu:
        assert out["mt"][{"estimator": "mlpf"}].sum(flow=True).value == number["mlpf"]
    if cls is Validation:
        assert (number["mlpf"], number["pf"]) == (60 - BLIND, 60)
        assert out["notes"]["mlpf: event without elements, so without pTmiss"] == BLIND


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_two_workers_give_the_same_bits(network):
    processor = Validation(make_estimators(NAMES, {"mlpf": network}))
    here = ran(processor)
    with pools.pool("futures", 2) as pool:
        there = ran(processor, pool)
    assert there["notes"] == here["notes"]
    for name in ("moments", "spectra", "met"):
        one, other = (out[name].view(flow=True) for out in (here, there))
        for part in one.dtype.names or [...]:
            np.testing.assert_array_equal(one[part], other[part])


@pytest.mark.slow
def test_the_network_travels_with_the_processor(network, tmp_path):
    path = Path(shutil.copy(network, tmp_path / "gone.safetensors"))
    here, travelling = (
        Validation(make_estimators(["mlpf", "mlpf_puppi"], {"mlpf": weights})) for weights in (network, path)
    )
    content = pickle.dumps(travelling)
    path.unlink()
    moments = [ran(processor)["moments"].view(flow=True) for processor in (here, pickle.loads(content))]
    np.testing.assert_array_equal(*moments)


@pytest.mark.parametrize("processor", ["zmumu", "wmunu", "validation"])
def test_a_file_without_elements_is_one_line(processor, network, invented, tmp_path):
    path = tmp_path / "fileset.json"
    path.write_text(json.dumps({"events": {"files": [str(invented)]}}))
    arguments = ["run", processor, "--fileset", path, "--estimators", "mlpf", "--weights", f"mlpf={network}"]
    done = CliRunner().invoke(cli, [*map(str, arguments), "--output", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert done.output.count("\n") == 1
    if processor != "validation":  # invented events have no truth, which is looked for first
        assert "estimator 'mlpf': " in done.output
        assert "has no particle-flow elements (PFElement_*): NanoAOD has candidates, not elements" in done.output
