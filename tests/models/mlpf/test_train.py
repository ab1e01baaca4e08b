"""What is wrong is one line, from the command line down to the network."""

import sys

import awkward as ak
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from ptmiss import events, sample
from ptmiss.cli import cli
from ptmiss.elements import COLUMNS
from ptmiss.errors import ColumnError
from ptmiss.estimators import evaluate, make_estimators
from ptmiss.estimators import reconstruction as stage

torch = pytest.importorskip("torch")

from ptmiss.models.mlpf import reconstruction
from ptmiss.models.mlpf.reconstruction import MLPF

from ...helpers import SMALL, random_elements, random_network

ZMUMU = str(sample.events("zmumu"))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Weights of a small random network."""
    path = tmp_path_factory.mktemp("small") / "model.safetensors"
    reconstruction.save(MLPF(random_network(**SMALL), "small"), path, "random numbers")
    return path


def failure(*arguments):
    """The one line that a failing command prints."""
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert done.exit_code == 1, done.output
    (line,) = done.output.splitlines()
    return line.removeprefix("Error: ")


def simulated(**columns):
    """Some embedded events with columns of the elements replaced; None removes one."""
    source = events.inspect(ZMUMU).events(0, 4)
    record = {name: columns.get(name, source.PFElement[name]) for name in COLUMNS}
    elements = ak.zip({name: value for name, value in record.items() if value is not None})
    fields = {name: source[name] for name in ("PFCands", "PV", "Muon")}
    return ak.zip({**fields, "PFElement": elements}, depth_limit=1)


def test_training(monkeypatch, tmp_path, weights, pfnano, invented):
    output = tmp_path / "out"
    train = ("train", "mlpf", "--output", output)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for arguments, message in (
        ((ZMUMU, "--device", "cuda"), "--device cuda: this machine has no CUDA device"),
        ((pfnano,), "pfnano_qcd_10events.root has no particle-flow elements (PFElement_*): NanoAOD has"),
        ((invented,), "invented.root has no particle-flow elements"),
        ((ZMUMU, "--start-from", weights), "architecture 'deepmet', expected 'mlpf'"),
        ((ZMUMU, "--start-from", tmp_path / "no"), "no such weights file"),
        ((ZMUMU, "--network", "compct"), "unknown preset 'compct', did you mean 'compact'"),
    ):
        assert message in failure(*train, *arguments)
        assert not (output / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"caloEta": None}, "this array of events lacks PFElement_caloEta"),
        ({"type": 3}, r"unknown PFElement_type 3 in \d+ of \d+ elements, first in event 0; known: 1 track"),
        ({"pt": np.nan}, r"PFElement_pt is not a finite number in \d+ of \d+ elements, first in event 0"),
    ],
)
def test_elements_that_cannot_be(path, columns, message):
    like = events.inspect(ZMUMU).events(0, 4).PFElement.pt
    columns = {name: value if value is None else ak.full_like(like, value) for name, value in columns.items()}
    source = simulated(**columns)
    with pytest.raises(ColumnError, match=message):
        evaluate(make_estimators(["mlpf"], {"mlpf": path}), source, source.Muon)


def test_a_checkpoint_is_no_weights_file(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_file({"network.mean": np.zeros(3, np.float32)}, path, {"state": "{}", "configuration": "{}"})
    message = failure("skim", ZMUMU, "--estimators", "mlpf", "--weights", f"mlpf={path}", "--output", tmp_path / "t")
    assert message.endswith("checkpoint.safetensors is a training's checkpoint: it is not a weights file")


def test_without_torch(monkeypatch, path, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [n for n in sys.modules if n.startswith("ptmiss.models.")]:
        monkeypatch.delitem(sys.modules, name)
    stage.network.cache_clear()
    skim = ("skim", ZMUMU, "--estimators", "mlpf", "--weights", f"mlpf={path}", "--output", tmp_path / "t")
    for arguments in (skim, ("models", "export-onnx", path, "--output", tmp_path / "x.onnx")):
        assert failure(*arguments) == "MLPF needs torch, the extra train: pip install 'ptmiss[train]'"
    assert "parameters: " in CliRunner().invoke(cli, ["models", "show", str(path)]).output


@pytest.mark.parametrize("name", ["compact", "exact", "lsh"])
def test_no_elements_and_twenty_thousand(name):
    """Exact attention sees 3000: the time is quadratic."""
    most = 3000 if name == "exact" else 20_000
    mlpf = MLPF(random_network(name, width=32, hidden=16, layers=1), name)
    found = mlpf(random_elements([0, most, 0]), latents=True)
    assert len(found.pt) == most
    assert all(np.isfinite(column).all() for column in found)
