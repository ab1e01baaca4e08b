"""Every final state on small events whose answer is known, and electrons on a real file."""

import awkward as ak
import numpy as np
import pytest

from ptmiss import events
from ptmiss.errors import OptionError
from ptmiss.estimators import make_estimators
from ptmiss.processors.boson import Boson, GammaJet, Zee, Zmumu
from ptmiss.processors.neutrino import Wenu, Wmunu
from ptmiss.processors.skim import Skim
from ptmiss.resolutions.moments import sums
from ptmiss.selections import good_photons, load_selection


@pytest.fixture(scope="module")
def source(invented):
    """Invented Z → μμ."""
    return events.inspect(str(invented)).events()


@pytest.fixture(scope="module")
def electrons(source):
    """The same events with electrons in place of the muons, among the candidates too."""
    muons, candidates = source.Muon, source.PFCands
    good = ak.ones_like(muons.charge)
    fields = {name: muons[name] for name in ("pt", "eta", "phi", "mass", "charge")}
    found = ak.with_field(source, ak.zip({**fields, "cutBased": 4 * good, "pfRelIso03_all": 0.01 * good}), "Electron")
    kind = ak.where(abs(candidates.pdgId) == 13, candidates.pdgId * 11 // 13, candidates.pdgId)
    found = ak.with_field(found, ak.with_field(candidates, kind, "pdgId"), "PFCands")
    return ak.with_field(found, muons[:, :0], "Muon")


@pytest.fixture(scope="module")
def photons(source):
    """The same events with one photon in place of the leading muon, and without the other."""
    muons = source.Muon[ak.argsort(source.Muon.pt, ascending=False)][:, :1]
    candidates = source.PFCands
    one = ak.ones_like(muons.charge)
    photon = ak.zip({**{name: muons[name] for name in ("pt", "eta", "phi")}, "cutBased": 3 * one})
    found = ak.with_field(source, ak.with_field(photon, one == 1, "electronVeto"), "Photon")
    lepton = abs(candidates.pdgId) == 13
    leading = lepton & (candidates.pt == ak.max(ak.where(lepton, candidates.pt, 0), axis=1))
    kept = candidates[leading | ~lepton]
    kind = ak.where(abs(kept.pdgId) == 13, 22, kept.pdgId)
    found = ak.with_field(found, ak.with_field(kept, kind, "pdgId"), "PFCands")
    none = ak.zip({**{name: source.Muon[name] for name in ("pt", "eta", "phi", "mass", "charge", "pfRelIso04_all")}})
    none = ak.with_field(ak.with_field(none, none.charge, "cutBased"), none.charge == 1, "looseId")[:, :0]
    return ak.with_field(ak.with_field(found, none, "Electron"), none, "Muon")


def test_electrons_measure_what_muons_do_where_they_are_the_same(source, electrons):
    """The cuts of electrons on the same leptons, with those of muons: only flavour and identification differ."""
    estimators = make_estimators(["pf", "puppi"])
    cuts = load_selection("z-ee").model_dump()
    cuts["leptons"] |= {"eta": 2.4, "gaps": ()}
    expected = Zmumu(estimators).process(source)
    found = Zee(estimators, load_selection(cuts)).process(electrons)
    assert found["cutflow"]["events"]["mass"] == expected["cutflow"]["events"]["mass"] > 50
    assert found["cutflow"]["events"]["two electrons"] == expected["cutflow"]["events"]["two muons"]
    np.testing.assert_allclose(found["moments"].values(flow=True), expected["moments"].values(flow=True), rtol=1e-9)


def test_a_photon_is_the_boson(photons):
    """One photon above 50 GeV in the barrel, by a formula of its own; u + qT = - pTmiss."""
    out = GammaJet(make_estimators(["pf"])).process(photons)
    photon = photons.Photon[:, 0]
    keep = ak.to_numpy((photon.pt > 50) & (abs(photon.eta) < 1.4442))
    total = sums(out["moments"], "pf").part(slice(None))
    assert out["cutflow"]["events"]["one photon"] == total() == keep.sum() > 10
    assert total(qt=1) == pytest.approx(ak.sum(photon.pt[keep]), rel=1e-6)
    found = photons.PFCands[keep]
    px, py = (ak.to_numpy(ak.sum(found.pt * f(found.phi), axis=1)) for f in (np.cos, np.sin))
    phi, qt = ak.to_numpy(photon.phi[keep]), ak.to_numpy(photon.pt[keep])
    u_par = -((qt * np.cos(phi) - px) * np.cos(phi) + (qt * np.sin(phi) - py) * np.sin(phi))
    assert total(par=1) == pytest.approx(-u_par.sum(), rel=1e-4)


@pytest.mark.parametrize(("given", "preset"), [("electrons", "z-ee"), ("photons", "gamma-jet")])
def test_a_network_never_sees_the_leptons_or_the_photon(given, preset, request):
    """Their candidates half as hard change pTmiss by what they lose, and nothing else of a network's."""
    source = request.getfixturevalue(given)[:200]
    rows = Skim(make_estimators(["deepmet"]), preset).process(source)
    columns = {name: rows["rows"][name].to_numpy() for name in rows["rows"].column_names}
    chosen = np.isfinite(columns["boson_pt"])
    assert chosen.sum() > 10
    assert not any("without a candidate" in note for note in rows["notes"])
    kind = abs(source.PFCands.pdgId)
    hardest = ak.max(ak.where(kind == 22, source.PFCands.pt, 0), axis=1)
    own = (kind == 22) & (source.PFCands.pt == hardest) if given == "photons" else kind == 11
    softer = ak.with_field(source.PFCands, source.PFCands.pt * ak.where(own, 0.5, 1), "pt")
    less = Skim(make_estimators(["deepmet"]), preset).process(ak.with_field(source, softer, "PFCands"))["rows"]
    lost = [
        ak.to_numpy(ak.sum(ak.where(own, 0.5 * source.PFCands.pt * f(source.PFCands.phi), 0), axis=1))
        for f in (np.cos, np.sin)
    ]
    for f, missing in zip((np.cos, np.sin), lost, strict=True):
        before = columns["met_deepmet_pt"] * f(columns["met_deepmet_phi"])
        after = less["met_deepmet_pt"].to_numpy() * f(less["met_deepmet_phi"].to_numpy())
        np.testing.assert_allclose((after - before)[chosen], missing[chosen], atol=2e-3)


def test_a_table_has_the_bosons_of_its_selection_alone(electrons, photons):
    rows = Skim(make_estimators(["pf"]), "z-ee").process(electrons)["rows"]
    assert np.isfinite(rows["boson_pt"].to_numpy()).any()
    assert np.isnan(rows["lepton_pt"].to_numpy()).all()
    single = ak.with_field(electrons, electrons.Electron[:, :1], "Electron")
    rows = Skim(make_estimators(["pf"]), "w-e").process(ak.with_field(single, photons.Muon, "Muon"))["rows"]
    assert np.isnan(rows["boson_pt"].to_numpy()).all()
    expected = ak.to_numpy(ak.any(passing(single.Electron), axis=1))
    np.testing.assert_array_equal(np.isfinite(rows["lepton_pt"].to_numpy()), expected)
    rows = Skim(make_estimators(["pf"]), "gamma-jet").process(photons)["rows"]
    has = np.isfinite(rows["boson_pt"].to_numpy())
    assert has.any()
    np.testing.assert_allclose(rows["boson_mass"].to_numpy()[has], 0, atol=1e-3)
    eta = ak.to_numpy(ak.firsts(good_photons(photons, load_selection("gamma-jet")).eta)[has])
    np.testing.assert_allclose(rows["boson_rapidity"].to_numpy()[has], eta, rtol=1e-5)


def passing(electron):
    """Electrons of w-e, by a formula of their own."""
    eta = abs(electron.eta)
    return (electron.pt > 30) & (eta < 2.5) & ~((eta > 1.4442) & (eta < 1.566)) & (electron.cutBased >= 4)


@pytest.mark.parametrize("cls", [Zmumu, Zee, GammaJet, Wmunu, Wenu])
def test_a_processor_has_a_selection_of_its_channel(cls):
    assert cls([]).channel in cls([]).selection.channels
    other = "gamma-jet" if cls is not GammaJet else "default"
    with pytest.raises(OptionError, match=f"expected one of {cls.channel}: "):
        cls([], other)


def test_a_boson_of_any_channel():
    assert Boson([]).selection == load_selection("default")


@pytest.fixture(scope="module")
def real(shared):
    path = shared / "analysis" / "nano" / "nano_dy.root"
    return path if path.is_file() else pytest.skip("no real NanoAOD")


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "preset", "number"), [(Zmumu, "default", 4), (Zee, "z-ee", 3)])
def test_real_pairs(real, cls, preset, number):
    """A file of 40 events with 4 pairs of muons and 3 of electrons of 60 to 120 GeV, one with an electron at 2.6."""
    loose = load_selection(preset).model_dump() | {"mass": (60, 120)}
    wide = {"eta": 2.7, "identification": "", "isolation": ""}
    loose["leptons"] |= {"pt": 10} | (wide if cls is Zee else {"isolation_maximum": 1})
    loose["btag"] |= {"veto": "none"}
    out = cls(make_estimators(["stored.MET"]), load_selection(loose)).process(events.inspect(str(real)).events())
    assert out["cutflow"]["events"]["mass"] == number
