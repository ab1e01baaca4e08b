"""Muons and electrons with the public files of CMS's groups, against formulas written anew on plain correctionlib."""

import json

import correctionlib
import numpy as np
import pytest
import scipy.integrate
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.corrections import lookups
from ptmiss.errors import CorrectionError, OptionError, UnknownName
from ptmiss.selections.momenta import electrons, muons
from ptmiss.selections.momenta.random import uniform
from ptmiss.selections.momenta.schema import Momentum

from ..weights.events import DATA

MUONS = "muo/muon_scalesmearing_2022_Summer22_schemaV2.json.gz"
ELECTRONS, OLD = "egm/electronSS_EtDependent_2022_Summer22.json.gz", "egm/EGM_ScaleUnc_2018_UL.json.gz"
real = pytest.mark.skipif(not (DATA / MUONS).is_file(), reason="needs public files of corrections")

MUON = {"pt": 45.0, "eta": 1.0, "phi": 0.5, "charge": 1, "nTrackerLayers": 14}
ELECTRON = {"pt": 45.0, "superclusterEta": 0.5, "r9": 0.96, "seedGain": 12, "run": 356000}


def columns(one, **changes):
    return {name: np.array([value]) for name, value in (one | changes).items()}


def plain(name):
    return correctionlib.CorrectionSet.from_file(str(DATA / name))


@real
@pytest.mark.parametrize("name", [MUONS, ELECTRONS, OLD])
def test_the_files_have_the_reference_values(name):
    known = [r for r in json.loads((DATA / "reference_values.json").read_text()) if r["file"] == name]
    known = [r for r in known if not str(r["value"]).startswith("RAISES")]
    assert known
    file = lookups.load(str(DATA / name))
    for r in known:
        lookup = file[r["correction"]]
        given = dict(zip(lookup.inputs, r["args"], strict=True))
        assert float(lookup(given)) == pytest.approx(r["value"], rel=1e-9)


@real
@pytest.mark.parametrize("charge", [1, -1])
def test_the_curvature_of_muons(charge):
    """1 / (m / pT + q a) with the reference values at eta 1 and phi 0.5."""
    file = lookups.load(str(DATA / MUONS))
    for of, m, a in (("data", 0.998895515, 5.0449147269e-05), ("mc", 0.999681004911, -5.23695907711e-06)):
        found = muons.scale(file, columns(MUON, charge=charge), np.array([45.0]), of)
        assert found == pytest.approx([1 / (m / 45 + charge * a)], rel=1e-9)
    data = muons.correct(file, columns(MUON, charge=charge), np.array([0.9]), data=True)
    assert data.nominal == pytest.approx([1 / (0.998895515 / 45 + charge * 5.0449147269e-05)], rel=1e-9)
    assert not data.varied


@real
def test_simulated_muons_are_smeared_by_what_they_lack():
    """k = sqrt(1.01875² - 0.99375²), the width at 14 layers, and a quantile of the Gaussian with tails."""
    file, u = lookups.load(str(DATA / MUONS)), np.array([0.8])
    found = muons.correct(file, columns(MUON), u, data=False)
    scaled = 1 / (0.999681004911 / 45 - 5.23695907711e-06)
    width = 0.0131710030575 + 0.00011344341042 * scaled + 6.94e-16 * scaled**2
    mean, sigma, n, alpha = 0.0559428020881, 0.560750696286, 8.3903318741, 0.876803978119
    r = muons.crystal_ball(u, *(np.array([each]) for each in (mean, sigma, n, alpha)))[0]
    lacking = np.sqrt(1.01875**2 - 0.99375**2)
    assert found.nominal == pytest.approx([scaled * (1 + lacking * width * r)], rel=1e-9)
    raw = plain(MUONS)
    k, stat, syst = (raw["k_mc"].evaluate(1.0, part) for part in ("nom", "stat", "syst"))
    assert k == 0.99375
    wider = scaled * (1 + lacking * width * r * (1 + np.hypot(stat, syst) / k))
    assert found.varied["resolution_up"] == pytest.approx([wider], rel=1e-9)
    square = 0.0
    for part in ("stat", "syst"):
        m, a, rho = (raw[c].evaluate(1.0, 0.5, p) for c, p in (("m_mc", part), ("a_mc", part), ("m_mc", f"rho_{part}")))
        square += m**2 / found.nominal[0] ** 2 + a**2 + 2 * rho * m * a / found.nominal[0]
    error = found.nominal[0] ** 2 * np.sqrt(square)
    assert found.varied["scale_up"] - found.nominal == pytest.approx([error], rel=1e-6)
    assert 1e-4 < error / 45 < 2e-3


@real
def test_muons_beyond_the_range_stay_as_they_are():
    file = lookups.load(str(DATA / MUONS))
    for pt in (20.0, 300.0):
        found = muons.correct(file, columns(MUON, pt=pt), np.array([0.99]), data=False)
        assert found.nominal.tolist() == found.varied["resolution_up"].tolist() == [pt]


