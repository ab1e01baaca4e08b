import pickle

import awkward as ak
import correctionlib
import numpy as np
import pytest
from coffea.jetmet_tools import CorrectedMETFactory, CorrectionLibJEC, CorrectionLibJUNC

from ptmiss import events
from ptmiss.errors import ColumnError, OptionError, UnknownName
from ptmiss.estimators import evaluate, make_estimators
from ptmiss.estimators import type1 as module
from ptmiss.recoil import cartesian, magnitude
from ptmiss.systematics import NOMINAL

NONE = ak.Array([[{"eta": 0.0, "phi": 0.0, "pdgId": 13}]])[:, :0]
TAG, JETS = "Summer22_22Sep2023_V3_MC", "AK4PFPuppi"


@pytest.fixture(scope="module")
def files(shared):
    folder = shared / "analysis"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


@pytest.fixture(scope="module")
def jme(files):
    return str(files / "jme" / "jet_jerc_Summer22_V3.json.gz")


@pytest.fixture(scope="module")
def smear(files):
    return str(files / "jme" / "jer_smear_run3.json.gz")


def nano(files, name):
    source = events.inspect(str(files / "nano" / f"{name}.root"))
    return source, source.events()


def evaluated(estimators, source):
    return evaluate(estimators, source, NONE[np.zeros(len(source), int)])


def stored(source, name):
    return cartesian(ak.to_numpy(source[name].pt), ak.to_numpy(source[name].phi))


NAME_MAP = {
    "METpt": "pt", "METphi": "phi", "JetPt": "pt", "JetPhi": "phi", "JetEta": "eta", "JetA": "area", "Rho": "rho",
    "ptRaw": "pt_raw", "UnClusteredEnergyDeltaX": "dx", "UnClusteredEnergyDeltaY": "dy",
    "RawMETpt": "pt", "RawMETphi": "phi", "JetMuonSubtrFactor": "muonSubtrFactor",
    "JetMuonSubtrDeltaPhi": "muonSubtrDeltaPhi", "JetChEmEF": "chEmEF", "JetNeEmEF": "neEmEF",
    "CorrT1JetPt": "rawPt", "CorrT1JetPhi": "phi", "CorrT1JetEta": "eta", "CorrT1JetArea": "area",
    "CorrT1JetMuonSubtrFactor": "muonSubtrFactor", "CorrT1JetMuonSubtrDeltaPhi": "muonSubtrDeltaPhi",
    "CorrT1JetEmEF": "EmEF",
}  # fmt: skip


class Source(CorrectionLibJUNC):
    """One source for coffea's factory of pTmiss, which asks for numbers and not for pairs."""

    def getCorrection(self, **inputs):  # noqa: N802
        return self._sources[0][1].evaluate(*(inputs[name] for name in self.signature))


def by_coffea(source, jme):
    """PuppiMET and its variations by the total uncertainty, by coffea's own factory."""
    set_ = correctionlib.CorrectionSet.from_file(jme)
    rho = source.Rho.fixedGridRhoFastjetAll
    plain = lambda jets: ak.zip({name: jets[name] for name in jets.fields if "Idx" not in name}, depth_limit=2)
    jets, soft = plain(source.Jet), plain(source.CorrT1METJet)
    jets["pt_raw"], jets["rho"] = (1 - jets.rawFactor) * jets.pt, ak.broadcast_arrays(rho, jets.pt)[0]
    jets["JES_Total"] = ak.zip({"up": jets, "down": jets}, depth_limit=1)
    soft["rho"] = ak.broadcast_arrays(rho, soft.rawPt)[0]
    met = ak.zip({"pt": source.PuppiMET.pt, "phi": source.PuppiMET.phi, "dx": 0 * rho, "dy": 0 * rho})
    total = Source([("Total", set_[f"{TAG}_Total_{JETS}"])])
    levels = {"jec_L1L2L3": set_.compound[f"{TAG}_L1L2L3Res_{JETS}"], "jec_L1": set_[f"{TAG}_L1FastJet_{JETS}"]}
    correctors = {name: CorrectionLibJEC(level) for name, level in levels.items()}
    factory = CorrectedMETFactory(NAME_MAP, **correctors, jes_uncertainties={"JES_Total": total})
    raw = ak.zip({"pt": source.RawPuppiMET.pt, "phi": source.RawPuppiMET.phi})
    return factory.build(met, jets, in_RawMET=raw, in_CorrT1METJets=soft)


@pytest.mark.slow
def test_as_coffea_has_it(files, jme):
    _, source = nano(files, "nano_tt_v15")
    ours = evaluated(make_estimators(["type1.PuppiMET"], systematics=["jes"], jerc=jme), source)
    theirs = by_coffea(source, jme)
    pairs = {NOMINAL: theirs, "jes_up": theirs.JES_Total.up, "jes_down": theirs.JES_Total.down}
    every = ours.of("type1.PuppiMET", np.ones(len(source), bool))
    assert every.keys() == pairs.keys()
    for name, met in pairs.items():
        np.testing.assert_allclose(every[name], cartesian(met.pt, met.phi), atol=2e-3)
    assert magnitude(every["jes_up"] - every[NOMINAL]).mean() > 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "share"), [("nano_tt_v12", 0.1), ("nano_tt_v15", 0.6)])  # of v15 another era
