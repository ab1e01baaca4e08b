"""Corrected momenta and photons of muons, from the selection to pTmiss, histograms and recoil tables."""

import json
from contextlib import nullcontext

import awkward as ak
import correctionlib
import numpy as np
import pytest
import uproot

from ptmiss import events, results, table
from ptmiss.errors import ColumnError, OptionError
from ptmiss.estimators import make_estimators
from ptmiss.processors.boson import Zmumu
from ptmiss.processors.neutrino import Wmunu
from ptmiss.processors.skim import Skim
from ptmiss.recoil import cartesian
from ptmiss.resolutions import from_table, has_boson
from ptmiss.resolutions.moments import sums
from ptmiss.selections import load_selection
from ptmiss.systematics import NOMINAL

from ..helpers import call
from ..selections.weights.events import DATA

NANO = DATA / "nano/nano_dy.root"
real = pytest.mark.skipif(not NANO.is_file(), reason="needs public NanoAOD files")
FORMULAS = """
[leptons.momentum]
pt = "1.01 * pt"
scale_up = "1.02 * pt"
scale_down = "1.0 * pt"
"""


@pytest.fixture(scope="module")
def source(invented):
    """Invented Z → μμ."""
    return events.inspect(str(invented)).events(0, 400)


@pytest.fixture
def written(tmp_path):
    def write(text):
        (tmp_path / "s.toml").write_text(text)
        return load_selection(tmp_path / "s.toml")

    return write


def skimmed(source, selection, *estimators):
    rows = Skim(make_estimators(list(estimators)), selection).process(source)
    return table.RecoilTable(rows["rows"], {"selection": selection.model_dump(mode="json")}), rows["notes"]


def u_of(found, estimator, systematic=""):
    met = found.varied_met(estimator, systematic) if systematic else found.met(estimator)
    return -(found.vector("boson", systematic) + met)


def test_the_recoil_stays_and_the_boson_moves(source, written):
    """Muons 1 % harder: V grows by 1 %, pTmiss loses that, u is the same vector for every estimator."""
    wide = 'mass = ["60 GeV", "120 GeV"]\n[leptons]\npt = "10 GeV"\n'
    before, _ = skimmed(source, written(wide), "pf", "puppi", "deepmet")
    after, _ = skimmed(source, written(wide + FORMULAS), "pf", "puppi", "deepmet")
    both = np.isfinite(before["boson_pt"]) & np.isfinite(after["boson_pt"])
    assert both.sum() > 100
    np.testing.assert_allclose(after["boson_pt"][both], 1.01 * before["boson_pt"][both], rtol=1e-5)
    np.testing.assert_allclose(after["boson_mass"][both], 1.01 * before["boson_mass"][both], rtol=1e-4)
    for name in ("pf", "puppi", "deepmet"):
        for systematic in ("", "muon_scale_up", "muon_scale_down"):
            np.testing.assert_allclose(u_of(after, name, systematic)[both], u_of(before, name)[both], atol=5e-3)
        lost = before.met(name) - after.met(name)
        np.testing.assert_allclose(lost[both], 0.01 * before.vector("boson")[both], atol=5e-3)
    up = after.vector("boson", "muon_scale_up")[both]
    np.testing.assert_allclose(up, 1.02 * before.vector("boson")[both], rtol=1e-4, atol=1e-3)


def test_cuts_are_on_corrected_momenta(source, written):
    found, _ = skimmed(source, written('[leptons.momentum]\npt = "2 * pt"\n'), "pf")
    assert not np.isfinite(found.select(has_boson(found, "boson"))["boson_pt"]).any()
    more, _ = skimmed(source, written('[leptons]\npt = "26 GeV"\n[leptons.momentum]\npt = "1.04 * pt"\n'), "pf")
    usual, _ = skimmed(source, load_selection(), "pf")
    assert np.isfinite(more["boson_pt"]).sum() == np.isfinite(usual["boson_pt"]).sum()  # 26 of 1.04 is 25 GeV


