from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ptmiss import resolutions, results, sample, table
from ptmiss.histograms import book_recoil, fill_recoil, scale
from ptmiss.recoil import Recoil
from ptmiss.resolutions import measure, tabulate, without_backgrounds
from ptmiss.resolutions.moments import EVERYWHERE

WIDE, NARROW, QT = 20.0, 10.0, 200.0


def halves(n=1000, qt=QT):
    """A recoil of response 1: u_perp is ±20 GeV in the first half of the events and ±10 GeV in the second."""
    u_perp = np.repeat([WIDE, -WIDE, NARROW, -NARROW], n // 4)
    return Recoil(np.full(n, qt) + u_perp, u_perp, np.full(n, qt))


def fill(histograms, recoil, weight, systematic="nominal", estimator="pf"):
    n = len(recoil.qt)
    fill_recoil(histograms, estimator, recoil, np.full(n, 20), np.zeros(n, int), weight, systematic)


def varied(names=("pf",), **variations):
    """Histograms of :func:`halves`, with the first half's weights multiplied by a factor in each variation."""
    u = halves()
    out = book_recoil(names)
    for name in names:
        fill(out, u, np.ones(len(u.qt)), estimator=name)
    for systematic, factor in variations.items():
        fill(out, u, np.repeat([factor, 1.0], len(u.qt) // 2), systematic)
    return out


def size(up, down, nominal):
    """The root mean square of two shifts."""
    return np.sqrt(((up - nominal) ** 2 + (down - nominal) ** 2) / 2)


def width(factor):
    """RMS of u_perp with the first half's weights multiplied: sqrt((f 20² + 10²) / (f + 1))."""
    return np.sqrt((factor * WIDE**2 + NARROW**2) / (factor + 1))


@pytest.mark.parametrize("kind", ["none", "plateau", "bin"])
def test_a_weight_of_half_the_events_moves_the_rms_by_what_one_can_write_down(kind):
    row = measure(varied(half_up=1.5, half_down=0.5), "pf", kind).row(EVERYWHERE)
    plain = measure(varied(), "pf", kind).row(EVERYWHERE)
    for component in ("par", "perp"):
        assert row[f"rms_{component}_systematic"] == pytest.approx(size(width(1.5), width(0.5), width(1)), rel=1e-9)
        assert row[f"rms_{component}_error"] == plain[f"rms_{component}_error"]
    assert row["response_systematic"] == pytest.approx(0, abs=1e-12)
    assert not [name for name in plain if name.endswith("_systematic")]


def test_sources_add_in_quadrature_also_those_that_go_one_way():
    found = measure(varied(a_up=1.5, a_down=0.5, b_up=2.0, b_down=1.0, c=3.0), "pf", "none").row(EVERYWHERE)
    pairs = (width(1.5), width(0.5)), (width(2), width(1)), (width(3), width(3))
    shifts = [size(up, down, width(1)) for up, down in pairs]
    assert found["rms_perp_systematic"] == pytest.approx(np.sqrt(np.square(shifts).sum()), rel=1e-9)


def test_each_variation_has_a_response_correction_of_its_own():
    """A variation that multiplies u moves the response, and no corrected width."""
    u, one = halves(), np.ones(1000)
    histograms = varied()
    for systematic, factor in (("scale_up", 1.1), ("scale_down", 0.9)):
        fill(histograms, Recoil(factor * u.u_par, factor * u.u_perp, u.qt), one, systematic)
    for kind, expected in (("none", 0.1 * width(1)), ("bin", 0.0), ("plateau", 0.0)):
        row = measure(histograms, "pf", kind).row(EVERYWHERE)
        assert row["response_systematic"] == pytest.approx(0.1, rel=1e-9)
        assert row["rms_perp_systematic"] == pytest.approx(expected, abs=1e-6)


def test_an_estimator_without_variations_has_no_band():
    table = tabulate(varied(("pf", "puppi"), half_up=1.5, half_down=0.5), "none").set_index("estimator")
    assert table.loc["pf", "rms_perp_systematic"].notna().any()
    assert table.loc["puppi", "rms_perp_systematic"].isna().all()


def test_a_background_varies_under_data_that_do_not():
    """A background of ±20 GeV takes 0.4, 0.5 or 0.3 of the data's wide half away."""
    background = book_recoil(["pf"])
    wide = Recoil(np.full(500, QT), np.tile([WIDE, -WIDE], 250), np.full(500, QT))
    for systematic, factor in (("nominal", 0.4), ("size_up", 0.5), ("size_down", 0.3)):
        fill(background, wide, np.full(500, factor), systematic)
    ledger = {"skipped": [], "duplicates": 0, "events": 1000, "listed": 1000, "sumw": 1000.0}
    about = {"data": {"luminosity": 1.0, "kind": "data"}, "top": {"cross_section": 1.0}}
    manifest = {"datasets": {name: {"metadata": metadata, "ledger": ledger} for name, metadata in about.items()}}
    result = results.RunResult(manifest, {"data": varied(), "top": background})
    left = without_backgrounds(result, "data", {"top": 1.0})
    found = measure(left, "pf", "none").row(EVERYWHERE)
    assert list(left["moments"].axes["systematic"]) == ["nominal", "size_up", "size_down"]
    up, down = (width(1 - factor) for factor in (0.5, 0.3))
    assert found["rms_perp"] == pytest.approx(width(0.6), rel=1e-9)
    assert found["rms_perp_systematic"] == pytest.approx(size(up, down, width(0.6)), rel=1e-9)


def test_a_factor_on_all_weights_changes_no_band():
    histograms = varied(half_up=1.5, half_down=0.5)
    larger = {name: scale(histograms[name], 7.3) for name in ("moments", "spectra")}
    pd.testing.assert_frame_equal(tabulate(larger, "bin"), tabulate(histograms, "bin"), rtol=1e-6, atol=1e-5)


def test_a_tables_variations_are_those_of_its_events():
    """Recoils of the embedded sample 5 % larger and smaller, and weights of events with many vertices."""
    plain = table.read(sample.recoil("zmumu")).only(["pf"])
    data, boson = plain.data, np.nan_to_num(plain.vector("boson"))
    for way, factor, weight in (("up", 1.05, 1.2), ("down", 0.95, 0.8)):
        columns = table.polar("met_pf", factor * (boson + plain.met("pf")) - boson, f"_jes_{way}")
        columns[f"weight_pileup_{way}"] = plain["weight"] * np.where(plain["npv"] > 25, weight, 1)
        for name, values in columns.items():
            data = data.append_column(name, pa.array(values.astype(np.float32)))
    events, found = resolutions.recoils(replace(plain, data=data))
    row = measure(resolutions.from_table(events), "pf", "none").row(EVERYWHERE)
    u, (up, down) = found["pf"], (events.weight(f"pileup_{way}") for way in ("up", "down"))
    of_weights = size(*(spread(u.u_perp, w) for w in (up, down, events.weight("nominal"))))
    assert row["rms_perp_systematic"] == pytest.approx(np.hypot(0.05 * row["rms_perp"], of_weights), rel=1e-5)
    ratios = [np.sum(w * u.u_par) / np.sum(w * u.qt) for w in (up, down, events.weight("nominal"))]
    expected = np.hypot(0.05 * row["response"], size(*ratios))
    assert row["response_systematic"] == pytest.approx(expected, rel=1e-5)


def spread(x, weight):
    """Weighted RMS about the mean."""
    return np.sqrt(np.average((x - np.average(x, weights=weight)) ** 2, weights=weight))