def test_nearer_to_the_stored_one_than_the_raw_one(files, jme, name, share):
    _, source = nano(files, name)
    met = evaluated(make_estimators(["type1.PuppiMET"], jerc=jme), source).met["type1.PuppiMET"]
    target = stored(source, "PuppiMET")
    ours, raw = (np.median(magnitude(one - target)) for one in (met, stored(source, "RawPuppiMET")))
    assert ours < share * raw


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "raw", "target"), [("nano_tt_v12", "RawMET", "MET"), ("nano_tt_v15", "RawPFMET", "PFMET")]
)
def test_so_is_that_of_pf_although_its_own_jets_are_not_in_the_file(files, jme, name, raw, target):
    """NanoAOD of Run 3 has PUPPI jets, and CMS corrects the MET of PF with others."""
    _, source = nano(files, name)
    met = evaluated(make_estimators(["type1.PFMET"], jerc=jme), source).met["type1.PFMET"]
    far = [np.median(magnitude(one - stored(source, target))) for one in (met, stored(source, raw))]
    assert far[0] < 0.8 * far[1]


def test_a_jet_by_hand(jme):
    """One jet with a muon, one soft jet, one that is electromagnetic, and one that is soft without its muon."""
    jet = {"pt": [100.0, 50.0, 18.0], "eta": [0.5, 1.0, 0.3], "phi": [0.3, 2.0, -2.0], "area": [0.5] * 3}
    jet |= {"rawFactor": [0.1, 0.0, 0.0], "muonSubtrFactor": [0.2, 0.0, 0.5], "muonSubtrDeltaPhi": [0.05, 0, 0]}
    jet |= {"chEmEF": [0.1, 0.5, 0.1], "neEmEF": [0.1, 0.45, 0.1]}
    soft = {"rawPt": [14.5], "eta": [-1.5], "phi": [1.0], "area": [0.4], "muonSubtrFactor": [0.0], "EmEF": [0.2]}
    zipped = {
        "Jet": ak.zip({k: ak.Array([v]) for k, v in jet.items()}),
        "CorrT1METJet": ak.zip({k: ak.Array([v]) for k, v in soft.items()}),
        "RawPuppiMET": ak.zip({"pt": [30.0], "phi": [0.0]}),
        "Rho": ak.zip({"fixedGridRhoFastjetAll": [25.0]}),
        "run": ak.Array([1]),
        "event": ak.Array([7]),
    }
    source = ak.zip(zipped, depth_limit=1)
    set_ = correctionlib.CorrectionSet.from_file(jme).compound[f"{TAG}_L1L2L3Res_{JETS}"]
    expected = np.array([30.0, 0.0])
    for raw, muons, eta, phi in ((90.0, 0.2, 0.5, 0.35), (14.5, 0.0, -1.5, 1.0)):
        bare = raw * (1 - muons)
        expected -= bare * (set_.evaluate(0.5, eta, raw, 25.0) - 1) * np.array([np.cos(phi), np.sin(phi)])
    met = evaluated(make_estimators(["type1.PuppiMET"], jerc=jme), source).met["type1.PuppiMET"]
    np.testing.assert_allclose(met[0], expected, rtol=1e-5)


@pytest.mark.slow
def test_systematics_of_simulation_and_none_of_data(files, jme, smear):
    wanted = ["jes", "jer", "unclustered"]
    estimators = make_estimators(["type1.PuppiMET"], systematics=wanted, jerc=jme, smear=smear)
    split = make_estimators(["type1.PuppiMET"], systematics=["jes_regrouped"], jerc=jme, smear=smear)
    description, source = nano(files, "nano_tt_v12")
    estimators[0].require(description.branches, "a.root")
    result = evaluated(estimators, source)
    varied, nominal = result.varied["type1.PuppiMET"], result.met["type1.PuppiMET"]
    by_group = evaluated(split, source).varied["type1.PuppiMET"]
    assert (len(varied), len(by_group)) == (2 * 3, 2 * 11)
    shift = {name: met - nominal for name, met in (varied | by_group).items()}
    np.testing.assert_allclose(shift["jes_up"], -shift["jes_down"], atol=1e-9)
    groups = sum(shift[n] ** 2 for n in shift if n.startswith("jes_Regrouped") and n.endswith("_up"))
    assert 0.5 < np.sqrt(groups.sum() / (shift["jes_up"] ** 2).sum()) < 1.5
    np.testing.assert_allclose(
        shift["unclustered_up"],
        cartesian(source.PuppiMET.ptUnclusteredUp, source.PuppiMET.phiUnclusteredUp) - stored(source, "PuppiMET"),
        atol=1e-4,
    )
    theirs = cartesian(source.PuppiMET.ptJESUp, source.PuppiMET.phiJESUp) - stored(source, "PuppiMET")
    assert 0.5 < magnitude(shift["jes_up"]).mean() / magnitude(theirs).mean() < 1.5
    _, recorded = nano(files, "nano_tt_v12")
    recorded.metadata.update({"kind": "data", "era": "RunCD"})
    data = evaluated(estimators, recorded)
    assert data.varied == {}
    assert 0.1 < np.median(magnitude(data.met["type1.PuppiMET"] - nominal)) < 10  # other corrections, and no smearing


