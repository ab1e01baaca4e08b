"""Cuts on pTmiss and its significance, against the histograms of a run without."""

import numpy as np
import pytest

from ptmiss import sample, significance
from ptmiss.errors import OptionError, UnknownName
from ptmiss.estimators import make_estimators
from ptmiss.events import inspect
from ptmiss.processors.boson import Zmumu
from ptmiss.processors.neutrino import Wmunu
from ptmiss.processors.skim import Skim
from ptmiss.runs import addresses
from ptmiss.selections import load_selection
from ptmiss.systematics import NOMINAL
from ptmiss.table import RecoilTable

ESTIMATORS = "puppi", "pf"


def selection(**cut):
    return load_selection({"met": {"estimator": "puppi", **cut}})


@pytest.fixture(scope="module")
def source():
    events = inspect(str(sample.events("wmunu"))).events()
    events.metadata.update({"kind": "mc", "role": "signal"})
    return events


@pytest.fixture(scope="module")
def estimators():
    return make_estimators(ESTIMATORS, systematics=["photons", "muons"], significance="shipped")


@pytest.fixture(scope="module")
def uncut(source, estimators):
    return Wmunu(estimators).process(source)


def ran(source, estimators, **cut):
    return Wmunu(estimators, selection(**cut)).process(source)


def above(spectrum, low, high):
    """(systematics, bins) content of a spectrum of PUPPI between two edges, nothing elsewhere."""
    values = spectrum[{"estimator": "puppi"}].values(flow=True).copy()
    edges = np.array([-np.inf, *spectrum.axes[-1].edges])
    values[:, (edges < low) | (edges >= high)] = 0
    return values


def test_each_systematic_is_cut_on_its_own_pt_miss(source, estimators, uncut):
    edges = uncut["met"].axes[-1].edges[5:40]  # of pT that photons or muons move events across
    low = next(edge for edge in edges if len(set(above(uncut["met"], edge, 80).sum(axis=1))) > 1)
    out = ran(source, estimators, pt=low, pt_maximum=80.0)
    wanted = above(uncut["met"], low, 80)
    assert list(out["met"].axes["systematic"]) == list(uncut["met"].axes["systematic"])
    np.testing.assert_allclose(out["met"][{"estimator": "puppi"}].values(flow=True), wanted)
    assert 0 < wanted[0].sum() < uncut["met"][{"estimator": "puppi", "systematic": NOMINAL}].values(flow=True).sum()


def test_all_estimators_have_the_same_events(source, estimators):
    out = ran(source, estimators, pt=30.0)
    for name in ("met", "mt", "significance"):
        totals = [out[name][{"estimator": each}].values(flow=True).sum(axis=-1) for each in ESTIMATORS]
        np.testing.assert_allclose(*totals)


def test_the_last_row_of_the_cut_flow(source, estimators, uncut):
    out = ran(source, estimators, pt=30.0)["cutflow"]
    for what, counts in out.items():
        *before, last = counts
        assert last == "pTmiss of puppi"
        assert {name: counts[name] for name in before} == uncut["cutflow"][what]
    kept = above(uncut["met"], 30, np.inf)[0].sum()
    assert out["sum of weights"]["pTmiss of puppi"] == pytest.approx(kept)
    assert out["n-1 events"]["pTmiss of puppi"] == list(uncut["cutflow"]["events"].values())[-1]


def test_a_cut_on_the_significance(source, estimators, uncut):
    out = ran(source, estimators, significance=4.0, significance_maximum=20.0)
    wanted = above(uncut["significance"], 4, 20)
    np.testing.assert_allclose(out["significance"][{"estimator": "puppi"}].values(flow=True), wanted)
    assert wanted[0].sum() > 0


def test_a_boson_that_is_seen_whole_is_cut_alike():
    source = inspect(str(sample.events("zmumu"))).events()
    estimators = make_estimators("puppi")
    uncut, out = (Zmumu(estimators, one).process(source) for one in (None, selection(pt=20.0)))
    np.testing.assert_allclose(out["met"][{"estimator": "puppi"}].values(flow=True), above(uncut["met"], 20, np.inf))
    for which in ("residuals", "met_xy"):
        np.testing.assert_array_equal(out[which].values(flow=True), uncut[which].values(flow=True))


def test_a_table_has_no_boson_and_no_lepton_where_pt_miss_does_not_pass(source, estimators):
    whole, cut = (
        RecoilTable(Skim(estimators, one).process(source)["rows"], {})
        for one in (load_selection(), selection(pt=30.0, significance=2.0))
    )
    met = whole.met("puppi")
    covariance = significance.matrices(*(whole[f"met_puppi_cov{part}"] for part in ("XX", "XY", "YY")))
    passed = (np.hypot(*met.T) > 30) & (significance.significance(met, covariance) > 2)
    lepton = np.where(passed, whole["lepton_pt"], np.nan)
    np.testing.assert_array_equal(cut["lepton_pt"], lepton)
    assert 0 < np.isfinite(lepton).sum() < np.isfinite(whole["lepton_pt"]).sum()
    np.testing.assert_array_equal(cut["met_pf_pt"], whole["met_pf_pt"])


def test_a_cut_is_part_of_a_chunk_s_address(estimators):
    cuts = ({}, {"pt": 30.0}, {"pt": 31.0}, {"pt": 30.0, "significance": 2.0})
    recipes = [addresses.recipe(Wmunu(estimators, selection(**cut))) for cut in cuts]
    assert all(one != other for n, one in enumerate(recipes) for other in recipes[:n])


@pytest.mark.parametrize(
    ("cut", "error", "message"),
    [
        ({"estimator": "pupi"}, UnknownName, "unknown estimator of the selection's met 'pupi', did you mean 'puppi'"),
        ({"significance": 3.0}, OptionError, "significance of puppi: expected --significance too"),
        ({"pt": "30 MeV"}, OptionError, "met.pt: expected GeV, not '30 MeV'"),
        ({"pt": 30.0, "pt_maximum": 20.0}, OptionError, "met: no event is above 30 and below 20"),
        ({"pt_max": 20.0}, OptionError, "met.pt_max: unknown key, did you mean 'met.pt_maximum'"),
    ],
)
def test_a_slip_is_one_line(cut, error, message):
    with pytest.raises(error, match=message) as raised:
        Wmunu(make_estimators(ESTIMATORS), selection(**cut))
    assert "\n" not in str(raised.value)
