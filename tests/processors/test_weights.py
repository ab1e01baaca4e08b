import awkward as ak
import numpy as np
import pytest
import uproot

from ptmiss import events, normalisation, table
from ptmiss.errors import ColumnError, CorrectionError, UnknownName
from ptmiss.estimators import make_estimators
from ptmiss.processors.boson import Zmumu
from ptmiss.processors.neutrino import Wmunu
from ptmiss.processors.validation import Validation
from ptmiss.runs import fileset, runner
from ptmiss.runs.generated import of_signs, theory_sums
from ptmiss.runs.skim import Weighting, skim
from ptmiss.selections import load_selection

from ..invented import write_events
from ..selections.weights.events import DATA, factor_file

DRELL_YAN = DATA / "nano/nano_dy.root"
real = pytest.mark.skipif(not DRELL_YAN.is_file(), reason="needs public NanoAOD files")
VARIED = ["id_down", "id_up", "npv_down", "npv_up"]


@pytest.fixture
def selection(tmp_path):
    """A weight of the vertices, varied by 10 % and down by 20 %, and factors of muons."""
    factor_file(tmp_path / "sf.json")
    path = tmp_path / "s.toml"
    path.write_text("""
[weights.npv]
kind = "formula"
formula = "1 + PV_npvs / 100"
up = "1.1 * (1 + PV_npvs / 100)"
down = "0.8 * (1 + PV_npvs / 100)"

[weights.id]
kind = "correction"
file = "sf.json"
correction = "ID"
objects = "muons"
clamp = true
inputs = {year = "2022", variation = "sf", pt = "pt"}
up = {variation = "sfup"}
""")
    return path


def weights_of(source):
    npv = ak.to_numpy(source.PV.npvs)
    pt = np.sort(ak.to_numpy(ak.fill_none(ak.pad_none(source.Muon.pt, 2), np.nan)), axis=1)
    return (1 + npv / 100) * np.where(pt > 30, 0.9, 0.8).prod(axis=1)


def test_histograms_are_filled_with_each_variation_of_the_weights(invented, selection):
    names = ["pf", "puppi"]
    out = Zmumu(make_estimators(names), load_selection(selection)).process(events.inspect(str(invented)).events())
    alone = Zmumu(make_estimators(names)).process(events.inspect(str(invented)).events())
    for which in ("moments", "met", "u_par"):
        assert sorted(out[which].axes["systematic"]) == sorted(["nominal", *VARIED])
    met = out["met"]
    for name in names:
        nominal, up, down, factor = (met[{"systematic": s, "estimator": name}] for s in
                                     ("nominal", "npv_up", "npv_down", "id_up"))  # fmt: skip
        np.testing.assert_allclose(up.values(), 1.1 * nominal.values())
        np.testing.assert_allclose(up.variances(), 1.1**2 * nominal.variances())  # of the varied weight, squared
        np.testing.assert_allclose(down.variances(), 0.8**2 * nominal.variances())
        np.testing.assert_allclose(factor.values(), 1.01**2 * nominal.values())  # of two muons
        assert nominal.values().sum() != alone["met"][{"systematic": "nominal", "estimator": name}].values().sum()
    squares = out["moments"][{"estimator": "pf", "moment": "w2 par0 perp0 qt0"}]
    np.testing.assert_allclose(
        squares[{"systematic": "npv_up"}].view(), 1.21 * squares[{"systematic": "nominal"}].view()
    )


def test_every_processor_fills_them(invented, selection):
    source = events.inspect(str(invented)).events()
    for processor in (Wmunu, Validation):
        out = processor(make_estimators(["pf"]), load_selection(selection)).process(source)
        assert {"nominal", "npv_up"} >= set(out["met"].axes["systematic"]) - set(VARIED)
    assert {"nominal", *VARIED} == set(out["met"].axes["systematic"])


def test_a_recoil_table_has_them_as_columns(invented, selection, tmp_path):
    files = fileset.parse({"dy": [str(invented)]})
    made = skim(files, make_estimators(["pf"]), tmp_path / "t.parquet", selection=str(selection))
    found = table.read(tmp_path / "t.parquet")
    assert found.weights == VARIED
    pair = np.isfinite(found["boson_pt"])
    right = weights_of(events.inspect(str(invented)).events())
    np.testing.assert_allclose(found.weight()[pair], right[pair])
    np.testing.assert_allclose(found.weight("npv_up"), 1.1 * found.weight(), rtol=1e-6)
    np.testing.assert_allclose(found.weight("id_up")[pair], 1.01**2 * found.weight()[pair], rtol=1e-6)
    assert made["datasets"]["dy"]["ledger"]["sumw"] == 300  # what a cross section stands for is the generator's
    with pytest.raises(UnknownName, match="unknown variation of the weights in the table 'npvUp'"):
        found.weight("npvUp")


