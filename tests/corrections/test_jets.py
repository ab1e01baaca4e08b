import json

import numpy as np
import pytest

from ptmiss.corrections import jets as jerc
from ptmiss.errors import CorrectionError, FileError, OptionError, UnknownName

JETS = {"JetPt": np.array([50.0, 30.0]), "JetEta": np.array([0.5, -2.7]), "JetA": np.array([0.5, 0.5]), "Rho": 25.0}


@pytest.fixture(scope="module")
def files(shared):
    folder = shared / "analysis" / "jme"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder / "jet_jerc_Summer22_V3.json.gz", folder / "jer_smear_run3.json.gz"


@pytest.fixture(scope="module")
def simulated(files):
    return jerc.load(files[0], "mc", smear=files[1])


def test_corrections_are_those_that_correctionlib_gives(simulated, files):
    np.testing.assert_allclose(simulated.factor(jerc.ALL, JETS), [1.07429978718, 1.43597782137], rtol=1e-10)
    data = jerc.load(files[0], "data", "RunCD")
    assert data.tag == "Summer22_22Sep2023_RunCD_V3_DATA"
    np.testing.assert_allclose(data.factor(jerc.ALL, JETS)[0], 1.06873573644, rtol=1e-10)
    np.testing.assert_array_equal(simulated.factor(jerc.OFFSET, JETS), 1)  # PUPPI jets have no pile-up offset


def test_uncertainties(simulated):
    np.testing.assert_allclose(simulated.uncertainty(jerc.TOTAL, JETS)[0], 0.0153615384615, rtol=1e-10)
    assert {"FlavorQCD", "AbsoluteScale", "Regrouped_HF"} < set(simulated.sources)
    assert not {"L1FastJet", "L1L2L3Res", "PtResolution"} & set(simulated.sources)


def test_groups_of_sources_add_up_to_the_total(simulated):
    parts = sum(simulated.uncertainty(source, JETS) ** 2 for source in simulated.regrouped)
    assert len(simulated.regrouped) == 11
    np.testing.assert_allclose(np.sqrt(parts), simulated.uncertainty(jerc.TOTAL, JETS), rtol=0.02)


def test_smearing_with_a_generated_jet_scales_the_difference(simulated):
    near, none = simulated.smearing(JETS, np.array([48.0, jerc.NO_PARTNER]), np.array([12345, 12345]))
    factor = simulated.file["Summer22_22Sep2023_JRV1_MC_ScaleFactor_AK4PFPuppi"]
    scale = factor({"JetEta": 0.5, "JetPt": 50.0, "systematic": "nom"})
    np.testing.assert_allclose(near, 1 + (scale - 1) * (50 - 48) / 50, rtol=1e-12)
    assert none == 1  # none is smeared at random between 2.5 and 3


def test_smearing_is_the_same_each_time_and_has_the_right_width(simulated):
    n = 20_000
    rng = np.random.default_rng(1)
    jets = {"JetPt": rng.uniform(49.9, 50.1, n), "JetEta": np.full(n, 0.5), "Rho": np.full(n, 25.0)}
    event = np.arange(n)
    factor = simulated.smearing(jets, np.full(n, jerc.NO_PARTNER), event)
    np.testing.assert_array_equal(factor, simulated.smearing(jets, np.full(n, jerc.NO_PARTNER), event))
    assert np.std(factor) == pytest.approx(0.13275 * np.sqrt(1.128**2 - 1), rel=0.03)
    up = simulated.smearing(jets, np.full(n, jerc.NO_PARTNER), event, "up")
    assert np.std(up) == pytest.approx(0.13275 * np.sqrt(1.146**2 - 1), rel=0.03)


def test_beyond_the_binning_the_last_bin_counts(simulated):
    far = {**JETS, "JetEta": np.array([5.4, -5.4])}
    edge = {**JETS, "JetEta": np.array([5.19, -5.19])}
    np.testing.assert_array_equal(simulated.uncertainty(jerc.TOTAL, far), simulated.uncertainty(jerc.TOTAL, edge))


def compound(name):
    inputs = [{"name": part, "type": "real"} for part in ("JetPt", "JetEta")]
    stack = {"inputs": inputs, "inputs_update": ["JetPt"], "input_op": "*", "output_op": "*", "stack": ["L"]}
    return {"name": name, "output": {"name": "f", "type": "real"}, **stack}


@pytest.fixture
def eras(tmp_path):
    """A file of two eras of data and no simulation."""
    inputs = [{"name": name, "type": "real"} for name in ("JetPt", "JetEta")]
    one = {"name": "L", "version": 1, "inputs": inputs, "data": 1.5}
    one["output"] = {"name": "f", "type": "real"}
    compounds = [compound(f"Tag_Run{era}_V1_DATA_L1L2L3Res_AK4PFPuppi") for era in "BC"]
    path = tmp_path / "jerc.json"
    path.write_text(json.dumps({"schema_version": 2, "corrections": [one], "compound_corrections": compounds}))
    return path


def test_eras(eras):
    assert jerc.load(eras, "data", "RunC").tag == "Tag_RunC_V1_DATA"
    with pytest.raises(OptionError, match="has several eras for data: expected one of Tag_RunB_V1_DATA, Tag_RunC"):
        jerc.load(eras, "data")
    with pytest.raises(UnknownName, match=r"unknown era of .* for data 'RunD'.*; known: Tag_RunB_V1_DATA, Tag_RunC"):
        jerc.load(eras, "data", "RunD")
    with pytest.raises(UnknownName, match="for data 'Run'"):
        jerc.load(eras, "data", "Run")
    with pytest.raises(CorrectionError, match=r"has no energy correction of jets for mc: no \*_MC_L1L2L3Res_"):
        jerc.load(eras, "mc")
    with pytest.raises(UnknownName, match="kind of events 'pseudo'"):
        jerc.load(eras, "pseudo")
    with pytest.raises(FileError, match="no such correction file"):
        jerc.load(eras.parent / "none.json", "mc")


def test_what_is_missing(eras, simulated, files):
    data = jerc.load(eras, "data", "RunC")
    with pytest.raises(CorrectionError, match="needs JetPt of each jet"):
        data.factor(jerc.ALL, {"JetEta": np.zeros(1)})
    with pytest.raises(CorrectionError, match=r"has nothing, expected one .*_MC_PtResolution_AK4PFPuppi"):
        data.resolution(JETS)
    with pytest.raises(CorrectionError, match="no file with JERSmear was given"):
        jerc.load(files[0], "mc").smearing(JETS, np.zeros(2), np.zeros(2, int))
    with pytest.raises(UnknownName, match=r"source of .* 'FlavourQCD', did you mean 'FlavorQCD'"):
        simulated.uncertainty("FlavourQCD", JETS)