def test_the_unclustered_energy_of_pf_before_v15(files):
    _, source = nano(files, "nano_tt_v12")
    shifts = dict(module.unclustered_shifts(source, ("PFMET", "MET")))
    expected = np.stack([source.MET.MetUnclustEnUpDeltaX, source.MET.MetUnclustEnUpDeltaY], axis=-1)
    np.testing.assert_allclose(shifts["up"], expected)
    np.testing.assert_array_equal(shifts["down"], -shifts["up"])


def test_smearing_moves_simulation_and_widens_it(files, jme, smear):
    _, source = nano(files, "nano_tt_v12")
    plain, smeared = (
        evaluated(make_estimators(["type1.PuppiMET"], jerc=jme, smear=file), source).met["type1.PuppiMET"]
        for file in ("", smear)
    )
    moved = magnitude(smeared - plain)
    assert 0.5 < np.median(moved) < 5
    again = evaluated(make_estimators(["type1.PuppiMET"], jerc=jme, smear=smear), source).met["type1.PuppiMET"]
    np.testing.assert_array_equal(again, smeared)


def test_generated_jets_count_only_if_near():
    pt, none = 100.0, -1.0
    jets = ak.zip({"pt": [[pt] * 3], "eta": [[0.0] * 3], "phi": [[3.1, 3.1, 0.0]], "genJetIdx": [[0, 1, 5]]})
    gens = ak.zip({"pt": [[98.0, 97.0]], "eta": [[0.0, 0.3]], "phi": [[-3.1, 3.1]]})
    found = module.generated_partners(ak.zip({"Jet": jets, "GenJet": gens}, depth_limit=1))
    assert found["gen_pt"].tolist() == [[98.0, 97.0, none]]
    np.testing.assert_allclose(found["gen_dr"][0], [2 * np.pi - 6.2, 0.3, 0])


@pytest.mark.slow
def test_what_a_file_must_have(files, jme):
    (estimator,) = make_estimators(["type1.PuppiMET"], systematics=["unclustered"], jerc=jme)
    there, _ = nano(files, "nano_dy")
    message = r"needs RawPuppiMET_pt, RawPuppiMET_phi, PuppiMET_ptUnclusteredUp, which a\.root .* NanoAOD of version 9"
    with pytest.raises(ColumnError, match=message):
        estimator.require(there.branches, "a.root")
    (pf,) = make_estimators(["type1.PFMET"], systematics=["unclustered"], jerc=jme)
    pf.require(there.branches, "a.root")
    with pytest.raises(ColumnError, match="needs Rho_fixedGridRhoFastjetAll or fixedGridRhoFastjetAll, Jet_pt"):
        estimator.require(set(), "a.root")


def test_eras_sources_and_files(jme, smear):
    with pytest.raises(OptionError, match=r"'type1\.PuppiMET' needs a file with the energy corrections .*: --jerc"):
        make_estimators(["type1.PuppiMET"])
    with pytest.raises(UnknownName, match=r"unknown estimator 'type1\.PupiMET', did you mean 'type1\.PuppiMET'"):
        make_estimators(["type1.PupiMET"], jerc=jme)
    with pytest.raises(UnknownName, match=r"systematic of type1\.PuppiMET 'jess', did you mean 'jes'"):
        make_estimators(["type1.PuppiMET"], systematics=["jess"], jerc=jme)
    (estimator,) = make_estimators(["type1.PuppiMET"], systematics=["jes_FlavorQD"], jerc=jme)
    with pytest.raises(UnknownName, match=r"source of .* 'FlavorQD', did you mean 'FlavorQCD'"):
        estimator.require_era({}, simulated=True)
    estimator.require_era({"era": "RunCD"}, simulated=False)
    with pytest.raises(UnknownName, match=r"unknown era of .* for data 'RunE'"):
        estimator.require_era({"era": "RunE"}, simulated=False)
    (estimator,) = make_estimators(["type1.PuppiMET"], systematics=["jer"], jerc=jme)
    with pytest.raises(OptionError, match="systematic 'jer' needs a file with JERSmear beside"):
        estimator.require_era({}, simulated=True)
    assert pickle.loads(pickle.dumps(estimator)) == estimator


def test_systematics_of_some_estimators(jme):
    pf, type1 = make_estimators(["pf", "type1.PuppiMET"], systematics=["type1.PuppiMET=jes"], jerc=jme)
    assert (pf.systematics, type1.systematics) == ((), ("jes",))
    with pytest.raises(UnknownName, match=r"estimator with systematics 'puppi'.*; known: pf"):
        make_estimators(["pf"], systematics=["puppi=jes"])
