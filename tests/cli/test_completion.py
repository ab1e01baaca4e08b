"""What the shell completes."""

import os
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from ptmiss.cli import cli, completion
from ptmiss.estimators import names
from ptmiss.networks.registry import shipped_models
from ptmiss.runs.runner import processors
from ptmiss.simulation import PROCESSES


def completed(*words):
    *before, last = words
    return [item.value for item in ShellComplete(cli, {}, "ptmiss", "_C").get_completions(list(before), last)]


def test_verbs_options_and_values():
    assert completed("sk") == ["skim"]
    assert completed("skim", "--vert") == ["--vertex"]
    assert completed("skim", "--vertex", "l") == ["lepton"]
    assert completed("run", "zm") == ["zmumu"]
    assert completed("simulate", "wmu") == ["wmunu", "wmunu_fiducial"]
    assert completed("resolution", "x", "--correction", "") == ["bin", "plateau", "none"]
    networks = ["cmssw-v1", "jme-24-001", "neighbours", "latents", "attention", "linear"]
    assert completed("train", "deepmet", "--network", "") == networks


def test_the_last_of_several_names():
    assert completed("skim", "-e", "pf,pu") == ["pf,puppi"]
    assert completed("compare", "t", "--by", "qt,np") == ["qt,npv"]


@pytest.mark.parametrize(
    ("offered", "known"),
    [
        (completion.models, shipped_models),
        (completion.processors, processors),
        (completion.processes, lambda: PROCESSES),
        (completion.estimators, lambda: [*names(), "stored.", "deepmet_mlpf"]),
    ],
)
def test_what_is_offered_is_known(offered, known):
    assert set(offered()) <= set(known())
    assert len(offered()) > 1


def test_bash_asks_and_is_answered():
    asked = {"COMP_WORDS": "ptmiss skim --estimators deepmet_r", "COMP_CWORD": "3", "_PTMISS_COMPLETE": "bash_complete"}
    command = [sys.executable, "-m", "ptmiss"]
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert done.stdout == "plain,deepmet_response\n", done.stderr
