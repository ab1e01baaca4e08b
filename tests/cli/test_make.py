"""``ptmiss make``: from files to a page, and what it says."""

import pytest

from ptmiss import project, sample
from ptmiss.cli import cli, make
from ptmiss.project import Step
from tests.helpers import call, failure

CONFIGURATION = """
estimators = ["pf", "stored.MET"]
[skim]
fileset = "fileset.json"
output = "out/recoil.parquet"
[resolution]
sources = "out/recoil.parquet"
format = "svg"
output = "out/resolution"
[compare]
sources = "out/recoil.parquet"
above = 0
output = "out/compared.csv"
"""


@pytest.mark.slow
def test_from_files_to_results(tmp_path):
    (tmp_path / "fileset.json").write_text(f'{{"dy": ["{sample.events("zmumu")}"]}}')
    (tmp_path / "ptmiss.toml").write_text(CONFIGURATION)
    skim = "ptmiss skim --estimators pf,stored.MET --fileset fileset.json --output out/recoil.parquet"
    assert call("make", "-C", tmp_path, "--dry-run", "resolution").splitlines() == [
        skim,
        "ptmiss resolution out/recoil.parquet --format svg --output out/resolution",
    ]
    assert not (tmp_path / "out").exists()
    assert skim in call("make", "-C", tmp_path, "resolution", "--quiet")
    assert (tmp_path / "out/resolution/overview.svg").is_file()
    assert call("make", "-C", tmp_path, "resolution") == "all is up to date\n"
    changed = CONFIGURATION.replace('estimators = ["pf", "stored.MET"]', 'estimators = "stored.MET"')
    (tmp_path / "ptmiss.toml").write_text(changed)
    printed = call("make", "-C", tmp_path, "resolution", "--quiet")
    assert "60 events -> out/recoil.parquet" in printed
    assert "ptmiss resolution" in printed


@pytest.mark.slow
def test_a_project_is_made_of_options_that_there_are(tmp_path):
    project.begin(tmp_path)
    commands = call("make", "-C", tmp_path, "--dry-run").splitlines()
    assert [command.split()[1] for command in commands] == ["skim", "resolution", "calibrate", "report"]


def test_what_is_there_and_was_not_made_here_stays(tmp_path):
    (tmp_path / "fileset.json").write_text(f'{{"dy": ["{sample.events("zmumu")}"]}}')
    (tmp_path / "ptmiss.toml").write_text(CONFIGURATION)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/recoil.parquet").write_text("mine")
    call("make", "-C", tmp_path, "skim", code=1)
    assert (tmp_path / "out/recoil.parquet").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"estimators": ["pf", "puppi"]}, ["--estimators", "pf,puppi"]),
        ({"files": ["a.root", "b.root"], "raw-weights": True}, ["a.root", "b.root", "--raw-weights"]),
        ({"weights": {"mine": "w.safetensors"}, "rescale": False}, ["--weights", "mine=w.safetensors"]),
        (
            {"systematics": ["jes", "jer"], "luminosity": 2.5},
            ["--systematics", "jes", "--systematics", "jer", "--luminosity", "2.5"],
        ),
    ],
)
def test_keys_are_options(options, expected):
    assert make.arguments(Step("skim", options)) == expected


def test_a_switch_that_is_on_is_turned_off():
    assert make.arguments(Step("calibrate", {"pileup": False})) == ["--no-pileup"]


def test_a_value_that_is_none_names_its_section(tmp_path):
    (tmp_path / "ptmiss.toml").write_text('[resolution.dy]\nsources = "a"\nwindow = "wide"\noutput = "b"')
    assert "[resolution.dy] Invalid value for '--window'" in failure("make", "-C", tmp_path)
    assert "no such directory" in failure("make", "-C", tmp_path / "none")


def test_verbs_that_write_are_steps():
    assert {"skim", "run", "resolution", "calibrate", "templates", "report"} <= set(make.verbs())
    assert "make" not in make.verbs()
    assert set(make.verbs()) < set(cli.commands)
