"""Paths in any form, and wrong types in one line."""

from pathlib import Path

import pytest
from click.testing import CliRunner

import ptmiss
from ptmiss import corrections, estimators, results, sample, table
from ptmiss.cli import cli
from ptmiss.corrections import published
from ptmiss.errors import OptionError, PtmissError
from ptmiss.estimators import WeightedSum, reconstruction
from ptmiss.networks import registry, weights
from ptmiss.resolutions import comparison
from ptmiss.runs import directory, fileset, queues


class Place:
    """A path that is neither a string nor of pathlib."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


READERS = {
    "table.read": table.read,
    "results.load": results.load,
    "fileset.read": fileset.read,
    "comparison.read": comparison.read,
    "corrections.load": corrections.load,
    "published.load": published.load,
    "registry.load_model": registry.load_model,
    "weights.read_tensors": weights.read_tensors,
    "directory.status": directory.status,
    "queues.read": queues.read,
    "resolution": ptmiss.resolution,
    "compare": ptmiss.compare,
    "templates": lambda path: ptmiss.templates(path, "mt", "out"),
    "convert": lambda path: ptmiss.convert(path, "out.json"),
    "calibrate": lambda path: ptmiss.calibrate(path, path, "out"),
    "convert to events": lambda path: ptmiss.convert(path, "out"),
    "profile": lambda path: ptmiss.profile(path, "out"),
    "explain": lambda path: ptmiss.explain(path, path, "out"),
    "report": lambda path: ptmiss.report(path, "out.html"),
    "skim": lambda path: ptmiss.skim(path, "out.parquet"),
    "run": lambda path: ptmiss.run("zmumu", path, "out"),
}


@pytest.mark.parametrize("form", [str, Path, Place])
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_path_in_any_form_that_is_not_there(read, form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PtmissError, match="nothing") as raised:
        read(form("nothing.parquet"))
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_what_is_no_path(read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=r"expected a path, not 3\.5 \(float\)"):
        read(3.5)


@pytest.mark.slow
@pytest.mark.parametrize("form", [str, Path, Place])
def test_what_is_written_to_a_path_in_any_form(form, tmp_path):
    made = ptmiss.skim(form(sample.events("zmumu")), form(tmp_path / "t.parquet"), ["pf"])
    assert len(made) == len(table.read(form(tmp_path / "t.parquet"))) == 60
    ptmiss.run("zmumu", [form(sample.events("zmumu"))], form(tmp_path / "run"), "pf")
    assert set(results.load(form(tmp_path / "run")).histograms) == {"events"}
    found = ptmiss.compare(form(sample.recoil("zmumu")), ["pf"], output=form(tmp_path / "c.csv"))
    assert len(comparison.read(form(tmp_path / "c.csv"))) == len(found)


def test_an_output_that_is_no_path():
    for write in (
        lambda: ptmiss.skim(sample.events("zmumu"), None),
        lambda: ptmiss.run("zmumu", sample.events("zmumu"), None),
        lambda: ptmiss.resolution(sample.recoil("zmumu"), 3),
        lambda: ptmiss.report(sample.recoil("zmumu"), None),
        lambda: ptmiss.calibrate(sample.recoil("data"), sample.recoil("zmumu"), None),
    ):
        with pytest.raises(OptionError, match="expected a path, not"):
            write()


def test_estimators_that_are_none(drell_yan):
    from ptmiss.events import inspect

    events = inspect(str(drell_yan)).events()
    for chosen, leptons, message in (
        (["pf"], events.Muon, r"expected an estimator, not 'pf'; make_estimators\(\['pf'\]\)"),
        (estimators.make_estimators("stored.MET"), None, "leptons: expected jagged records .*; NoneType has no eta"),
    ):
        with pytest.raises(OptionError, match=message):
            estimators.evaluate(chosen, events, leptons)
    with pytest.raises(PtmissError, match="unknown reconstruction 'pf', did you mean 'mlpf'"):
        reconstruction.build("pf")


def test_names_in_one_text():
    assert estimators.make_estimators("pf,puppi") == [WeightedSum("pf"), WeightedSum("puppi")]


@pytest.mark.parametrize("wanted", [3.5, [3.5], [None]])
def test_names_that_are_no_text(wanted):
    with pytest.raises(OptionError, match="expected the name of an estimator, not "):
        estimators.make_estimators(wanted)


@pytest.mark.slow
def test_a_resolution_shows_what_its_command_prints(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = repr(ptmiss.resolution(sample.recoil("zmumu"))).splitlines()
    printed = CliRunner().invoke(cli, ["resolution", str(sample.recoil("zmumu"))]).output.splitlines()
    assert [line.split() for line in shown] == [line.split() for line in printed]
    assert max(map(len, shown)) <= 80
