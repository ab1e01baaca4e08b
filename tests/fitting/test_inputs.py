import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from ptmiss import results
from ptmiss.cli import cli
from ptmiss.errors import OptionError, UnknownName
from ptmiss.fitting import inputs
from ptmiss.fitting.templates import Process, Region, Template


def test_a_verb_writes_everything(run_directory, tmp_path):
    output = tmp_path / "fit"
    words = ["templates", run_directory, "--observable", "mT", "--lnn", "lumi=1.016", "--lnn", "rate:dy=1.05"]
    done = CliRunner().invoke(cli, [*map(str, words), "--output", str(output)])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("mt_pf: ")
    files = {path.name for path in output.iterdir()} - {results.LISTING}
    each = {f"mt_{name}.{end}" for name in ("pf", "deepmet") for end in ("txt", "json", "csv", "png")}
    assert files == each | {"templates.root", "manifest.json"}
    made = json.loads((output / "manifest.json").read_text())
    assert made["norms"] == {"lumi": {"wmunu": 1.016, "dy": 1.016, "ttbar": 1.016}, "rate": {"dy": 1.05}}
    table = pd.read_csv(output / "mt_pf.csv")
    assert table["simulation"].sum() == pytest.approx(table[["wmunu", "dy", "ttbar"]].sum().sum())
    again = CliRunner().invoke(cli, [*map(str, words), "--output", str(output)])
    assert (again.exit_code, results.FORCE in again.output) == (1, True)


@pytest.mark.parametrize(
    ("norms", "message"),
    [
        ({"lumi": 0.016}, r"--lnn lumi=0\.016: expected a factor above 1"),
        ({"a:wz": 1.1}, "unknown process of --lnn a:wz"),
    ],
)
def test_norms_that_cannot_be(run_directory, tmp_path, norms, message):
    with pytest.raises((OptionError, UnknownName), match=message):
        inputs.write(run_directory, "mt", tmp_path / "fit", norms=norms)
    assert not (tmp_path / "fit").exists()


def test_the_band_of_a_process_whose_variations_go_one_way():
    nominal = Template(np.array([10.0, 20.0]), np.array([10.0, 20.0]))
    moved = {
        name: Template(nominal.values + shift, nominal.variances) for name, shift in (("w_up", 1.0), ("w_down", 7.0))
    }
    process = Process(nominal, moved, signal=True)
    region = Region("mt", "pf", "mT", np.array([0.0, 50.0, 100.0]), nominal.values, {"w": process}, 1.0, observed=True)
    table = inputs.table_of(region)
    assert table["systematic_w"].tolist() == pytest.approx([5 / 10, 5 / 20])  # sqrt((1 + 49) / 2)
    assert table["systematic"].tolist() == pytest.approx([5 / 10, 5 / 20])


def test_an_observable_that_nothing_has(run_directory, tmp_path):
    with pytest.raises(UnknownName, match="unknown observable 'mass'"):
        inputs.write(run_directory, "mass", tmp_path / "fit")
    with pytest.raises(UnknownName, match="unknown observable of the run 'met'"):
        inputs.write(run_directory, "met", tmp_path / "fit")