@given(st.floats(0.3, 3), st.floats(1.5, 12), st.floats(0.001, 0.999))
def test_the_quantile_of_a_gaussian_with_tails_inverts_its_integral(alpha, n, u):
    def density(z):
        z = abs(z)
        far = (n / alpha) ** n * np.exp(-(alpha**2) / 2) * (n / alpha - alpha + max(z, alpha)) ** -n
        return np.exp(-(z**2) / 2) if z < alpha else far

    (z,) = muons.crystal_ball(np.array([u]), *(np.array([each]) for each in (0.0, 1.0, n, alpha)))
    whole = 2 * sum(scipy.integrate.quad(density, *part)[0] for part in ((0, alpha), (alpha, np.inf)))
    inside = [sorted((0.0, abs(z)))] if abs(z) < alpha else [(0, alpha), (alpha, abs(z))]
    share = sum(scipy.integrate.quad(density, *part)[0] for part in inside) / whole
    assert 0.5 + np.sign(z) * share == pytest.approx(u, abs=1e-6)


@real
def test_electrons_of_data_are_scaled_step_by_step():
    """The compound correction by hand: each step sees pT with those before it."""
    raw, pt, factor = plain(ELECTRONS), 45.0, 1.0
    given = {"run": 356000.0, "ScEta": 0.5, "r9": 0.96, "AbsScEta": 0.5, "seedGain": 12.0, "syst": "scale"}
    names = ["EGMScaleVsRun_2022preEE", "EGMScale_EleEtaR9_2022preEE", "EGMScale_EleFineEtaR9_2022"]
    names += ["EGMScale_ElePT_2022", "EGMScale_EleGain_2022", "EGMScale_ElePTsplit_2022preEE"]
    for name in names:
        step = raw[name].evaluate(*({**given, "pt": pt * factor}[each.name] for each in raw[name].inputs))
        factor *= step
    file = lookups.load(str(DATA / ELECTRONS))
    found = electrons.correct(file, Momentum(file="x"), columns(ELECTRON), np.array([0.9]), data=True)
    assert found.nominal == pytest.approx([45 * factor], rel=1e-9)
    assert 0.97 < factor < 1.03
    assert not found.varied


@real
def test_simulated_electrons_are_smeared():
    """One width up is at 0.8413; the widths and their errors are the reference values."""
    file, width, of_width, of_scale = lookups.load(str(DATA / ELECTRONS)), 0.00946547789, 0.00225588468, 0.00056574198
    one = np.array([0.841344746])
    found = electrons.correct(file, Momentum(file="x"), columns(ELECTRON), one, data=False)
    assert found.nominal == pytest.approx([45 * (1 + width)], rel=1e-8)
    assert found.varied["resolution_up"] == pytest.approx([45 * (1 + width + of_width)], rel=1e-8)
    assert found.varied["resolution_down"] == pytest.approx([45 * (1 + width - of_width)], rel=1e-8)
    assert found.varied["scale_up"] == pytest.approx([45 * (1 + width) * (1 + of_scale)], rel=1e-8)


@real
def test_electrons_of_run_2_have_the_uncertainty_of_the_scale_alone():
    file, momentum = lookups.load(str(DATA / OLD)), Momentum(file="x", year="2018")
    found = electrons.correct(file, momentum, columns(ELECTRON, superclusterEta=1.0), np.array([0.9]), data=False)
    assert found.nominal.tolist() == [45]
    assert {name: values.tolist() for name, values in found.varied.items()} == {
        "scale_up": [pytest.approx(45 * 1.0005)],
        "scale_down": [pytest.approx(45 * 0.9995)],
    }
    with pytest.raises(OptionError, match=r"leptons\.momentum\.year: .* needs one of .*2018"):
        electrons.require(file, Momentum(file="x"))
    with pytest.raises(UnknownName, match="2016"):
        electrons.require(file, Momentum(file="x", year="2016"))


@real
def test_a_file_of_another_kind_is_one_line():
    with pytest.raises(UnknownName, match="m_data"):
        muons.require(lookups.load(str(DATA / ELECTRONS)))
    with pytest.raises(CorrectionError, match="no correction for the scale of electrons"):
        electrons.require(lookups.load(str(DATA / MUONS)), Momentum(file="x"))
    with pytest.raises(UnknownName, match="EGMScale_Compound_Ele_2022preEE"):
        electrons.require(
            lookups.load(str(DATA / ELECTRONS)), Momentum(file="x", scale="EGMScale_Compound_Ele_2022pre")
        )


def test_random_numbers_belong_to_the_lepton():
    run, event = np.array([1, 1, 2]), np.array([7, 8, 7])
    found = uniform(run, np.ones(3, int), event, np.zeros(3, int))
    assert found[1:].tolist() == uniform(run[1:], np.ones(2, int), event[1:], np.zeros(2, int)).tolist()
    assert len({*found}) == 3


def test_the_first_number_of_splitmix64_is_the_published_one():
    assert uniform(0).tolist() == [pytest.approx(0xE220A8397B1DCDAF / 2**64, abs=1e-15)]


def test_random_numbers_are_uniform_and_independent():
    n = 20000
    first, second = (uniform(1, 5, np.arange(n), place) for place in (0, 1))
    assert abs(first.mean() - 0.5) < 4 / np.sqrt(12 * n)
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(n)
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 4 / np.sqrt(n)
    counts = np.histogram(first, 20, (0, 1))[0]
    assert ((counts - n / 20) ** 2 / (n / 20)).sum() < 50
    assert 0 < first.min() < first.max() < 1


def test_no_leptons_have_no_numbers():
    assert len(uniform(np.zeros(0, int), np.zeros(0, int))) == 0