def test_a_run_and_a_table_give_the_same_variations(source, written):
    selection = written(FORMULAS)
    run = Zmumu(make_estimators(["pf"]), selection).process(source)
    found, _ = skimmed(source, selection, "pf")
    of_table = from_table(found)
    assert set(run["moments"].axes["systematic"]) == {NOMINAL, "muon_scale_up", "muon_scale_down"}
    for systematic in run["moments"].axes["systematic"]:
        one, other = (sums(h["moments"], "pf", systematic).total() for h in (run, of_table))
        for moment, value in one.moments.items():
            assert value == pytest.approx(other.moments[moment], rel=1e-4, abs=1e-3)
    up, nominal = (sums(run["moments"], "pf", s).total() for s in ("muon_scale_up", NOMINAL))
    assert up(qt=1) / nominal(qt=1) == pytest.approx(1.02 / 1.01, rel=1e-6)


def test_data_are_corrected_and_not_varied(invented, written):
    selection = written(FORMULAS)
    recorded = events.inspect(str(invented)).events(0, 100)
    recorded.metadata["kind"] = "data"
    run = Zmumu(make_estimators(["pf"]), selection).process(recorded)
    assert list(run["moments"].axes["systematic"]) == [NOMINAL]


def test_a_single_lepton_moves_what_is_seen_of_the_boson(source, written):
    """One muon and the generated boson of none: mT moves with the lepton."""
    one = ak.with_field(source, source.Muon[ak.argsort(source.Muon.pt, ascending=False)][:, :1], "Muon")
    run = Wmunu(make_estimators(["pf"]), written(FORMULAS)).process(one)
    assert set(run["mt"].axes["systematic"]) == {NOMINAL, "muon_scale_up", "muon_scale_down"}
    found, _ = skimmed(one, written(FORMULAS), "pf")
    known = np.isfinite(found["lepton_pt"])
    assert known.sum() > 100
    ratio = found["lepton_pt_muon_scale_up"][known] / found["lepton_pt"][known]
    np.testing.assert_allclose(ratio, 1.02 / 1.01, rtol=1e-5)


@pytest.fixture(scope="module")
def radiating(source):
    """The events, with a photon of 8 GeV near the first muon in every second one, among the candidates too."""
    muons, candidates = source.Muon, source.PFCands
    some = ak.Array(np.arange(len(source)) % 2 == 0) & (ak.num(muons) > 0)
    first = ak.local_index(muons.pt) == 0
    near = {"pt": muons.pt * 0 + 8.0, "eta": muons.eta + 0.08, "phi": muons.phi + 0.06}
    chosen = first & some
    good = {"relIso03": muons.pt * 0 + 0.5, "dROverEt2": muons.pt * 0 + 0.002, "muonIdx": ak.local_index(muons.pt)}
    photons = ak.zip({**near, **good})[chosen]
    index = ak.where(chosen, 0, -1)
    found = ak.with_field(source, photons, "FsrPhoton")
    found = ak.with_field(found, ak.with_field(muons, index, "fsrPhotonIdx"), "Muon")
    own = ak.zip({name: candidates[name] for name in candidates.fields})
    extra = dict.fromkeys(candidates.fields, photons.pt * 0) | {name: photons[name] for name in ("pt", "eta", "phi")}
    extra["pdgId"] = ak.values_astype(photons.pt * 0 + 22, np.int32)
    types = {name: ak.type(own[name]).content.content.primitive for name in own.fields}
    extra = ak.zip({name: ak.values_astype(extra[name], types[name]) for name in own.fields})
    return ak.with_field(found, ak.concatenate([own, extra], axis=1), "PFCands")


def test_a_radiated_photon_is_added_to_its_muon(radiating, written):
    selection = written("[leptons.fsr]\n")
    plain, _ = skimmed(radiating, load_selection(), "pf")
    found, notes = skimmed(radiating, selection, "pf")
    both = np.isfinite(plain["boson_pt"]) & np.isfinite(found["boson_pt"])
    muons = radiating.Muon[both]
    with_photon = ak.to_numpy(ak.any(muons.fsrPhotonIdx == 0, axis=1))
    gain = (found.vector("boson") - plain.vector("boson"))[both]
    phi = ak.to_numpy(muons.phi[:, 0]) + 0.06
    np.testing.assert_allclose(gain[with_photon], cartesian(8, phi)[with_photon], atol=0.02)
    np.testing.assert_allclose(gain[~with_photon], 0, atol=1e-4)
    assert with_photon.sum() > 20
    np.testing.assert_allclose(found.met("pf"), plain.met("pf"), atol=1e-3)  # the photon was there already
    assert not any("without a candidate" in note for note in notes)


