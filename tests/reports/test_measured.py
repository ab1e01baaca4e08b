import numpy as np
import pandas as pd
import pytest
import yaml

from ptmiss import sample
from ptmiss.errors import ColumnError, FileError, OptionError, UnknownName
from ptmiss.reports import html, measured
from ptmiss.reports.exhibit import Exhibit, Section

EDGES = np.arange(0.0, 121.0, 2.0)


def published(path, **columns):
    """A published table of 2 GeV bins up to 120 GeV."""
    pd.DataFrame({"low": EDGES[:-1], "high": EDGES[1:], **columns}).to_csv(path, index=False)
    path.write_text("# a source\n" + path.read_text())
    return path


def triangle(top, end):
    """Events of a spectrum that rises to a peak and falls to nothing."""
    x = (EDGES[1:] + EDGES[:-1]) / 2
    return np.where(x < top, x / top, np.maximum(0, (end - x) / (end - top))) * 1e6


def spectrum_section():
    """Ours in bins of 4 GeV up to 160 GeV: three events a GeV of PF, and of another estimator."""
    edges = np.arange(0.0, 161.0, 4.0)
    bins = {"low": edges[:-1], "high": edges[1:], "events": 12.0, "events_error": np.sqrt(12)}
    rows = pd.concat([pd.DataFrame({"estimator": name, "axis": "mt", **bins}) for name in ("pf", "mine")])
    widths = pd.DataFrame({"estimator": ["pf", "mine"], "half_width": [19.0, 12.0], "half_width_error": [2.0, 1.0]})
    return Section("w", "recoil table", [Exhibit("mT", rows), Exhibit("Sharpness", widths)])


def test_shapes_of_a_spectrum_and_half_widths(tmp_path):
    path = published(tmp_path / "mt.csv", PF=triangle(60, 100), PF_err=1.0, PUPPI=triangle(60, 90))
    section = measured.beside(spectrum_section(), [measured.read(f"mt={path}")])
    shapes, widths = section.exhibits[2:]
    assert list(shapes.table["estimator"].unique()) == ["pf"]
    assert (shapes.table["high"].max(), len(shapes.table)) == (120, 30)
    np.testing.assert_allclose(shapes.table["density"], 1 / 120)
    np.testing.assert_allclose((shapes.table["published"] * 4).sum(), 1)
    first = triangle(60, 100)[:2].sum() / triangle(60, 100).sum() / 4
    assert shapes.table["published"].iloc[0] == pytest.approx(first)
    assert shapes.table["published_error"].iloc[0] == pytest.approx(np.sqrt(2) / triangle(60, 100).sum() / 4)
    assert widths.table["half_width"].tolist() == [19.0]
    assert widths.table["published"].tolist() == pytest.approx([20], abs=2)  # a spline blurs a corner


def test_a_resolution_keeps_its_own_bins(tmp_path):
    ours = {"estimator": "pf", "axis": "qt", "low": [0.0, 10.0], "high": [10.0, 20.0], "rms_par": [20.0, 21.0]}
    section = Section("z", "run", [Exhibit("RMS", pd.DataFrame(ours | {"rms_par_error": 0.5}))])
    path = tmp_path / "rms.yaml"
    bins = [{"low": 0, "high": 15}, {"low": 15, "high": 30}]
    values = [{"value": 22, "errors": [{"symerror": 3}, {"asymerror": {"plus": 4, "minus": -1}}]}, {"value": 23}]
    document = {
        "independent_variables": [{"header": {"name": "qt"}, "values": bins}],
        "dependent_variables": [{"header": {"name": "PF"}, "values": values}],
    }
    path.write_text(yaml.safe_dump(document))
    (_, made) = measured.beside(section, [measured.read(f"rms_par={path}")]).exhibits
    assert made.table["rms_par"].dropna().tolist() == [20, 21]
    assert made.table["published"].dropna().tolist() == [22, 23]
    assert made.table["published_error"].dropna().tolist() == [5, 0]
    assert made.table["high"].tolist() == [10, 20, 15, 30]


def test_a_section_without_the_quantity_stays(tmp_path):
    path = published(tmp_path / "met.csv", PF=triangle(20, 80))
    section = spectrum_section()
    assert measured.beside(section, [measured.read(f"met={path}")]) is section


@pytest.mark.parametrize(
    ("given", "content", "error", "message"),
    [
        ("a.csv", "", OptionError, r"--published a\.csv: expected QUANTITY=FILE"),
        ("mass=a.csv", "", UnknownName, "quantity of --published 'mass'"),
        ("mt=absent.csv", "", FileError, r"no such published table: absent\.csv"),
        ("mt=a.csv", "bin,PF\n1,2\n", ColumnError, r"a\.csv: no column low, high; there: bin, PF"),
        ("mt=a.csv", "low,high,PF\n1,2,x\n", FileError, r"a\.csv is no published table: could not convert"),
        ("mt=a.yaml", "a: [", FileError, r"a\.yaml is no published table"),
        ("mt=a.yaml", "a: 1", FileError, r"a\.yaml is no published table: 'independent_variables'"),
    ],
)
def test_tables_that_are_none(given, content, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = given.partition("=")[2]
    if content:
        (tmp_path / name).write_text(content)
    elif name == "a.csv":
        published(tmp_path / name, PF=1.0)
    with pytest.raises(error, match=message):
        measured.read(given)


def test_other_estimators_are_one_line(tmp_path):
    path = published(tmp_path / "mt.csv", Other=triangle(60, 100))
    with pytest.raises(OptionError, match=r"mt\.csv has other, and none of the estimators pf, mine"):
        measured.beside(spectrum_section(), [measured.read(f"mt={path}")])


@pytest.mark.slow
def test_the_measurement_beside_the_embedded_sample(shared, tmp_path):
    path = shared / "analysis" / "deepmet" / "figure8b_mT_W.csv"
    if not path.is_file():
        pytest.skip(f"no {path}")
    html.report([str(sample.recoil("wmunu"))], tmp_path / "w.html", published=[f"mt={path}"])
    text = (tmp_path / "w.html").read_text()
    assert "Right half width of mT beside the published" in text
    widths = measured.half_widths(measured.read(f"mt={path}"))
    assert widths == pytest.approx({"pf": 26, "puppi": 18, "deepmet": 16}, abs=1.3)  # as published, in bins of 2 GeV
