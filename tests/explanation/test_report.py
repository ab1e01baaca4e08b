"""``ptmiss explain`` from a file to a directory and a page."""

import json

import pandas as pd
import pytest

import ptmiss
from ptmiss import explanation, sample
from ptmiss.explanation import report

from ..helpers import call, failure


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An explanation of the embedded events, by the command line."""
    place = tmp_path_factory.mktemp("explained") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ptmiss.explanation.report.save", lambda figure, stem, formats: stem.with_suffix(".png").touch())
        patch.setattr("ptmiss.explanation.gradients.STEPS", 4)
        printed = call("explain", "deepmet", sample.events("zmumu"), "--replicas", 5, "--output", place)
    assert "charged hadrons, primary" in printed
    assert "puppiWeight" in printed
    return place


def test_what_is_written(place):
    names = {path.name for path in place.iterdir()} - {".written"}
    stems = ("parts", "dependence", "importance", "covariances")
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("csv", "png")} | {"manifest.json"}
    made = json.loads((place / "manifest.json").read_text())
    assert [each["name"] for each in made["estimators"]] == ["deepmet", "pf", "puppi"]
    assert made["events"] == 13


def test_what_was_written_is_read(place):
    found = report.read(place)
    assert found.estimator == "deepmet"
    whole = found.parts[found.parts["level"] == "all"].set_index("estimator")
    assert whole["share_par"].tolist() == pytest.approx([1, 1, 1])
    assert set(found.importance) >= {"loss_par", "loss_par_error", "moved_par", "attributed_par"}
    assert found.covariances.to_numpy().sum() == pytest.approx(whole.loc["deepmet", "variance_perp"], rel=1e-4)
    assert set(found.figures()) == {"parts", "dependence", "importance", "covariances"}


@pytest.mark.slow
def test_a_page_of_it(place, tmp_path, empty_pictures):
    page = ptmiss.report(place, tmp_path / "page.html").read_text()
    assert "Parts of the recoil by kind and vertex" in page
    assert "Covariances of the parts" in page


def test_the_same_from_python_without_a_directory():
    found = ptmiss.explain("linear", sample.events("zmumu"), against=[], replicas=3)
    assert found.estimator == "linear"
    assert list(found.parts["estimator"].unique()) == ["linear"]
    explanation.show(found)


def test_what_cannot_be_explained(tmp_path):
    events = sample.events("zmumu")
    assert "no event of" in failure("explain", "deepmet", sample.events("wmunu"))
    assert "is no sum over the file's candidates" in failure(
        "explain", "deepmet", events, "--against", "stored.PuppiMET"
    )
    assert "no such weights file: nothing" in failure("explain", "nothing", events)
    (tmp_path / "parts.csv").write_text("estimator,level\n")
    with pytest.raises(ptmiss.errors.FileError, match="is not an explanation"):
        report.read(tmp_path)
    pd.DataFrame({"estimator": ["a"]}).to_csv(tmp_path / "parts.csv")
    with pytest.raises(ptmiss.errors.FileError, match="is not an explanation"):
        report.read(tmp_path)
