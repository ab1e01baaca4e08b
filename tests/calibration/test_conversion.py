"""Recoil corrections in ROOT against what readers of CMS's HTT group do with one event after the other."""

from pathlib import Path

import hist
import numpy as np
import pytest
import uproot

from ptmiss.calibration import conversion
from ptmiss.corrections import published
from ptmiss.errors import CorrectionError, FileError
from ptmiss.recoil import cartesian

from ..helpers import call, failure

DATA = Path(__file__).parents[3] / "shared/data/analysis/recoil"
REAL, SYSTEMATICS = DATA / "Type1_PuppiMET_2018.root", DATA / "PuppiMETSys_2018.root"
real = pytest.mark.skipif(not REAL.is_file(), reason="needs the public ROOT files of recoil corrections")

JETS, PT = ["NJet0", "NJetGe1"], ["Pt0to20", "PtGt20"]
LABELS = {"projH": ["recoilZPerp", "recoilZParal"], "nJetBinsH": JETS, "ZPtBinsH": PT}
RESPONSE = [0.5, 0.7, 0.9]
SIZES = np.array([[-0.02, 0.03], [0.05, 0.04]])


def labels(names):
    return hist.Hist(hist.axis.StrCategory(names), data=np.zeros(len(names)))


def histogram(values, low, high):
    filled = hist.Hist(hist.axis.Regular(90, low, high), storage=hist.storage.Double())
    return filled.fill(values)


def contents(rng):
    """Gaussian toys: data are 2 GeV higher and 10 % wider than simulation."""
    made = {name: labels(names) for name, names in LABELS.items()}
    for cell in (f"{jets}{pt}" for jets in JETS for pt in PT):
        for sample, mean, width in (("data", -8.0, 22.0), ("mc", -10.0, 20.0)):
            par, perp = rng.normal(mean, width, 50_000), rng.normal(0, width, 50_000)
            made[f"recoilZParal_{cell}_hist_{sample}"] = histogram(par, -180, 180)
            made[f"recoilZPerp_{cell}_hist_{sample}"] = histogram(np.abs(perp), 0, 180)
    return made


def write(path, content):
    with uproot.recreate(path) as file:
        for name, each in content.items():
            file[name] = each
    return path


@pytest.fixture(scope="module")
def toys():
    return contents(np.random.default_rng(3))


@pytest.fixture(scope="module")
def files(toys, tmp_path_factory):
    place = tmp_path_factory.mktemp("toys")
    of_jets = {name: hist.Hist(hist.axis.Variable([0, 10, 30, 100]), data=np.array(RESPONSE)) for name in JETS}
    syst = hist.Hist(hist.axis.Regular(2, 0, 2), hist.axis.Regular(2, 0, 2), data=SIZES)
    second = {"nJetBinsH": labels(JETS), "syst": syst, **of_jets}
    return write(place / "recoil.root", toys), write(place / "systematics.root", second)


@pytest.fixture(scope="module")
def converted(files):
    return published.load(conversion.convert(files[0], files[0].with_suffix(".json.gz"), files[1]))


def value(file, method, njets, ptll, component, u, *more):
    return file.set[f"Recoil_correction_{method}"].evaluate("any", float(njets), float(ptll), component, u, *more)


def quantile(content, edges, share):
    """Where a histogram has this share of its events below, by going through its bins."""
    wanted, passed = share * content.sum(), 0.0
    for number, events in enumerate(content):
        if events > 0 and passed + events >= wanted:
            return edges[number] + (edges[number + 1] - edges[number]) * (wanted - passed) / events
        passed += events
    raise AssertionError


def share(content, edges, u):
    """The share of events below a value, with the part of its own bin."""
    number = np.searchsorted(edges, u, side="right") - 1
    inside = content[number] * (u - edges[number]) / (edges[number + 1] - edges[number])
    return (content[:number].sum() + inside) / content.sum()


def one_by_one(file, cell, u, component):
    """The corrected value of one component, as a reader of the ROOT file has it; what is outside stays."""
    name = {"Upara": "Paral", "Uperp": "Perp"}[component]
    (data, edges), (mc, _) = (file[f"recoilZ{name}_{cell}_hist_{s}"].to_numpy() for s in ("data", "mc"))
    data, mc = data.clip(0), mc.clip(0)
    size = abs(u) if component == "Uperp" else u
    if not 0.95 * edges[0] <= size < 0.95 * edges[-1]:
        return u
    mapped = quantile(data, edges, share(mc, edges, size))
    return np.copysign(mapped, u) if component == "Uperp" else mapped


def test_toys_get_mean_and_width_of_data(converted):
    u = np.linspace(-50, 30, 41)
    for method, tolerance in (("QuantileMapHist", 1.2), ("Rescaling", 0.5)):
        par = value(converted, method, 1, 30, "Upara", u)
        np.testing.assert_allclose(par, -8 + 1.1 * (u + 10), atol=tolerance)
        perp = value(converted, method, 1, 30, "Uperp", u)
        np.testing.assert_allclose(perp, 1.1 * u, atol=tolerance)