def test_data_beside_simulation_have_the_nominal_weight_as_their_variations(invented, selection, tmp_path):
    copy = tmp_path / "other.root"
    write_events(copy, 50, seed=9)
    files = fileset.parse({
        "dy": {"files": [str(invented)], "metadata": {"kind": "mc", "cross_section": 2.0}},
        "data": {"files": [str(copy)], "metadata": {"kind": "data", "pseudo_data": True}},
    })  # fmt: skip
    place = tmp_path / "t.parquet"
    skim(files, make_estimators(["pf"]), place, selection=str(selection), weighting=Weighting(luminosity=3.0))
    found = table.read(place)
    data, simulation = (found.of(name) for name in ("data", "dy"))
    assert data.weight("npv_up").tolist() == data.weight().tolist() == [1] * 50
    np.testing.assert_allclose(simulation.weight("npv_down"), 0.8 * simulation.weight(), rtol=1e-6)
    assert normalisation.factor("dy", {**found.datasets["dy"], "scale": 1.0}, 3.0) == pytest.approx(20)


def test_a_file_without_the_branch_stops_before_any_event(invented, tmp_path):
    path = tmp_path / "s.toml"
    path.write_text('[weights.trigger]\nkind = "prefiring"\n')
    with pytest.raises(
        ColumnError, match=r"weight 'trigger' needs branch L1PreFiringWeight_Nom, which .* does not have"
    ):
        skim(fileset.parse({"dy": [str(invented)]}), make_estimators(["pf"]), tmp_path / "t", selection=str(path))


def test_an_event_outside_of_the_range_is_told(invented, selection):
    selection.write_text(selection.read_text().replace("clamp = true\n", ""))
    source = events.inspect(str(invented)).events()
    with pytest.raises(CorrectionError, match=r"weight 'id': \d+ of 300 events are outside of the range of ID"):
        Zmumu(make_estimators(["pf"]), load_selection(selection)).process(source)


@pytest.mark.slow
@real
def test_a_real_file_with_the_weights_of_a_generator(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(
        """
[weights.pileup]
kind = "pileup"
file = "%s"

[weights.scale]
kind = "scale"

[weights.pdf]
kind = "pdf"

[weights.sign]
kind = "sign"
"""
        % (DATA / "lum/puWeights_2018_UL.json.gz")
    )
    processor = Zmumu(make_estimators(["stored.MET"]), load_selection(path))
    files = fileset.parse({"dy": {"files": [str(DRELL_YAN)], "metadata": {"cross_section": 6000.0}}})
    out, details = runner.run(files, processor)
    ledger = details["datasets"]["dy"]["ledger"]
    generator = uproot.open(DRELL_YAN)["Events"]["genWeight"].array().to_numpy()
    assert ledger["sumw"] == np.sign(generator).sum()
    assert ledger["generated"]["sumw"] == pytest.approx(15166686735.86 / 26331, rel=2e-3)  # signs, of nearly one size
    assert {"pileup_up", "scale_down", "pdf_up", "nominal"} <= set(out["dy"]["met"].axes["systematic"])
    assert not [name for name in out["dy"]["met"].axes["systematic"] if name.startswith("sign")]


@pytest.mark.slow
@real
def test_files_without_sums_of_the_scales_need_to_say_so(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text('[weights.scale]\nkind = "scale"\n')
    files = fileset.parse({"tt": [str(DATA / "nano/nano_tt_v12.root")]})
    with pytest.raises(ColumnError, match="weight 'scale' needs LHEScaleSumw in `Runs` of all files of dataset 'tt'"):
        runner.run(files, Zmumu(make_estimators(["stored.MET"]), load_selection(path)))
    path.write_text('[weights.scale]\nkind = "scale"\nkeep_rate = false\n')
    out, _ = runner.run(files, Zmumu(make_estimators(["stored.MET"]), load_selection(path)))
    assert out["tt"]


def file_of(generated):
    return events.EventFile("f", "Events", "root", 1, b"", frozenset(), generated=generated)


@real
def test_a_set_of_another_length_stops_before_any_event(tmp_path):
    """The old file has 33 members of the PDF; the selection asks for a hundred replicas."""
    path = tmp_path / "s.toml"
    path.write_text('[weights.pdf]\nkind = "pdf"\nmethod = "replicas"\nmembers = [1, 100]\nkeep_rate = false\n')
    processor = Zmumu(make_estimators(["stored.MET"]), load_selection(path))
    with pytest.raises(ColumnError, match=r"weight 'pdf': LHEPdfWeight has 33 entries in .*, expected 101 or more"):
        runner.run(fileset.parse({"dy": [str(DRELL_YAN)]}), processor)


def test_sums_of_files_count_by_their_weight():
    files = [
        file_of(events.Generated(1, sumw, None, {"PSSumw": (ratio, 2.0)})) for sumw, ratio in ((1.0, 1.0), (3.0, 2.0))
    ]
    assert theory_sums(files, ["PSSumw", "LHEPdfSumw"]) == {"PSSumw": [1.75, 2.0]}
    assert theory_sums([*files, file_of(None)], ["PSSumw"]) == {}


def test_the_sum_of_signs_of_weights_of_one_size_is_exact():
    """5 weights of 3 and 2 of -3."""
    found = of_signs(file_of(events.Generated(7, 9.0, 63.0))).generated
    assert found.sumw == pytest.approx(3)
    assert of_signs(file_of(events.Generated(7, 9.0))).generated is None