def test_a_network_does_not_count_the_photon(radiating, source, written):
    """The photon counts exactly: pTmiss with it is that of events without it, less the photon."""
    found, _ = skimmed(radiating, written("[leptons.fsr]\n"), "deepmet", "puppi")
    none, _ = skimmed(source, load_selection(), "deepmet")
    chosen = ak.to_numpy(ak.num(radiating.FsrPhoton.pt) == 1) & np.isfinite(found["boson_pt"])
    photon = radiating.FsrPhoton[chosen]
    momentum = cartesian(ak.to_numpy(photon.pt[:, 0]), ak.to_numpy(photon.phi[:, 0]))
    np.testing.assert_allclose(found.met("deepmet")[chosen], none.met("deepmet")[chosen] - momentum, atol=3e-3)


@pytest.mark.parametrize(("change", "value"), [("relIso03", 2.0), ("dROverEt2", 0.02), ("muonIdx", 1)])
def test_a_photon_that_fails_is_left_where_it_is(radiating, written, change, value):
    worse = ak.with_field(radiating.FsrPhoton, radiating.FsrPhoton.pt * 0 + value, change)
    found, _ = skimmed(ak.with_field(radiating, worse, "FsrPhoton"), written("[leptons.fsr]\n"), "pf")
    plain, _ = skimmed(radiating, load_selection(), "pf")
    np.testing.assert_allclose(found["boson_pt"], plain["boson_pt"], rtol=1e-5)


def test_the_scale_of_leptons_is_varied_once(written, invented):
    file = events.inspect(str(invented))
    for names, wrong in (["kinds"], True), (["photons", "electrons"], False):
        processor = Zmumu(make_estimators(["pf"], systematics=names), written(FORMULAS))
        expected = pytest.raises(OptionError, match=r"^systematic 'muons' of pf and \[leptons.momentum\]")
        with expected if wrong else nullcontext():
            processor.require(file.branches, file.path, {})


def test_what_a_file_lacks_is_said_before_any_event(written):
    for text, branch in (("[leptons.fsr]\n", "Muon_fsrPhotonIdx"), (FORMULAS.replace("1.01 * pt", "tkpt"), "tkpt")):
        processor = Zmumu(make_estimators(["stored.MET"]), written(text))
        every = {f"Muon_{n}" for n in ("pt", "eta", "phi", "mass", "charge", "looseId", "pfRelIso04_all")}
        every |= {"Jet_pt", "Jet_eta", "Jet_phi", "MET_pt", "MET_phi", "PV_npvs"}
        with pytest.raises(ColumnError, match=rf"{branch}.*a\.root does not have"):
            processor.require(every, "a.root", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[leptons.momentum]\n", "expected a file, or a formula"),
        ('[leptons.momentum]\nfile = "a.json"\npt = "pt"\n', "file and pt both give the momentum"),
        ('[leptons.momentum]\nscael_up = "pt"\n', "unknown key, did you mean 'leptons.momentum.scale_up'"),
        ('[leptons.momentum]\npt = "2 * (pt"\n', "formula"),
        ('[leptons]\nflavour = "electron"\n[leptons.fsr]\n', "fsr adds photons to muons"),
        ('[leptons.fsr]\nisolation_maximum = "1 GeV"\n', "isolation_maximum"),
    ],
)
def test_a_slip_is_one_line(written, text, message):
    with pytest.raises(OptionError, match=message) as error:
        written(text)
    assert "\n" not in str(error.value)


REAL = """
base = "{base}"
[btag]
veto = "none"
[leptons.momentum]
file = "{data}/{file}"
{more}
"""
MUON_FILE = "muo/muon_scalesmearing_2022_Summer22_schemaV2.json.gz"
ELECTRON_FILE = "egm/electronSS_EtDependent_2022_Summer22.json.gz"


