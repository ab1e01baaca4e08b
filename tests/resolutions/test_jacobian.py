from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from ptmiss.errors import OptionError, UnknownName
from ptmiss.recoil import transverse_mass
from ptmiss.resolutions import jacobian
from ptmiss.resolutions.jacobian import CENTRES, falling_edge, of_table, right_half_width, step
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
    """Of a peak at 60 GeV that falls to nothing at 100 GeV; three bins are averaged, which lowers the peak."""
    mass = np.arange(0.5, 160, 0.25)
    weight = np.where(mass < 60, mass / 60, np.maximum(0, (100 - mass) / 40))
    assert right_half_width(mass, weight) == pytest.approx(20, abs=2)
    assert np.isnan(right_half_width(mass, np.zeros_like(mass)))


def test_a_blurred_peak_has_a_larger_half_width(table):
    found = of_table(table, replicas=20).set_index("estimator")
    assert found["half_width"]["generated"] < found["half_width"]["sharp"] < found["half_width"]["blurred"]
    assert 0 < found["half_width_error"]["blurred"] < 8


def test_the_edge_of_a_step():
    weight = step(CENTRES, 100.0, 84.0, 9.0)
    np.testing.assert_allclose(falling_edge(CENTRES, weight), (9.0, 84.0), rtol=1e-3)


def test_an_edge_that_cannot_be_fitted_is_not_a_number(monkeypatch):
    monkeypatch.setattr(jacobian, "least_squares", lambda *_, **__: SimpleNamespace(success=False))
    assert np.isnan(falling_edge(CENTRES, np.ones_like(CENTRES))).all()


def test_what_is_missing_is_named(table):
    with pytest.raises(UnknownName, match="unknown estimator in the table 'pf'"):
        of_table(table, ["pf"])
    with pytest.raises(OptionError, match="20 events with a selected and a generated lepton, at least 50"):
        of_table(table.select(np.arange(EVENTS) < 20))
