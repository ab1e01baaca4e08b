from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptmiss.errors import OptionError, UnknownName
from ptmiss.recoil import transverse_mass
from ptmiss.resolutions import jacobian
from ptmiss.resolutions.jacobian import CENTRES, FINE_BINS, falling_edge, of_table, right_half_width, step
from ptmiss.table import RecoilTable, polar

EVENTS = 6000


@pytest.fixture(scope="module")
def table():
    """W → μν at rest with two estimators, blurred by 8 and 16 GeV in each component."""
    rng = np.random.default_rng(3)
    pt, phi = 40 * np.sqrt(1 - rng.uniform(0, 1, EVENTS) ** 2), rng.uniform(-np.pi, np.pi, EVENTS)
    lepton = np.stack([pt * np.cos(phi), pt * np.sin(phi)], axis=1)
    noise = rng.normal(0, 1, lepton.shape)
    vectors = {"lepton": lepton, "genmet": -lepton, "genboson": np.full_like(lepton, 1e-9)}
    vectors |= {"met_sharp": -lepton + 8 * noise, "met_blurred": -lepton + 16 * noise}
    columns = {key: value for name, vector in vectors.items() for key, value in polar(name, vector).items()}
    return RecoilTable(pa.table(columns | {"weight": np.ones(EVENTS)}), {})


def test_the_rms_is_that_of_mt_minus_the_generated(table):
    found = of_table(table, ["blurred"], replicas=20).set_index("estimator")
    for name in ("sharp", "blurred"):
        residual = transverse_mass(table.vector("lepton"), table.met(name))
        residual = residual - transverse_mass(table.vector("lepton"), table.vector("genmet"))
        assert found.loc[name, "rms"] == pytest.approx(residual.std(), rel=1e-4)
    assert found.loc["generated", "rms"] == pytest.approx(0, abs=1e-3)
    gain = 1 - found.loc["sharp", "rms"] / found.loc["blurred", "rms"]
    assert found.loc["sharp", "rms_vs_blurred"] == pytest.approx(gain)
    assert 0 < found.loc["sharp", "rms_vs_blurred_error"] < 0.02


def test_a_blurred_peak_has_a_wider_edge(table):
    edge = of_table(table, replicas=20).set_index("estimator")["edge"]
    assert edge["generated"] < 3 < edge["sharp"] < 0.7 * edge["blurred"]


def test_the_half_width_of_a_triangle():
    """Of a peak at 60 GeV that falls to nothing at 100 GeV; the spline rounds the peak."""
    mass = np.arange(0.5, 160, 0.25)
    weight = np.where(mass < 60, mass / 60, np.maximum(0, (100 - mass) / 40))
    assert right_half_width(np.histogram(mass, FINE_BINS, weights=weight)[0]) == pytest.approx(20, abs=2)
    assert np.isnan(right_half_width(np.zeros(len(FINE_BINS) - 1)))


def test_a_blurred_peak_has_a_larger_half_width(table):
    found = of_table(table, replicas=20).set_index("estimator")
    assert found["half_width"]["generated"] < found["half_width"]["sharp"] < found["half_width"]["blurred"]
    assert 0 < found["half_width_error"]["blurred"] < 8


def test_variations_of_pt_miss_and_weights_have_a_size(table):
    """Of the widths measured by hand with pTmiss 10 % larger and smaller, and other weights of some events."""
    lepton, met, data = table.vector("lepton"), table.met("sharp"), table.data
    weight = np.where(np.arange(EVENTS) % 2, 1.3, 1.0)
    for way, factor in (("up", 1.1), ("down", 0.9)):
        for name, values in polar("met_sharp", factor * met, f"_scale_{way}").items():
            data = data.append_column(name, pa.array(values))
    data = data.append_column("weight_odd", pa.array(weight))
    data = data.append_column("met_sharp_pt_corrected", data["met_sharp_pt"])
    data = data.append_column("met_sharp_phi_corrected", data["met_sharp_phi"])
    found = of_table(RecoilTable(data, {}), replicas=2).set_index("estimator")
    spectrum = lambda factor, of_event: np.histogram(transverse_mass(lepton, factor * met), FINE_BINS, weights=of_event)
    width = lambda factor, of_event: right_half_width(spectrum(factor, of_event)[0])
    nominal, up, down = (width(factor, np.ones(EVENTS)) for factor in (1.0, 1.1, 0.9))
    expected = np.sqrt(((up - nominal) ** 2 + (down - nominal) ** 2) / 2 + (width(1.0, weight) - nominal) ** 2)
    assert expected > 0.5
    assert found.loc["sharp", "half_width_systematic"] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(found.loc["generated", "half_width_systematic"])
    assert "half_width_systematic" not in of_table(table, replicas=2)


