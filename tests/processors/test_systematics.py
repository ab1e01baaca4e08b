import awkward as ak
import numpy as np
import pytest

from ptmiss import corrections, sample, table
from ptmiss.errors import UnknownName
from ptmiss.estimators import make_estimators
from ptmiss.events import inspect
from ptmiss.processors.boson import Zmumu
from ptmiss.processors.neutrino import Wmunu
from ptmiss.processors.skim import Skim
from ptmiss.resolutions.moments import sums
from ptmiss.systematics import NOMINAL
from ptmiss.table import RecoilTable

NAME = "stored.PuppiMET"


@pytest.fixture(scope="module")
def source(shared):
    path = shared / "analysis" / "nano" / "nano_tt_v12.root"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return inspect(str(path)).events()


@pytest.fixture(scope="module")
def estimators():
    return make_estimators([NAME, "stored.MET"], systematics=[f"{NAME}=jes", f"{NAME}=unclustered"])


def test_histograms_have_the_variations_of_each_estimator(source, estimators):
    out = Wmunu(estimators).process(source)
    names = set(out["mt"].axes["systematic"])
    assert names == {NOMINAL, "jes_up", "jes_down", "unclustered_up", "unclustered_down"}
    for which in ("mt", "met"):
        total = out[which][{"estimator": NAME}].values(flow=True).sum(axis=-1)
        np.testing.assert_allclose(total, total[0])
        assert not out[which][{"estimator": "stored.MET", "systematic": "jes_up"}].values(flow=True).any()
    assert not np.array_equal(*(out["met"][{"estimator": NAME, "systematic": s}].values() for s in (NOMINAL, "jes_up")))


def test_a_recoil_table_has_them_as_columns(source, estimators):
    data = RecoilTable(Skim(estimators).process(source)["rows"], {})
    assert data.estimators == [NAME, "stored.MET"]
    assert data.systematics(NAME) == ["jes_up", "jes_down", "unclustered_up", "unclustered_down"]
    assert data.systematics("stored.MET") == []
    met = source.PuppiMET
    np.testing.assert_allclose(np.hypot(*data.varied_met(NAME, "jes_up").T), ak.to_numpy(met.ptJESUp), rtol=1e-5)
    assert data.only(["stored.MET"]).data.column_names == [c for c in data.data.column_names if NAME not in c]
    with pytest.raises(UnknownName, match=r"systematic of stored\.PuppiMET in the table 'jes', did you mean 'jes_up'"):
        data.varied_met(NAME, "jes")
    assert table.polar("met", np.array([[3.0, 4.0]]), "_up")["met_pt_up"] == 5


def test_each_variation_is_corrected_like_the_nominal(correction_file, invented):
    """XY subtracts the same mean of all; the variations of the recoil are those of the nominal one alone."""
    source = inspect(str(invented)).events()
    source.metadata.update({"kind": "mc", "role": "background"})
    processor = Wmunu(make_estimators(["puppi"]), corrections=correction_file)
    npv = ak.to_numpy(source.PV.npvs)
    met = np.random.default_rng(1).normal(0, 20, (len(source), 2))

    def frame(_):
        return met, met

    found = dict(processor.variations(source, "puppi", {NOMINAL: met, "jes_up": met + 1}, frame, npv, npv))
    assert list(found) == [NOMINAL, "jes_up"]
    np.testing.assert_allclose(found["jes_up"] - found[NOMINAL], 1)
    source.metadata.update({"role": "signal"})
    found = dict(processor.variations(source, "puppi", {NOMINAL: met, "jes_up": met + 1}, frame, npv, npv))
    assert set(found) == {"jes_up", *corrections.load(correction_file).systematics("puppi")}
    assert np.isfinite(found["jes_up"]).all()


def test_the_muons_of_the_boson_move_with_those_in_pt_miss():
    """The recoil measures hadrons: a scale of the muons moves pTmiss and the boson, and not the recoil."""
    source = inspect(str(sample.events("zmumu"))).events()
    out = Zmumu(make_estimators("pf,deepmet", systematics=["muons"])).process(source)
    for name in ("pf", "deepmet"):
        nominal, up = (sums(out["moments"], name, systematic).total() for systematic in (NOMINAL, "muons_up"))
        assert up(qt=1) == pytest.approx(1.002 * nominal(qt=1), rel=1e-4)
        assert up(par=1) == pytest.approx(nominal(par=1), rel=5e-3)
