import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

pytest.importorskip("fastjet")

from ptmiss import results, sample, truth
from ptmiss.cli import cli
from ptmiss.errors import ColumnError, FileError
from ptmiss.estimators import reconstruction
from ptmiss.estimators.reconstruction import build
from ptmiss.evaluation import particles, report, summary
from ptmiss.evaluation.study import study
from ptmiss.events import inspect

from ..helpers import unsaved

SOURCE = str(sample.events("zmumu"))
WITH_ELEMENTS = 15


def evaluate(*arguments):
    return CliRunner().invoke(cli, ["evaluate", "mlpf", *map(str, arguments)])


@pytest.fixture(scope="module")
def measured():
    return study([SOURCE], [build("elements"), build("targets")], chunk=7)


@pytest.mark.slow
def test_chunks_change_nothing(measured):
    whole = study([SOURCE], [build("elements"), build("targets")], chunk=60)
    assert len(measured) == len(whole) == WITH_ELEMENTS
    assert whole.notes["event without elements, left out"] == measured.notes["event without elements, left out"] == 45
    for name in whole.met:
        np.testing.assert_allclose(measured.met[name], whole.met[name], atol=1e-3)
    for key in whole.jets:
        for one, other in zip(measured.jets[key], whole.jets[key], strict=True):
            np.testing.assert_allclose(one, other)
    one, other = (s.particles["elements"].ratios["matched"] for s in (measured, whole))
    np.testing.assert_array_equal(one.pt_ratio, other.pt_ratio)
    np.testing.assert_array_equal(one.event, other.event)


def test_targets_are_ideal(measured):
    tables = report.tabulate(measured, 5)
    ideal = tables.rates[tables.rates["estimator"] == "targets"]
    aligned = ideal[ideal["way"] == "aligned"]
    assert (aligned["efficiency"].dropna() == 1).all()
    assert (aligned["fake_rate"].dropna() == 0).all()
    assert (ideal["efficiency"].dropna() > 0.99).all()
    square = tables.confusion[tables.confusion["estimator"] == "targets"].dropna(subset="share")
    assert (square["share"] == (square["true"] == square["found"])).all()
    inclusive = tables.met[tables.met["axis"] == "inclusive"].set_index("estimator")
    assert inclusive["rms"].idxmin() == "targets"


def test_the_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(
        report.figures, "draw_all", lambda tables, to, label, formats, progress: unsaved(None, to / "met", formats)
    )
    monkeypatch.setattr(report, "save", unsaved)
    output = tmp_path / "out"
    done = evaluate(
        SOURCE, "--weights", "none", "--max-events", 20, "--output", output, "--format", "png", "--replicas", 5
    )
    assert done.exit_code == 0, done.output
    assert {"jets.csv", "rates.csv", "manifest.json", "headline.json", "event_0.png", "met.png"} <= {
        path.name for path in output.iterdir()
    }
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["events"] == WITH_ELEMENTS
    assert [one["name"] for one in manifest["reconstructions"]] == ["elements", "targets"]
    assert set(pd.read_csv(output / "rates.csv")["estimator"]) == {"pf", "elements", "targets"}
    again = evaluate(SOURCE, "--weights", "none", "--output", output)
    assert (again.exit_code, again.output) == (1, f"Error: --output {output} is not empty ({results.FORCE})\n")


def test_mlpf_is_drawn_beside(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"weights")
    network = lambda elements, latents: reconstruction.of_elements(elements)
    monkeypatch.setattr(reconstruction, "network", lambda path: network)
    monkeypatch.setattr(report.figures, "draw_all", lambda *args: [])
    tables = report.evaluate([SOURCE], tmp_path / "out", path, max_events=15, replicas=3, formats=[])
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [one["name"] for one in manifest["reconstructions"]] == ["elements", "mlpf", "targets"]
    assert len(manifest["reconstructions"][1]["sha256"]) == 64
    rates = tables.rates.drop(columns="estimator")
    same = [rates[tables.rates["estimator"] == name].reset_index(drop=True) for name in ("mlpf", "elements")]
    pd.testing.assert_frame_equal(*same)
    assert {"mlpf", "mlpf_puppi", "deepmet_mlpf"} <= set(tables.met_distribution["estimator"])
    report.show(tables)
    check_summary(tmp_path / "out", tables)


def check_summary(directory, tables):
    text = summary.markdown(directory)
    heads = [line for line in text.splitlines() if line.startswith("| --- |")]
    assert len(heads) == 4
    assert len({line.count("|") for line in text.split("\n\n")[0].splitlines()}) == 1
    met = tables.met.query("axis == 'inclusive' and estimator == 'mlpf'").iloc[0]
    assert f"| MLPF | all | 15 | {met['rms']:.2f} ± {met['rms_error']:.2f} |" in text
    photons = tables.rates.query("axis == 'pt' and `class` == 'photon' and low == 2 and estimator == 'mlpf'")
    matched = photons[photons["way"] == "matched"].iloc[0]
    assert f"{matched['efficiency']:.3f} ± " in text.split("| photon | 2 to 3 |")[1].splitlines()[0]


def test_a_directory_that_is_no_evaluation(tmp_path):
    with pytest.raises(FileError, match=r"is not an evaluation: jets\.csv is missing"):
        summary.markdown(tmp_path)


def test_what_is_wrong_is_one_line(nothing_shipped, tmp_path, pfnano):
    for arguments, message in (
        ((SOURCE,), "MLPF needs a network, and none comes with this package: name its weights file with --weights"),
        ((pfnano, "--weights", "none"), "has no particle-flow elements (PFElement_*): NanoAOD has candidates"),
        (("nothing.root", "--weights", "none"), "no such file: nothing.root"),
        ((SOURCE, "--weights", "nowhere"), "no such weights file: nowhere"),
    ):
        done = evaluate(*arguments, "--output", tmp_path / "out")
        assert done.exit_code == 1
        assert message in done.output
        assert done.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_file_without_generated_jets():
    file = inspect(SOURCE)
    with pytest.raises(ColumnError, match="an evaluation needs GenJet_pt, which"):
        truth.require(file.branches - {"GenJet_pt"}, file.path)


SAVED = ("jets_chs_all", "met", "efficiency_pt_matched", "particle_pt_matched", "confusion")
"""A figure of each kind: to save one takes most of its time."""


@pytest.mark.slow
def test_figures_are_drawn(measured, tmp_path, monkeypatch):
    made, save = {}, report.figures.save

    def save_some(figure, stem, formats):
        made[stem.name] = figure
        return save(figure, stem, formats) if stem.name in SAVED else unsaved(figure, stem, formats)

    monkeypatch.setattr(report.figures, "save", save_some)
    paths = report.figures.draw_all(report.tabulate(measured, 5), tmp_path, "label", ["png"])
    assert len(paths) == len(made) == 27
    of_many = [figure for name, figure in made.items() if particles.ETA_HARD not in name]  # few are that hard here
    assert all(any(ax.has_data() for ax in figure.axes) for figure in of_many)
    assert all((tmp_path / f"{name}.png").stat().st_size > 10_000 for name in SAVED)


def test_groups_need_an_mlpf(tmp_path):
    done = evaluate(SOURCE, "--weights", "none", "--groups", "--output", tmp_path / "out")
    assert (done.exit_code, done.output) == (
        1,
        "Error: --groups draws what MLPF's elements see, and --weights none leaves MLPF out\n",
    )