def test_the_edge_of_a_step():
    weight = step(CENTRES, 100.0, 84.0, 9.0)
    np.testing.assert_allclose(falling_edge(weight, weight**2), (9.0, 84.0), rtol=1e-3)


def test_an_edge_that_cannot_be_fitted_is_not_a_number(monkeypatch):
    monkeypatch.setattr(jacobian, "least_squares", lambda *_, **__: SimpleNamespace(success=False))
    assert np.isnan(falling_edge(np.ones_like(CENTRES), np.ones_like(CENTRES))).all()


def test_what_is_missing_is_named(table):
    with pytest.raises(UnknownName, match="unknown estimator in the table 'pf'"):
        of_table(table, ["pf"])
    with pytest.raises(OptionError, match="20 events with a selected and a generated lepton, at least 50"):
        of_table(table.select(np.arange(EVENTS) < 20))


def some(table, n=400, weight=1.0, **mets):
    """The first events of the table with other weights and other estimators."""
    data = table.select(np.arange(EVENTS) < n).data
    columns = {name: data[name].to_numpy() for name in data.column_names if not name.startswith("met_")}
    columns |= {key: value for name, met in mets.items() for key, value in polar(f"met_{name}", met).items()}
    return RecoilTable(pa.table(columns | {"weight": np.broadcast_to(np.asarray(weight, float), n)}), {})


@given(st.permutations(["sharp", "blurred"]), st.sampled_from([2.0**-10, 0.25, 1024.0]))
@settings(max_examples=4)
def test_order_of_estimators_and_scale_of_weights_change_nothing(table, order, scale):
    weight = np.random.default_rng(2).choice([-1.0, 1, 2], 400, p=[0.1, 0.6, 0.3])
    mets = {name: table.met(name)[:400] for name in order}
    expected = of_table(some(table, 400, weight, **dict(sorted(mets.items()))), ["sharp"], replicas=3)
    found = of_table(some(table, 400, scale * weight, **mets), ["sharp"], replicas=3)
    expected, found = expected.set_index("estimator"), found.set_index("estimator")
    pd.testing.assert_frame_equal(found.loc[expected.index], expected)


def test_events_counted_twice_or_with_twice_the_weight(table):
    """Two ways to one result: an integer weight is so many events (the fitted edge weighs its bins by their errors)."""
    weight = np.random.default_rng(4).integers(0, 3, 400)
    mets = {"sharp": table.met("sharp")[:400]}
    once = some(table, 400, weight, **mets)
    rows = RecoilTable(once.data.take(np.repeat(np.arange(400), weight)), {})
    rows = RecoilTable(rows.data.set_column(rows.data.column_names.index("weight"), "weight", [np.ones(len(rows))]), {})
    one, other = (of_table(t, replicas=0).set_index("estimator") for t in (once, rows))
    for name in ("rms", "half_width"):
        assert one[name]["sharp"] == pytest.approx(other[name]["sharp"]), name


def test_an_event_without_one_estimator_counts_for_none(table):
    sharp, blurred = table.met("sharp")[:400], table.met("blurred")[:400].copy()
    blurred[:40] = np.nan
    found = of_table(some(table, 400, sharp=sharp, blurred=blurred), replicas=2).set_index("estimator")
    rest = some(table, 400, np.arange(400) >= 40, sharp=sharp, blurred=table.met("blurred")[:400])
    expected = of_table(rest, replicas=0).set_index("estimator")
    assert found["left_out"].tolist() == [40] * 3
    np.testing.assert_allclose(found["rms"], expected["rms"], rtol=1e-6)


MASSES = st.lists(st.tuples(st.floats(0, 300), st.sampled_from([-1.0, 0.0, 1e-9, 1.0, 3.5, 1e6])), max_size=12)


@given(MASSES)
@settings(max_examples=80)
def test_any_few_events_give_numbers_or_nan_and_no_warning(events):
    """No event, one, negative and absurd weights: what there is no peak of has no edge."""
    mass, weight = np.asarray(events, float).reshape(-1, 2).T
    spectra = jacobian.Spectra.empty(0)
    spectra.fill(mass, 0 * mass, weight, np.ones((len(mass), 1), np.uint8))
    found = {name: values[0] for name, values in spectra.numbers().items()}
    assert np.isnan(found["edge"]) == np.isnan(found["edge_at"])
    assert not found["half_width"] < 0
    assert not found["rms"] < 0
    if not spectra.mass.sum() > 0:
        assert np.isnan(found["edge"])
