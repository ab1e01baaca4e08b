"""What real files of each version of NanoAOD have, as the table of docs/nanoaod.md, and what runs on them."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from ptmiss import events, tables
from ptmiss.errors import ColumnError
from ptmiss.estimators import evaluate, make_estimators
from ptmiss.processors.skim import Skim
from ptmiss.selections.filters import ALL_YEARS

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[1] / "docs" / "nanoaod.md"
FILES = {
    "2018, before v9": "nano_dy.root",
    "v9": "nanoAOD_2015_CMS_Open_Data_ttbar.root",
    "v12": "nano_tt_v12.root",
    "v15": "nano_tt_v15.root",
    "PFNano of v9": "pfnano_rntuple.root",
    "scouting": "scouting_nano.root",
}
ROWS = {
    "number of vertices": ("PV_npvs",),
    "muons": ("Muon_pt", "Muon_looseId", "Muon_pfRelIso04_all"),
    "electrons": ("Electron_pt", "Electron_cutBased"),
    "photons": ("Photon_pt", "Photon_cutBased"),
    "jets": ("Jet_pt", "Jet_rawFactor", "Jet_area"),
    "`Jet_jetId`": ("Jet_jetId",),
    "multiplicities in jets, for the POG's identification": ("Jet_chMultiplicity", "Jet_neMultiplicity"),
    "b taggers": ("Jet_btagUParTAK4B", "Jet_btagPNetB", "Jet_btagDeepFlavB"),
    "noise filters": tuple(f"Flag_{name}" for name in ALL_YEARS),
    "triggers": ("HLT_",),
    "candidates": ("PFCands_pt", "PFCand_pt"),
    "their PUPPI weights": ("PFCands_puppiWeight", "PFCand_puppiWeight"),
    "METs": (
        *("MET_pt", "PFMET_pt", "RawMET_pt", "RawPFMET_pt", "PuppiMET_pt", "RawPuppiMET_pt"),
        *("DeepMETResolutionTune_pt", "ScoutingMET_pt"),
    ),
    "soft jets, for type-1": ("CorrT1METJet_rawPt",),
    "generator": ("genWeight", "GenPart_statusFlags", "GenMET_pt", "Pileup_nTrueInt"),
}
NAMED = ("b taggers", "candidates", "their PUPPI weights", "METs")  # rows that say which


def cell(row, there):
    """What a file has of a row."""
    found = [name for name in ROWS[row] if any(branch.startswith(name) for branch in there)]
    if row in NAMED:
        return ", ".join(f"`{name.removesuffix('_pt').removeprefix('Jet_')}`" for name in found) or "—"
    return "yes" if len(found) == len(ROWS[row]) else f"{len(found)} of {len(ROWS[row])}" if found else "—"


def none_of(n):
    """No leptons in so many events."""
    return ak.zip({name: ak.Array([[0.0]] * n)[:, :0] for name in ("eta", "phi", "pdgId")})


@pytest.fixture(scope="module")
def files(shared):
    folder = shared / "analysis" / "nano"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return {version: events.inspect(str(folder / name)) for version, name in FILES.items()}


def test_the_table_of_the_page_is_measured(files):
    measured = [(row, *(cell(row, file.branches) for file in files.values())) for row in ROWS]
    assert tables.markdown(["", *files], measured) in PAGE.read_text()


@pytest.mark.parametrize("version", FILES)
def test_the_pf_met_is_found_under_either_name(files, version):
    """stored.MET and stored.PFMET are the same where a file has one of them, and a note says which was read."""
    file = files[version]
    there = next((name for name in ("MET", "PFMET") if f"{name}_pt" in file.branches), None)
    estimators = make_estimators(["stored.MET", "stored.PFMET"])
    if there is None:
        with pytest.raises(ColumnError, match=r"needs branch MET_pt, .* METs there: GenMET, ScoutingMET$"):
            estimators[0].require(file.branches, file.path)
        return
    for estimator in estimators:
        estimator.require(file.branches, file.path)
    source = file.events()
    got = evaluate(estimators, source, none_of(len(source)))
    np.testing.assert_array_equal(got.met["stored.MET"], got.met["stored.PFMET"])
    np.testing.assert_allclose(np.hypot(*got.met["stored.MET"].T), source[there].pt, rtol=1e-5)
    other = {"MET": "PFMET", "PFMET": "MET"}[there]
    assert got.notes == {f"stored.{other}: event of a file that calls it {there}": len(source)}


def test_the_first_event_of_each_file(files):
    """By uproot, outside of this package."""
    expected = {
        ("v12", "stored.PuppiMET"): 91.0328,
        ("v15", "stored.PuppiMET"): 83.0029,
        ("v15", "stored.MET"): 67.2056,
        ("v9", "stored.PuppiMET"): 31.2363,
        ("v12", "stored.PuppiMET_ptUnclusteredUp"): 93.5,
        ("v15", "stored.PuppiMET_ptUnclusteredUp"): 78.375,
        ("v9", "stored.PuppiMET_ptUnclusteredUp"): 30.6406,
        ("v12", "stored.DeepMETResolutionTune"): 72.3358,
        ("v15", "stored.DeepMETResolutionTune"): 37.8582,
        ("v9", "stored.DeepMETResolutionTune"): 23.0536,
        ("2018, before v9", "stored.PFMET"): 25.9485,
        ("2018, before v9", "stored.PuppiMET"): 12.1805,
        ("scouting", "stored.ScoutingMET"): 77.9826,
    }
    for (version, name), value in expected.items():
        source = files[version].events(0, 1)
        met = evaluate(make_estimators([name]), source, none_of(1)).met[name]
        assert np.hypot(*met[0]) == pytest.approx(value, rel=1e-4), (version, name)


def test_the_first_event_of_recorded_data(shared):
    path = shared / "analysis" / "nano" / "nano_dimuon.root"
    if not path.is_file():
        pytest.skip(f"no {path}")
    names = ["stored.PuppiMET", "stored.MET"]
    found = evaluate(make_estimators(names), events.inspect(str(path)).events(0, 1), none_of(1))
    assert [np.hypot(*found.met[name][0]) for name in names] == pytest.approx([45.6899, 23.7117], rel=1e-4)


def test_candidates_of_pfnano_add_up_to_its_raw_met(files):
    source = files["PFNano of v9"].events(0, 4)
    found = evaluate(make_estimators(["pf", "stored.RawMET"]), source, none_of(4))
    sizes = {name: np.hypot(*met.T) for name, met in found.met.items()}
    np.testing.assert_allclose(sizes["pf"], [14.271, 35.820, 507.80, 131.04], rtol=1e-4)
    np.testing.assert_allclose(sizes["stored.RawMET"], [14.180, 35.844, 508.00, 131.25], rtol=1e-4)


@pytest.mark.parametrize("version", [version for version in FILES if version != "scouting"])
def test_a_table_of_each_version(files, version):
    processor = Skim(make_estimators(["stored.MET", "stored.PuppiMET"]))
    processor.require(files[version].branches, "a.root", {})
    rows = processor.process(files[version].events())["rows"]
    assert rows.num_rows == files[version].entries


def test_scouting_has_no_muons_of_nanoaod(files):
    with pytest.raises(ColumnError, match=r"needs branch Muon_pt, which a\.root does not have"):
        Skim(make_estimators(["stored.ScoutingMET"])).require(files["scouting"].branches, "a.root", {})
