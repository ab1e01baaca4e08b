"""The three processors and the skim on invented and on real events."""

import awkward as ak
import numpy as np
import pytest

from ptmiss import events, resolutions, table, truth
from ptmiss.errors import ColumnError, OptionError, UnknownName
from ptmiss.estimators import Estimator, make_estimators
from ptmiss.processors.base import LEFT_OUT
from ptmiss.processors.boson import Zmumu
from ptmiss.processors.neutrino import Wmunu
from ptmiss.processors.skim import Skim
from ptmiss.processors.validation import Validation
from ptmiss.recoil import cartesian, magnitude, project, recoil, transverse_mass
from ptmiss.resolutions.moments import sums
from ptmiss.selections.quality import NO_FILTERS


@pytest.fixture(scope="module")
def source(invented):
    return events.inspect(str(invented)).events()


def everything(out, estimator):
    return sums(out["moments"], estimator).part(slice(None))


def z_events(source):
    """Events that pass the selection, by formulas of their own: boson and PF pTmiss."""
    mu = source.Muon
    tight = ak.all((mu.pt > 25) & (abs(mu.eta) < 2.4), axis=1)
    mass = (mu[:, 0] + mu[:, 1]).mass
    keep = ak.to_numpy(tight & (mass > 80) & (mass < 100))
    boson = sum(cartesian(mu.pt[keep][:, i], mu.phi[keep][:, i]) for i in (0, 1))
    cands = source.PFCands[keep]
    met = -np.stack([ak.sum(cands.pt * f(cands.phi), axis=1).to_numpy() for f in (np.cos, np.sin)], axis=1)
    return boson, met


def test_zmumu_measures_the_recoil_of_selected_events(source):
    out = Zmumu(make_estimators(["pf", "puppi"])).process(source)
    boson, met = z_events(source)
    u = recoil(boson, met)
    total = everything(out, "pf")
    assert out["cutflow"]["events"]["mass"] == total() == len(boson)
    assert total(par=1) == pytest.approx(u.u_par.sum(), rel=1e-4)
    assert total(perp=2) == pytest.approx((u.u_perp**2).sum(), rel=1e-4)
    assert everything(out, "puppi")(perp=2) < total(perp=2)
    assert out["met"].sum(flow=True).value == 2 * len(boson)


class Sometimes(Estimator):
    """PF, but of every third event."""

    name = "sometimes"
    columns = ("pt", "phi")

    def met(self, events, candidates, selected, notes):
        """(events, 2) pTmiss in GeV."""
        met = make_estimators(["pf"])[0].met(events, candidates, selected, notes)
        return np.where((np.arange(len(met)) % 3 == 0)[:, np.newaxis], met, np.nan)


def test_all_estimators_are_measured_on_the_events_that_all_have(source):
    alone = Zmumu(make_estimators(["pf"])).process(source)
    out = Zmumu([*make_estimators(["pf"]), Sometimes()]).process(source)
    n = int(everything(alone, "pf")())
    assert everything(out, "pf")() == everything(out, "sometimes")() < n
    assert everything(out, "pf")(perp=2) == everything(out, "sometimes")(perp=2)
    assert out["notes"][LEFT_OUT] == n - everything(out, "pf")()
    assert LEFT_OUT not in alone["notes"]


def test_wmunu_fills_mt_and_the_recoil_against_the_generated_boson(source):
    def one_muon(events_):
        return ak.with_field(events_, events_.Muon[:, :1], "Muon")

    wlike = one_muon(source)
    neutrino = {"pdgId": 14, "status": 1, "statusFlags": truth.FROM_HARD_PROCESS, "eta": 0.0, "mass": 0.0}
    lepton = wlike.Muon[:, 0]
    generated = [
        [{**neutrino, "pt": 30.0, "phi": 1.0}, {**neutrino, "pdgId": 13, "pt": p, "phi": f, "eta": e}]
        for p, f, e in zip(lepton.pt.to_list(), lepton.phi.to_list(), lepton.eta.to_list(), strict=True)
    ]
    wlike = ak.with_field(wlike, ak.Array(generated), "GenPart")
    out = Wmunu(make_estimators(["pf"])).process(wlike)
    selected = out["cutflow"]["events"]["one muon"]
    assert 50 < selected < 300
    assert everything(out, "pf")() == selected
    assert out["mt"].sum(flow=True).value == selected
    keep = ak.to_numpy((lepton.pt > 25) & (abs(lepton.eta) < 2.4))
    cands = source.PFCands[keep]
    met = -np.stack([ak.sum(cands.pt * f(cands.phi), axis=1).to_numpy() for f in (np.cos, np.sin)], axis=1)
    mu = cartesian(lepton.pt[keep], lepton.phi[keep])
    mt = transverse_mass(mu, met)
    counts, _ = np.histogram(mt, out["mt"].axes["mt"].edges)
    assert np.abs(out["mt"][0, 0, :].values() - counts).sum() <= 4  # rounding may move an event by a bin
    u = recoil(mu + cartesian(30.0, 1.0), met, mu)
    assert everything(out, "pf")(par=1) == pytest.approx(u.u_par.sum(), rel=1e-3)
    assert out["notes"] == {NO_FILTERS: len(source)}
    two = ak.with_field(wlike, ak.concatenate([wlike.GenPart, wlike.GenPart], axis=1), "GenPart")
    without = Wmunu(make_estimators(["pf"])).process(two)
    assert without["notes"] == {
        "simulated event without a boson of its own: XY alone, and no recoil": selected,
        NO_FILTERS: len(source),
    }
    assert without["moments"].sum(flow=True) == 0
    assert without["mt"].sum(flow=True).value == selected


