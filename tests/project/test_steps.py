"""The steps of a project: which there are, in which order, and which have to run."""

import json
import os
from pathlib import Path

import pytest

from ptmiss.errors import FileError, OptionError, UnknownName
from ptmiss.project import steps

KNOWN = {
    "skim": {"fileset", "selection", "estimators", "output", "label"},
    "resolution": {"sources", "output", "label"},
    "report": {"sources", "output"},
}
PROJECT = """
label = "mine"
[report]
sources = ["name=out/recoil.parquet", "fits=out/fits"]
output = "report.html"
[resolution.dy]
sources = "out/recoil.parquet"
output = "out/dy"
[skim]
fileset = "fileset.json"
output = "out/recoil.parquet"
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events.root").write_text("events")
    (tmp_path / "fileset.json").write_text(json.dumps({"dy": ["events.root"]}))
    (tmp_path / "ptmiss.toml").write_text(PROJECT)
    (tmp_path / "out").mkdir()
    return steps.read(KNOWN)


def ran(project):
    """Run all that has to; the names."""
    names = [step.name for step in project.outdated()]
    for step in project.steps:
        if step.name in names:
            made_of = step.made_of()
            Path(step.output).write_text(made_of)
            steps.keep(step, made_of)
    return names


def test_what_is_needed_runs_first(project):
    assert [step.name for step in project.steps] == ["skim", "report", "resolution.dy"]
    assert [step.name for step in project.chosen(["resolution"]).steps] == ["skim", "resolution.dy"]
    with pytest.raises(UnknownName, match="unknown step 'skimm', did you mean 'skim'"):
        project.chosen(["skimm"])


def test_keys_above_the_sections_are_for_verbs_that_have_them(project):
    assert [step.options.get("label") for step in project.steps] == ["mine", None, "mine"]


def test_what_is_up_to_date_does_not_run(project):
    everything = ["skim", "report", "resolution.dy"]
    assert ran(project) == everything
    assert ran(project) == []
    os.utime("events.root", (1, 1))  # named by the fileset
    assert ran(project) == everything
    Path("report.html").unlink()
    assert ran(project) == ["report"]
    changed = PROJECT.replace('label = "mine"', 'label = "yours"').replace("[skim]", '[skim]\nlabel = "mine"')
    Path("ptmiss.toml").write_text(changed)
    assert ran(steps.read(KNOWN)) == ["resolution.dy"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[skimm]\n", "unknown verb 'skimm', did you mean 'skim'"),
        ('[skim]\nestimator = "pf"', r"\[skim\] unknown key 'estimator', did you mean 'estimators'"),
        ("lable = 1\n[skim]", "unknown key above the sections 'lable', did you mean 'label'"),
        ('[skim]\nfileset = "a.json"', r"\[skim\] has no output"),
        ('[skim]\noutput = "a"\n[report]\noutput = "a"', r"\[skim\] and \[report\] have the same output, a"),
        ('[skim]\noutput = "a"\nfileset = "b"\n[report]\noutput = "b"\nsources = "a"', "need each other: skim, report"),
    ],
)
def test_a_mistake_is_a_line(text, said, tmp_path):
    path = tmp_path / "ptmiss.toml"
    path.write_text(text)
    with pytest.raises(OptionError, match=said):
        steps.read(KNOWN, path)


def test_no_configuration(tmp_path):
    with pytest.raises(FileError, match="no such configuration"):
        steps.read(KNOWN, tmp_path / "none.toml")
