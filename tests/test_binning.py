"""Bins that a selection chooses, from the histograms of a run to its measurement."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss import binning, results
from ptmiss.binning import DEFAULT, Binning
from ptmiss.errors import OptionError
from ptmiss.histograms import book_calibration, book_recoil, fill_recoil, fill_residuals, scale, subtract
from ptmiss.recoil import Recoil
from ptmiss.resolutions import tabulate
from ptmiss.selections import load_selection

MINE = {"qt": [0, 20, 60, 200], "npv": [0, 25, 50], "njets": [0, 1, 3], "plateau": [100, 400]}


def of_selection(tmp_path, text):
    (tmp_path / "s.toml").write_text(text)
    return load_selection(tmp_path / "s.toml").binning


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(5)
    n = 4000
    qt = rng.exponential(60, n)
    recoil = Recoil(0.9 * qt + rng.normal(0, 15, n), rng.normal(0, 15, n), qt)
    return recoil, rng.poisson(25, n), rng.poisson(1.2, n), np.ones(n)


def filled(events, bins):
    out = book_recoil(["pf"], bins)
    fill_recoil(out, "pf", *events)
    return out


def test_the_default_is_the_measurement():
    assert DEFAULT.qt_stored == tuple(sorted({*binning.QT_EDGES, 150, 1000}))
    assert len(DEFAULT.calibration_qt) == 82
    assert DEFAULT.jet_classes == ["0 jets", "1 jet", "2 or more jets"]
    assert Binning(njets=(0, 2, 5)).jet_classes == ["0 to 1 jets", "2 to 4 jets", "5 or more jets"]


def test_a_measurement_is_in_the_bins_of_the_selection(events, tmp_path):
    """Response and RMS in each bin are those of its events, by numpy alone."""
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in MINE.items())
    bins = of_selection(tmp_path, f"[binning]\n{lines}")
    table = tabulate(filled(events, bins), "none")
    recoil, _, njets, _ = events
    rows = table[(table["region"] == "inclusive") & (table["axis"] == "qt")]
    assert list(zip(rows["low"], rows["high"], strict=True)) == [(0, 20), (20, 60), (60, 200)]
    for row in rows.itertuples():
        inside = (recoil.qt >= row.low) & (recoil.qt < row.high)
        assert row.response == pytest.approx(recoil.u_par[inside].sum() / recoil.qt[inside].sum())
        assert row.rms_perp == pytest.approx(recoil.u_perp[inside].std())
    for number, low, high in ((0, 0, 0), (1, 1, 2), (2, 3, 99)):
        (row,) = table[(table["region"] == bins.jet_classes[number]) & (table["axis"] == "inclusive")].itertuples()
        inside = (njets >= low) & (njets <= high)
        assert row.response == pytest.approx(recoil.u_par[inside].sum() / recoil.qt[inside].sum())
    assert set(table[table["axis"] == "npv"]["high"]) == {25, 50}


def test_the_plateau_is_that_of_the_selection(events):
    recoil, *_ = events
    inside = (recoil.qt >= 100) & (recoil.qt < 400)
    value = recoil.u_par[inside].sum() / recoil.qt[inside].sum()
    table = tabulate(filled(events, Binning.model_validate(MINE)), "plateau")
    row = table[(table["region"] == "inclusive") & (table["axis"] == "inclusive")].iloc[0]
    assert row["rms_perp"] == pytest.approx(recoil.u_perp.std() / value)
    soft = recoil.qt < 90
    low = filled((Recoil(*(part[soft] for part in recoil)), *(part[soft] for part in events[1:])), Binning(**MINE))
    with pytest.raises(OptionError, match="no plateau response: no events with 100 < qT < 400 GeV"):
        tabulate(low, "plateau")


def test_histograms_remember_their_binning(events, tmp_path):
    bins = Binning.model_validate(MINE)
    out = filled(events, bins)
    results.save(tmp_path / "run", {"datasets": {"dy": {}}}, {"dy": out})
    read = results.load(tmp_path / "run").histograms["dy"]
    assert binning.of(read["moments"]) == binning.of(scale(read["moments"], 2.0)) == bins
    assert binning.of(subtract(read["moments"], read["moments"])) == bins
    assert binning.of(book_calibration(["pf"], bins)["residuals"]) == bins
    assert binning.of(book_recoil(["pf"])["moments"]) == DEFAULT
    assert tabulate(read, "bin").equals(tabulate(out, "bin"))


def test_spectra_have_the_edges_of_the_selection():
    bins = Binning(u_par=(-50, 0, 30, 100), met=(0, 40, 200))
    assert book_recoil(["pf"], bins)["u_par"].axes["u_par"].edges.tolist() == [-50, 0, 30, 100]
    assert len(book_recoil(["pf"], bins)["u_perp"].axes["u_perp"]) == 100


def test_a_calibration_has_the_classes_of_the_selection():
    from ptmiss.calibration.binning import Yields, cells

    bins = Binning(njets=(0, 1, 3), calibration_qt=(0, 20, 50))
    out = book_calibration(["pf"], bins)
    qt = np.array([10.0, 30.0, 60.0])
    fill_residuals(out, "pf", Recoil(qt, 0 * qt, qt), np.array([0, 2, 7]), np.ones(3))
    view = out["residuals"][{"estimator": "pf", "component": "par"}].view(flow=True)["value"].sum(axis=-1)
    np.testing.assert_array_equal(view, np.eye(3))
    many = Yields(np.full((3, 3), 500.0), np.full((3, 3), 500.0))
    found = cells([many], 300, bins)
    assert [cell.jets for cell in found[::3]] == ["0 jets", "1 or 2 jets", "≥ 3 jets"]
    assert [cell.qt for cell in found[:3]] == [(0, 20), (20, 50), (50, 50)]


@given(st.lists(st.floats(1, 500), min_size=2, max_size=6, unique=True), st.lists(st.floats(0, 600), min_size=1))
def test_each_qt_has_one_bin(edges, values):
    bins = Binning(qt=tuple(sorted(edges)))
    stored, qt = np.array(bins.qt_stored), np.array(values)
    number = bins.qt_bin(qt)
    inside = (number > 0) & (number < len(stored))
    assert (stored[number[inside] - 1] <= qt[inside]).all()
    assert (qt[inside] < stored[number[inside]]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("qt = [0, 20, 10]", "binning.qt: expected rising numbers, not [0.0, 20.0, 10.0]"),
        ("qt = [10]", "binning.qt: one edge [10.0] makes no bin: expected two or more"),
        ("qt = []", "binning: qt is empty: expected edges"),
        ("qt = [-5, 10]", "binning: qt begins at -5: expected 0 or more"),
        ('qt = ["0 MeV", "10 MeV"]', "binning.qt: expected GeV, not '0 MeV'"),
        ("njets = [1, 2]", "binning: njets begins at 1: expected 0, so that no event is lost"),
        ("njets = [0.5, 2]", "binning.njets.0: Input should be a valid integer"),
        ("plateau = [300, 150]", "binning.plateau: expected rising numbers, not [300.0, 150.0]"),
        ("plateu = [150, 300]", "binning.plateu: unknown key, did you mean 'binning.plateau'"),
        ("calibration_qt = [5, 10]", "binning: calibration_qt begins at 5: expected 0"),
        ("met = [10]", "binning.met: one edge [10.0] makes no bin"),
    ],
)
def test_an_unfit_binning_is_one_line(tmp_path, text, message):
    with pytest.raises(OptionError) as error:
        of_selection(tmp_path, f"[binning]\n{text}\n")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
