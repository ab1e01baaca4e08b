"""A flow's corrections in runs, and in the code that its page shows."""

import re
from pathlib import Path

import numpy as np
import pytest
from click import Context

pytest.importorskip("zuko")

from ptmiss import corrections, sample, table
from ptmiss.cli import cli
from ptmiss.estimators import make_estimators
from ptmiss.events import inspect
from ptmiss.processors.neutrino import Wmunu
from ptmiss.processors.skim import Skim
from ptmiss.recoil import recoil, transverse_mass

from ...pages import Block, Session, commands_of

pytestmark = pytest.mark.slow

ESTIMATORS = ["pf", "puppi"]
PAGE = Path(__file__).parents[3] / "docs" / "howto" / "flow.md"
BLOCK = re.compile(r"```(python|sh)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def events():
    source = inspect(str(sample.events("wmunu"))).events(0, 300)
    source.metadata.update({"kind": "mc", "role": "signal"})
    return source


def test_the_transverse_mass_of_w_is_that_of_corrected_ptmiss(flow_calibration, events):
    path = flow_calibration / "corrections.json.gz"
    estimators = make_estimators(ESTIMATORS)
    found, plain = (Wmunu(estimators, corrections=each).process(events)["mt"] for each in (path, None))
    rows = table.RecoilTable(Skim(estimators).process(events)["rows"], {})
    rows = rows.select(np.isfinite(rows["lepton_pt"]))
    mets = {name: rows.met(name) for name in ESTIMATORS}
    known, boson, seen = corrections.load(path), rows.vector("genboson"), rows.vector("genseen")
    for systematic in ("nominal", "stat_1", "method"):
        where = boson, rows["npv"], rows["njets"], "mc", systematic, seen, mets
        mt = transverse_mass(rows.vector("lepton"), known.met("puppi", mets["puppi"], *where))
        which = found[{"estimator": "puppi", "systematic": systematic}].project("mt")
        expected = np.histogram(mt, which.axes[0].edges, weights=known.weight(rows["npv"]) * rows["weight"])[0]
        np.testing.assert_allclose(which.values().sum(), expected.sum(), rtol=1e-3)
        assert np.abs(which.values() - expected).sum() < 0.02 * expected.sum()  # float32 columns at edges of bins
        before = plain[{"estimator": "puppi", "systematic": "nominal"}].project("mt").values()
        assert np.abs(before - expected).sum() > 0.05 * expected.sum()


def test_the_code_of_the_page_runs(flow_calibration, joint_tables, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "flow").symlink_to(flow_calibration)
    monkeypatch.chdir(tmp_path)
    rows = table.read(joint_tables["mc"])
    boson, npv, njets = rows.vector("boson"), rows["npv"].astype(float), rows["njets"].astype(int)
    names: dict = {"boson": boson, "npv": npv, "njets": njets, "qt": recoil(boson, boson).qt}
    for name in ESTIMATORS:
        u = recoil(boson, rows.met(name))
        names |= {name: rows.met(name), f"{name}_u_par": u.u_par, f"{name}_u_perp": u.u_perp}
    session = Session(PAGE, tmp_path)
    session.names |= names
    (code,) = [text for language, text in BLOCK.findall(PAGE.read_text()) if language == "python"]
    session.run(Block("python", code, None, 1))
    assert np.isfinite(session.names["puppi_par"]).all()


def test_the_options_of_the_page_are_those_of_the_command_line():
    (text,) = [text for language, text in BLOCK.findall(PAGE.read_text()) if language == "sh"]
    lines = [line for line in text.replace("\\\n", " ").replace("$D", "data").splitlines() if line.startswith("ptmiss")]
    calibrate, run = commands_of("\n".join(lines))
    made = cli.get_command(Context(cli), "calibrate").make_context("calibrate", calibrate[1:])
    assert made.params["method"] == "flow"
    assert made.params["estimators"] == ["pf", "puppi", "deepmet"]
    assert run[:2] == ["run", "zmumu"]
