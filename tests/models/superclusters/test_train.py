import numpy as np
import pytest
from click.testing import CliRunner

from ptmiss import sample
from ptmiss.cli import cli
from ptmiss.networks import superclusters
from ptmiss.simulation import output, parameters
from ptmiss.simulation.events import Block, columns

from ...simulation.conftest import frozen

pytest.importorskip("torch")
pytest.importorskip("fastjet")


def train(*arguments):
    return CliRunner().invoke(cli, ["train", "superclusters", *map(str, arguments)])


@pytest.mark.slow
def test_a_training_and_events_made_with_the_network(tmp_path):
    profile = parameters.profile("mc", material=1, pileup_mean=10, superclusters=1)
    block = Block(0, 0, 3, np.random.SeedSequence(1), 3)
    made = columns(block, frozen("ttbar"), profile, frozen("minbias").library, elements=True)
    assert made["PFElementDetail_correctedEnergy"].max() > 10
    output.save_block(made, tmp_path / "block.parquet")
    output.write([tmp_path / "block.parquet"], tmp_path / "events.root", "ttree", {})
    done = train(tmp_path / "events.root", "--epochs", 2, "--width", 8, "--output", tmp_path / "out")
    assert done.exit_code == 0, done.output
    found = superclusters.load(tmp_path / "out")
    assert (found.layers, len(found.tensors["input.bias"])) == (2, 8)
    assert "best of 2 epochs" in done.output


def test_what_is_wrong_is_one_line(tmp_path):
    for arguments, message in (
        ((), "Error: name files of events: no embedded events have material in the tracker\n"),
        ((sample.events("zmumu"),), "PFElementShower_share: ptmiss simulate --set material=1 --elements -1 writes"),
        (("--layers", 0), "--layers 0: input should be greater than or equal to 1"),
    ):
        done = train(*(arguments or ()), *(() if arguments[:1] != ("--layers",) else (sample.events("zmumu"),)),
                     "--output", tmp_path / "out")  # fmt: skip
        assert done.exit_code == 1
        assert message in done.output
        assert done.output.count("\n") == 1
    assert not (tmp_path / "out").exists()
