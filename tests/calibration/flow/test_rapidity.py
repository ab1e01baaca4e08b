"""A joint map that depends on the boson's rapidity, in tables and in runs."""

import json

import numpy as np
import pytest
from correctionlib import schemav2 as cs

pytest.importorskip("zuko")

from ptmiss import corrections, sample, table
from ptmiss.calibration.flow import export
from ptmiss.calibration.flow.maps import JointMap
from ptmiss.errors import CorrectionError
from ptmiss.estimators import make_estimators
from ptmiss.events import inspect
from ptmiss.processors.boson import Zmumu
from ptmiss.processors.neutrino import Wmunu
from ptmiss.processors.skim import Skim
from ptmiss.recoil import transverse_mass
from ptmiss.truth import generated_rapidity

from .test_export import dense

ESTIMATORS = ("pf", "puppi")
CONTEXT = ("qt", "njets", "npv", "boson_rapidity")


def networks(seed):
    """Networks with random weights whose shift depends on the rapidity."""
    made = [dense(len(CONTEXT) + k + 1, (8,), 10 * seed + k) for k in range(4)]
    for network in made:
        network.layers[0][0][:, 3] *= 20  # it counts for as much as tens of GeV do
        network.low[3], network.high[3] = -2.5, 2.5
    return made


def by_axis(estimator):
    """No mean of pTmiss."""
    inputs = [cs.Variable(name=n, type=t) for n, t in (("sample", "string"), ("axis", "string"), ("npv", "real"))]
    output = cs.Variable(name="mean", type="real")
    return cs.Correction(name=f"{estimator}_xy", version=1, inputs=inputs, output=output, data=0.0)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file with random maps."""
    joint = JointMap(ESTIMATORS, CONTEXT, networks(1), {"stat_0": networks(2)})
    about = {
        "schema": corrections.SCHEMA,
        "estimators": list(ESTIMATORS),
        "systematics": joint.systematics,
        "joint": {"estimators": list(ESTIMATORS), "context": list(CONTEXT)},
    }
    every = [*(export.joint_correction(joint, k) for k in range(4)), *map(by_axis, ESTIMATORS)]
    made = cs.CorrectionSet(schema_version=2, description=json.dumps(about), corrections=every)
    file = tmp_path_factory.mktemp("rapidity") / "corrections.json"
    file.write_text(made.model_dump_json(exclude_unset=True))
    return file


def source(process):
    events = inspect(str(sample.events(process))).events()
    events.metadata.update({"kind": "mc", "role": "signal"})
    return events


def corrected(path, rows, boson, visible, rapidity):
    mets = {name: rows.met(name) for name in ESTIMATORS}
    where = boson, rows["npv"], rows["njets"], "mc", "stat_0", visible, mets, rapidity
    return corrections.load(path).met("puppi", mets["puppi"], *where)


def test_a_run_maps_z_by_the_rapidity_of_its_leptons(path):
    events, estimators = source("zmumu"), make_estimators(ESTIMATORS)
    rows = table.RecoilTable(Skim(estimators, corrections=path).process(events)["rows"], {})
    boson, rapidity = rows.vector("boson"), rows["boson_rapidity"]
    expected, known = corrected(path, rows, boson, None, rapidity), np.isfinite(boson[:, 0])
    found = rows.varied_met("puppi", "corrected_stat_0")
    np.testing.assert_allclose(found[known], expected[known], atol=0.02)  # float32 columns
    other = corrected(path, rows, boson, None, -rapidity)
    assert np.abs(other - expected)[known].max() > 0.2
    filled = Zmumu(estimators, corrections=path).process(events)["met"]
    spectrum = filled[{"estimator": "puppi", "systematic": "stat_0"}]
    window = known & (np.abs(rows["boson_mass"] - 91) < 20)
    counts = np.histogram(np.hypot(*expected[window].T), spectrum.axes[0].edges)[0]
    assert np.abs(spectrum.values() - counts).sum() <= 2  # at an edge of a bin


def test_a_run_maps_w_by_the_rapidity_of_the_generated_boson(path):
    events, estimators = source("wmunu"), make_estimators(ESTIMATORS)
    rows = table.RecoilTable(Skim(estimators, corrections=path).process(events)["rows"], {})
    single = np.isfinite(rows["lepton_pt"]) & np.isfinite(rows["genboson_pt"])
    where = rows.vector("genboson"), rows.vector("genseen"), generated_rapidity(events)
    expected = corrected(path, rows, *where)
    np.testing.assert_allclose(rows.varied_met("puppi", "corrected_stat_0")[single], expected[single], atol=0.02)
    found = Wmunu(estimators, corrections=path).process(events)["mt"][{"estimator": "puppi", "systematic": "stat_0"}]
    has = np.isfinite(rows["lepton_pt"])
    mt = transverse_mass(rows.vector("lepton"), expected)[has]
    assert np.abs(found.project("mt").values() - np.histogram(mt, found.axes["mt"].edges)[0]).sum() <= 2


def test_without_a_rapidity_it_is_one_line_and_an_event_without_one_stays(path):
    known, boson = corrections.load(path), np.array([[20.0, 0], [20.0, 0]])
    met = {name: np.array([[5.0, 1], [5.0, 1]]) for name in ESTIMATORS}
    where = boson, np.array([20.0, 20]), np.array([0, 0]), "mc", "nominal", None, met
    with pytest.raises(CorrectionError, match="maps by the boson's rapidity too: expected rapidity"):
        known.met("puppi", met["puppi"], *where)
    found = known.met("puppi", met["puppi"], *where, np.array([0.5, np.nan]))
    np.testing.assert_array_equal(found[1], [5, 1])
    assert np.abs(found[0] - [5, 1]).max() > 0.1