@pytest.mark.parametrize("component", ["Upara", "Uperp"])
@pytest.mark.parametrize(("njets", "ptll", "cell"), [(0, 5, "NJet0Pt0to20"), (4, 300, "NJetGe1PtGt20")])
def test_each_event_is_mapped_as_one_by_one(converted, files, component, njets, ptll, cell):
    u = np.random.default_rng(5).uniform(-60, 50, 200)
    with uproot.open(files[0]) as file:
        wanted = [one_by_one(file, cell, x, component) for x in u]
    np.testing.assert_allclose(value(converted, "QuantileMapHist", njets, ptll, component, u), wanted, atol=1e-5)


def test_beyond_the_histograms_nothing_changes(converted):
    far = np.array([-500.0, -172.0, 172.0, 500.0])
    for component in ("Upara", "Uperp"):
        np.testing.assert_array_equal(value(converted, "QuantileMapHist", 0, 5, component, far), far)


def test_variations_shift_the_mean_or_stretch_about_it(converted):
    pt = np.array([2.0, 12.5, 60.0, 400.0])
    response = np.interp(pt, [5, 20, 65], RESPONSE)
    mean, h = -response * pt, np.full(len(pt), -20.0)
    for njets, (shift, stretch) in enumerate(SIZES.T):
        for sign, end in ((1, "Up"), (-1, "Down")):
            for kind, wanted in (
                ("Resp", h + sign * shift * mean),
                ("Resol", mean + (1 + sign * stretch) * (h - mean)),
            ):
                found = [value(converted, "Uncertainty", njets, p, "Hpara", -20.0, f"{kind}{end}") for p in pt]
                np.testing.assert_allclose(found, wanted, rtol=1e-6)
            assert value(converted, "Uncertainty", njets, 40, "Hperp", 10.0, f"Resp{end}") == 10
            assert value(converted, "Uncertainty", njets, 40, "Hperp", 10.0, f"Resol{end}") == pytest.approx(
                10 * (1 + sign * stretch)
            )
    assert value(converted, "Uncertainty", 0, 0.5, "Hpara", 7.0, "ResolUp") == 7


def test_ptmiss_is_corrected_along_the_boson(converted):
    boson, met = cartesian([40.0], [1.3]), cartesian([30.0], [-2.0])
    nominal = converted.met(met, boson, 1, "any")
    along, across = np.array([np.cos(1.3), np.sin(1.3)]), np.array([-np.sin(1.3), np.cos(1.3)])
    for component, axis in (("Upara", along), ("Uperp", across)):
        wanted = value(converted, "QuantileMapHist", 1, 40, component, float((met @ axis)[0]))
        np.testing.assert_allclose(nominal @ axis, wanted, rtol=1e-9)
    assert np.abs(converted.met(met, boson, 1, "any", systematic="RespUp") - nominal).max() > 0.1


@real
def test_the_real_file_gives_what_its_histograms_say(tmp_path):
    found = published.load(conversion.convert(REAL, tmp_path / "a.json.gz", SYSTEMATICS))
    u = np.random.default_rng(2).uniform(-120, 100, 40)
    with uproot.open(REAL) as file:
        for njets, ptll, cell in ((0, 5, "NJet0Pt0to10"), (1, 40, "NJet1Pt30to50"), (7, 90, "NJetGe2PtGt50")):
            for component in ("Upara", "Uperp"):
                wanted = [one_by_one(file, cell, x, component) for x in u]
                np.testing.assert_allclose(
                    value(found, "QuantileMapHist", njets, ptll, component, u), wanted, rtol=1e-6, atol=1e-4
                )
    with uproot.open(SYSTEMATICS) as file:
        mean, stretch = -200 * file["NJetGe2"].values()[-1], file["syst"].values()[1, 2]
    assert value(found, "Uncertainty", 2, 200, "Hpara", -100.0, "ResolUp") == pytest.approx(
        mean + (1 + stretch) * (-100 - mean)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nJetBinsH": None}, "has no histogram nJetBinsH"),
        ({"projH": labels(["recoilZParal"])}, "projH has 0 labels with Perp, expected one"),
        ({"ZPtBinsH": labels(["Pt0to20", "PtGt30"])}, "ZPtBinsH has bins Pt0to20, PtGt30; expected such as"),
        ({"ZPtBinsH": histogram([1.0], 0, 2)}, "bins of ZPtBinsH have no labels"),
        ({"recoilZPerp_NJet0PtGt20_hist_mc": None}, "no histogram recoilZPerp_NJet0PtGt20_hist_mc"),
        ({"recoilZParal_NJet0PtGt20_hist_data": histogram([], -1, 1)}, "_hist_data has no events"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(toys, tmp_path, change, message):
    content = {name: each for name, each in (toys | change).items() if each is not None}
    with pytest.raises(CorrectionError, match=message) as raised:
        conversion.convert(write(tmp_path / "a.root", content), tmp_path / "a.json")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "a.json").exists()


def test_what_is_no_root_file(tmp_path):
    (tmp_path / "a.root").write_text("no")
    with pytest.raises(FileError, match="is not a ROOT file"):
        conversion.convert(tmp_path / "a.root", tmp_path / "a.json")


def test_the_command_line(files, tmp_path):
    output = tmp_path / "recoil.json.gz"
    assert str(output) in call("convert", files[0], "--systematics", files[1], "--order", "LO", "--output", output)
    assert published.load(output).set["Recoil_correction_Rescaling"].evaluate("LO", 0.0, 10.0, "Uperp", 0.0) == 0
    assert "is there already" in failure("convert", files[0], "--output", output)
    assert "no histogram ZPtBinsH" in failure("convert", files[1], "--output", tmp_path / "b.json")