@real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "file", "more"),
    [
        ("default", MUON_FILE, "[leptons.fsr]"),
        ("z-ee", ELECTRON_FILE, ""),
        ("z-ee", "egm/EGM_ScaleUnc_2018_UL.json.gz", 'year = "2018"\nresolution_up = "pt + energyErr / cosh(eta)"'),
    ],
)
def test_real_events_at_the_command_line(tmp_path, base, file, more):
    """Corrected momenta of real muons and electrons; the same random numbers in one chunk and in many."""
    (tmp_path / "s.toml").write_text(REAL.format(base=base, data=DATA, file=file, more=more))
    (tmp_path / "f.json").write_text(json.dumps({"dy": {"files": [str(NANO)], "metadata": {"kind": "mc"}}}))
    call("selection", "check", tmp_path / "s.toml", "--file", NANO)
    chosen = ("--fileset", tmp_path / "f.json", "--selection", tmp_path / "s.toml", "--estimators", "stored.MET")
    call("skim", *chosen, "-o", tmp_path / "whole.parquet")
    call("skim", *chosen, "--chunksize", "7", "-o", tmp_path / "parts.parquet")
    whole, parts = (table.read(tmp_path / f"{name}.parquet") for name in ("whole", "parts"))
    for name in (name for name in whole.data.column_names if name != table.DATASET):
        np.testing.assert_array_equal(whole[name], parts[name])
    flavour = "electron" if base == "z-ee" else "muon"
    assert f"{flavour}_scale_up" in whole.systematics("stored.MET")
    assert f"{flavour}_resolution_up" in whole.systematics("stored.MET")
    has = np.isfinite(whole["boson_pt"])
    assert 0 < has.sum() < 10
    assert not np.array_equal(whole[f"boson_pt_{flavour}_scale_up"][has], whole["boson_pt"][has])
    made = uproot.open(NANO)["Events"].arrays(["MET_pt", "MET_phi"])
    stored = cartesian(made.MET_pt.to_numpy(), made.MET_phi.to_numpy())
    u = -(whole.vector("boson") + whole.met("stored.MET"))
    up = -(whole.vector("boson", f"{flavour}_scale_up") + whole.varied_met("stored.MET", f"{flavour}_scale_up"))
    np.testing.assert_allclose(u[has], up[has], atol=1e-3)
    moved = np.hypot(*(whole.met("stored.MET") - stored).T)[has]
    assert (moved < 5).all()


@pytest.mark.slow
@real
def test_scaled_muons_of_real_data(tmp_path):
    """Real dimuons of 2018 with the formula of the muon group, from plain correctionlib."""
    data = DATA / "nano/nano_dimuon.root"
    (tmp_path / "s.toml").write_text(f'[leptons.momentum]\nfile = "{DATA / MUON_FILE}"\n')
    (tmp_path / "f.json").write_text(json.dumps({"data": {"files": [str(data)], "metadata": {"kind": "data"}}}))
    chosen = ("--fileset", tmp_path / "f.json", "--selection", tmp_path / "s.toml", "--estimators", "stored.MET")
    call("skim", *chosen, "-o", tmp_path / "t.parquet")
    call("run", "zmumu", *chosen, "-o", tmp_path / "run")
    assert results.load(tmp_path / "run").manifest["selection"]["leptons"]["momentum"]["file"].endswith("V2.json.gz")
    found = table.read(tmp_path / "t.parquet")
    raw = correctionlib.CorrectionSet.from_file(str(DATA / MUON_FILE))
    e = uproot.open(data)["Events"].arrays()
    row = int(np.flatnonzero(np.isfinite(found["boson_pt"]))[0])
    good = (e.Muon_pt > 25) & (abs(e.Muon_eta) < 2.4) & e.Muon_looseId & (e.Muon_pfRelIso04_all < 0.15)
    px = py = 0.0
    for pt, eta, phi, q in zip(*(e[f"Muon_{n}"][good][row] for n in ("pt", "eta", "phi", "charge")), strict=True):
        m, a = (raw[f"{name}_data"].evaluate(float(eta), float(phi), "nom") for name in ("m", "a"))
        new = 1 / (m / pt + q * a) if 26 < pt < 200 else pt
        px, py = px + new * np.cos(phi), py + new * np.sin(phi)
    assert found["boson_pt"][row] == pytest.approx(np.hypot(px, py), rel=1e-5)
