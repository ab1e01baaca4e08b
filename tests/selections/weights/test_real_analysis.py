"""One selection with weights on real events, by the command line."""

import json

import awkward as ak
import correctionlib
import numpy as np
import pytest
import uproot

from ptmiss import results

from ...helpers import call

PILEUP, MUONS = "lum/puWeights_2018_UL.json.gz", "muo/muon_Z_2018_UL.json.gz"
SELECTION = """
[quality]
era = "2018"
triggers = ["HLT_IsoMu24"]
golden_json = "{data}/cert/Cert_314472-325175_13TeV_Legacy2018_Collisions18_JSON.txt"

[weights.pileup]
kind = "pileup"
file = "{data}/lum/puWeights_2018_UL.json.gz"

[weights.muonId]
kind = "correction"
file = "{data}/muo/muon_Z_2018_UL.json.gz"
correction = "NUM_TightID_DEN_TrackerMuons"
objects = "muons"
inputs = {{eta = "eta", pt = "pt", scale_factors = "nominal"}}
up = {{scale_factors = "systup"}}
down = {{scale_factors = "systdown"}}
"""


def fileset(nano):
    about = {"data": {"kind": "data"}, "dy": {"kind": "mc", "cross_section": 6077.2}}
    names = {"data": "nano_dimuon.root", "dy": "nano_dy.root"}
    return {name: {"files": [str(nano / names[name])], "metadata": about[name]} for name in names}


def by_hand(data, variation="nominal"):
    """Weights of the selected muon pairs, from the branches and correctionlib alone, by event number."""
    pileup = correctionlib.CorrectionSet.from_file(str(data / PILEUP))["Collisions18_UltraLegacy_goldenJSON"]
    factor = correctionlib.CorrectionSet.from_file(str(data / MUONS))["NUM_TightID_DEN_TrackerMuons"]
    e = uproot.open(data / "nano/nano_dy.root")["Events"].arrays()
    good = (e.Muon_pt > 25) & (abs(e.Muon_eta) < 2.4) & e.Muon_looseId & (e.Muon_pfRelIso04_all < 0.15)
    pair = e[e.HLT_IsoMu24 & (ak.sum(good, axis=1) == 2)], good[e.HLT_IsoMu24 & (ak.sum(good, axis=1) == 2)]
    found = {}
    for event, muons in zip(*pair, strict=True):
        each = zip(event.Muon_eta[muons], event.Muon_pt[muons], strict=True)
        of_muons = np.prod([factor.evaluate(eta, pt, variation) for eta, pt in each])
        found[event.event] = event.genWeight * pileup.evaluate(event.Pileup_nTrueInt, "nominal") * of_muons
    return found


def test_the_files_have_the_reference_values(shared):
    data = shared / "analysis"
    references = json.loads((data / "reference_values.json").read_text())
    known = [r for r in references if r["file"] in (PILEUP, MUONS) and not str(r["value"]).startswith("RAISES")]
    assert {r["file"] for r in known} == {PILEUP, MUONS}
    for r in known:
        correction = correctionlib.CorrectionSet.from_file(str(data / r["file"]))[r["correction"]]
        assert correction.evaluate(*r["args"]) == pytest.approx(r["value"], rel=1e-9)


@pytest.mark.slow
def test_real_data_and_simulation_with_weights_and_certified_sections(shared, tmp_path):
    data = shared / "analysis"
    (tmp_path / "s.toml").write_text(SELECTION.format(data=data))
    (tmp_path / "f.json").write_text(json.dumps(fileset(data / "nano")))
    chosen = ("--fileset", tmp_path / "f.json", "--selection", tmp_path / "s.toml", "--estimators", "stored.MET")
    call("run", "zmumu", *chosen, "-o", tmp_path / "out")
    call("skim", *chosen, "--raw-weights", "-o", tmp_path / "t.parquet")
    made = results.load(tmp_path / "out")
    flows = {name: about["cutflow"] for name, about in made.manifest["datasets"].items()}
    table = ak.from_parquet(tmp_path / "t.parquet")
    pairs = table[table.boson_pt > 0]
    assert {name: ak.sum(pairs.dataset == name) for name in flows} == {n: f["events"]["mass"] for n, f in flows.items()}
    simulated = pairs[pairs.dataset == "dy"]
    nominal, up = by_hand(data), by_hand(data, "systup")
    events = simulated.event.tolist()
    assert len(events) == 3
    assert simulated.weight.tolist() == pytest.approx([nominal[n] for n in events], rel=1e-6)
    assert simulated.weight_muonId_up.tolist() == pytest.approx([up[n] for n in events], rel=1e-6)
    assert flows["dy"]["sum of weights"]["mass"] == pytest.approx(sum(nominal[n] for n in events), rel=1e-6)
    filled = made.histograms["dy"]["met"]
    assert {"pileup_up", "pileup_down", "muonId_up", "muonId_down"} <= set(filled.axes["systematic"])
    assert flows["data"]["events"]["all"] == 40
    assert set(pairs[pairs.dataset == "data"].weight.tolist()) == {1.0}