def test_wmunu_on_data_has_pt_miss_and_mt_but_no_recoil(source):
    out = Wmunu(make_estimators(["pf"])).process(ak.with_field(source, source.Muon[:, :1], "Muon"))
    assert out["mt"].sum(flow=True).value > 0
    assert out["moments"].sum(flow=True) == 0


def test_wmunu_sees_the_candidates_from_the_vertex_of_the_lepton(source):
    muon = ak.with_field(source.Muon[:, :1], source.Muon[:, :1].pt * 0 + 0.9, "dz")
    wlike = ak.with_field(source, muon, "Muon")
    wlike = ak.with_field(wlike, ak.zip({"npvs": source.PV.npvs, "z": source.PV.npvs * 0 + 1.0}), "PV")
    wlike = ak.with_field(wlike, ak.Array([[{"z": 2.0}]] * len(wlike)), "OtherPV")
    default, moved = (
        Wmunu(make_estimators(["pf", "track"]), vertex=name).process(wlike) for name in ("default", "lepton")
    )
    selected = default["cutflow"]["events"]["one muon"]
    assert moved["notes"]["event with another vertex than the file's, its lepton's"] == selected > 50
    values = [[out["mt"][{"estimator": name}].values() for name in ("pf", "track")] for out in (default, moved)]
    np.testing.assert_array_equal(values[0][0], values[1][0])
    assert (values[0][1] != values[1][1]).any()
    with pytest.raises(UnknownName, match="unknown vertex 'muon'"):
        Wmunu(make_estimators(["pf"]), vertex="muon")


def test_validation_takes_the_generated_pt_miss_as_truth(pfnano):
    source = events.inspect(str(pfnano)).events()
    out = Validation(make_estimators(["pf", "stored.RawMET"])).process(source)
    genmet = cartesian(source.GenMET.pt, source.GenMET.phi)
    raw = cartesian(source.RawMET.pt, source.RawMET.phi)
    along, across = project(raw, genmet)
    weight = source.genWeight.to_numpy().astype(float)
    total = everything(out, "stored.RawMET")
    assert total(par=1) == pytest.approx((weight * along).sum(), rel=1e-6)
    assert total(2, perp=2) == pytest.approx((weight**2 * across**2).sum(), rel=1e-6)
    assert total(qt=1) == pytest.approx((weight * magnitude(genmet)).sum(), rel=1e-6)


def test_validation_stops_at_data_before_any_event_is_read(invented):
    there = events.inspect(str(invented)).branches
    processor = Validation(make_estimators(["pf"]))
    processor.require(there, "a.root", {"kind": "mc"})
    with pytest.raises(OptionError, match=r'needs generated pTmiss: a\.root is of a dataset with "kind": "data"'):
        processor.require(there, "a.root", {"kind": "data"})


def test_skim_keeps_what_is_seen_of_the_boson(drell_yan):
    """The recoil of a perfect estimator is the boson's in every event, also for a Z with one selected muon."""
    source = events.inspect(str(drell_yan)).events()
    rows = table.RecoilTable(Skim(make_estimators(["stored.MET"])).process(source)["rows"], {})
    boson, visible = rows.vector("genboson"), rows.vector("genseen")
    neutrinos = boson - visible  # what perfect pTmiss is, but for the measured muons
    u = recoil(boson, neutrinos, visible)
    np.testing.assert_allclose(u.u_par, u.qt, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(u.u_perp, 0, atol=1e-3)
    assert np.isfinite(boson).all()
    selected = rows.select(np.isfinite(rows["boson_pt"]) | np.isfinite(rows["lepton_pt"]))
    np.testing.assert_array_equal(resolutions.visible(selected), selected.vector("genseen"))


def test_skim_keeps_every_event_and_marks_those_without_a_boson(source):
    out = Skim(make_estimators(["pf"])).process(source)
    rows = table.RecoilTable(out["rows"], {})
    assert len(rows) == 300
    boson, met = z_events(source)
    window = (rows["boson_mass"] > 80) & (rows["boson_mass"] < 100)
    np.testing.assert_allclose(rows.vector("boson")[window], boson, rtol=1e-3, atol=0.01)
    np.testing.assert_allclose(rows.met("pf")[window], met, atol=0.01)
    np.testing.assert_array_equal(np.isfinite(rows["boson_rapidity"]), np.isfinite(rows["boson_pt"]))
    assert np.isnan(rows["lepton_pt"])[window].all()
    assert (np.isfinite(rows["boson_pt"]) & np.isfinite(rows["lepton_pt"])).sum() == 0
    single = np.isfinite(rows["lepton_pt"])
    assert single.any()
    assert rows["lepton_pt"][single].min() > 25


@pytest.mark.slow
@pytest.mark.parametrize("cls", [Zmumu, Wmunu, Validation, Skim])
def test_real_drell_yan_events_with_stored_mets(drell_yan, cls):
    source = events.inspect(str(drell_yan)).events()
    out = cls(make_estimators(["stored.MET", "stored.PuppiMET"])).process(source)
    assert not any("boson" in note for note in out["notes"])
    assert all(number == 40 for number in out["notes"].values())  # noise filters, of events without an era


def test_a_branch_that_is_missing_is_named_before_any_event_is_read():
    processor = Zmumu(make_estimators(["stored.MET"]))
    there = {"PV_npvs", "Muon_pt", "Muon_eta", "MET_pt", "MET_phi"}
    with pytest.raises(
        ColumnError, match=r"Zmumu needs branch Muon_phi, which .* does not have; Muon branches there: "
    ):
        processor.require(there, "a.root", {})
