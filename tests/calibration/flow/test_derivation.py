import json

import correctionlib
import numpy as np
import pytest

from ptmiss import corrections, table
from ptmiss.calibration import sources
from ptmiss.calibration.flow import derivation, samples
from ptmiss.errors import CorrectionError, OptionError, UnknownName
from ptmiss.recoil import recoil

pytestmark = pytest.mark.slow

SYSTEMATICS = ["nominal", "stat_0", "stat_1", "background_up", "background_down", "context", "method"]


@pytest.fixture(scope="module")
def applied(flow_calibration):
    return corrections.load(flow_calibration / "corrections.json.gz")


@pytest.fixture(scope="module")
def simulated(joint_tables):
    return table.read(joint_tables["mc"])


def mets(events):
    return {name: events.met(name) for name in ("pf", "puppi")}


def test_the_file_says_what_it_maps_together(applied):
    assert applied.joint == ["pf", "puppi"]
    assert applied.context == ["qt", "njets", "npv"]
    assert applied.systematics("puppi") == SYSTEMATICS
    assert applied.needed("pf") == ["pf"]
    assert applied.needed("puppi") == ["pf", "puppi"]
    assert applied.maps


@pytest.mark.parametrize("systematic", SYSTEMATICS)
def test_plain_correctionlib_gives_the_same(flow_calibration, applied, simulated, systematic):
    boson, npv, njets = simulated.vector("boson"), simulated["npv"], simulated["njets"]
    centred = {name: applied.centred(name, met, npv, "mc") for name, met in mets(simulated).items()}
    given = [part for met in centred.values() for part in recoil(boson, met)[:2]]
    cset = correctionlib.CorrectionSet.from_file(str(flow_calibration / "corrections.json.gz"))
    qt = recoil(boson, boson).qt
    par = cset["puppi_u_par"].evaluate(qt, njets.astype(int), npv.astype(float), *given[:3], systematic)
    met = applied.met("puppi", simulated.met("puppi"), boson, npv, njets, "mc", systematic, others=mets(simulated))
    np.testing.assert_allclose(recoil(boson, met).u_par, par, atol=1e-6)


def test_an_estimator_without_those_before_it_is_one_line(applied, simulated):
    given = simulated.vector("boson"), simulated["npv"], simulated["njets"]
    with pytest.raises(CorrectionError, match="maps puppi together with pf: pTmiss of pf is needed"):
        applied.met("puppi", simulated.met("puppi"), *given)
    with pytest.raises(CorrectionError, match="has a joint map of pf, puppi: expected met, with others"):
        applied.u("pf", "par", 10.0, 0, 10.0)


def test_the_flow_is_beside_it_with_its_card_and_log(flow_calibration):
    assert {"README.md", "model.safetensors", "log.csv", "training.png"} <= {
        path.name for path in (flow_calibration / "flow").iterdir()
    }
    assert "pf_u_par, pf_u_perp, puppi_u_par, puppi_u_perp" in (flow_calibration / "flow" / "README.md").read_text()
    assert json.loads((flow_calibration / "manifest.json").read_text())["options"]["method"] == "flow"
    assert not (flow_calibration / "training").exists()


def test_backgrounds_count_with_negative_weights(joint_tables):
    from ptmiss.calibration import preparation

    data, mc = (sources.read(str(joint_tables[name])) for name in ("data", "mc"))
    top = sources.background(f"{joint_tables['top']}=0.1", data)
    first = preparation.of(data, [mc, top.source], ["pf"], pileup=False)
    events = samples.events_of(data, mc, [top], first, ["pf"], factor=1.2)
    assert events.weights[events.data].sum() == pytest.approx(2600 - 1.2 * 0.1 * 300)
    assert events.u.shape == (5500, 2)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (
            ("qt", "boson_rapidity"),
            "data.parquet has no column boson_rapidity, which --context qt,boson_rapidity needs",
        ),
        (("npv", "qt"), "--context npv,qt: expected qt, the first"),
        (("qt", "mood"), "--context mood: expected some of qt, njets, npv, boson_rapidity"),
    ],
)
def test_a_context_that_is_not_there_is_one_line(joint_tables, context, message):
    data, mc = (sources.read(str(joint_tables[name])) for name in ("data", "mc"))
    with pytest.raises(OptionError, match=message):
        derivation.derive(data, mc, [], ["pf"], derivation.Options(context=context), minimum=300)


def test_another_method_is_one_line(joint_tables, tmp_path):
    from ptmiss import verbs

    with pytest.raises(UnknownName, match="--method"):
        verbs.calibrate(joint_tables["data"], joint_tables["mc"], tmp_path / "o", ["pf"], method="magic")
