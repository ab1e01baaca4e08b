"""Spectra of recoil tables beside those of runs over the same events."""

import json

import numpy as np
import pytest

from ptmiss import sample, table
from ptmiss.errors import ColumnError, OptionError, UnknownName
from ptmiss.estimators import make_estimators
from ptmiss.fitting import inputs, spectra
from ptmiss.processors.boson import Zmumu
from ptmiss.processors.neutrino import Wmunu
from ptmiss.results import RunResult, save
from ptmiss.runs import fileset, runner
from ptmiss.runs.skim import Weighting, skim
from ptmiss.selections import load_selection

pytestmark = pytest.mark.slow

WEIGHT = {"kind": "formula", "formula": "1 + 0.01 * PV_npvs", "up": "1 + 0.02 * PV_npvs", "down": "1"}
DATASETS = {
    "wmunu": ("wmunu", {"kind": "mc", "role": "signal", "cross_section": 20508.9}),
    "dy": ("zmumu", {"kind": "mc", "role": "background", "cross_section": 2025.7}),
    "data": ("data", {"kind": "data", "pseudo_data": True, "luminosity": 0.001}),
}
PROCESSORS = {"wmunu": Wmunu, "zmumu": Zmumu}


@pytest.fixture(scope="module")
def made():
    """A fileset, a selection and estimators, with variations of weights and of pTmiss."""
    files = {name: {"files": [str(sample.events(of))], "metadata": about} for name, (of, about) in DATASETS.items()}
    chosen = load_selection({"weights": {"vertices": WEIGHT}})
    return fileset.parse(files), chosen, make_estimators(["pf", "puppi"], systematics=["puppi=photons"])


@pytest.fixture(scope="module")
def skimmed(made, tmp_path_factory):
    """A directory of their recoil tables."""
    files, selection, estimators = made
    folder = tmp_path_factory.mktemp("skim") / "recoil"
    skim(files, estimators, folder, selection=selection, weighting=Weighting(luminosity=0.002))
    return folder


@pytest.fixture(scope="module")
def runs(made):
    """Runs of both processors over the same events."""
    files, selection, estimators = made
    done = {name: runner.run(files, of(estimators, selection)) for name, of in PROCESSORS.items()}
    return {name: RunResult(details, histograms) for name, (histograms, details) in done.items()}


@pytest.mark.parametrize(
    ("channel", "observable"),
    [("wmunu", "mt"), ("wmunu", "u_par"), ("wmunu", "met_phi"), ("zmumu", "u_perp"), ("zmumu", "met")],
)
def test_the_histograms_are_those_of_a_run(channel, observable, skimmed, runs):
    stored = table.open_table(skimmed)
    found = spectra.of_table(stored, observable, channel=channel)
    for dataset, about in stored.datasets.items():
        one, other = found.histograms[dataset][observable], runs[channel].histograms[dataset][observable]
        for systematic in one.axes["systematic"]:
            where = {"systematic": systematic}
            scaled = one[where].view(flow=True)["value"] / about["scale"]
            np.testing.assert_allclose(scaled, other[where].view(flow=True)["value"], rtol=1e-6, atol=1e-6)
        assert set(one.axes["systematic"]) <= set(other.axes["systematic"])  # nominal alone without events
    signal = {"wmunu": "wmunu", "zmumu": "dy"}[channel]
    varied = set(found.histograms[signal][observable].axes["systematic"])
    assert varied == {"nominal", *(f"{name}_{side}" for name in ("vertices", "photons") for side in ("up", "down"))}
    assert set(found.histograms["data"][observable].axes["systematic"]) == {"nominal"}


def test_templates_of_a_table_are_those_of_a_run(skimmed, runs, tmp_path):
    run = runs["wmunu"]
    save(tmp_path / "run", {**run.manifest, "sha256": {}}, run.histograms)
    options = {"estimators": ["puppi"], "minimum": 3}
    (one,) = inputs.write([skimmed], "mt", tmp_path / "one", **options)
    (other,) = inputs.write(tmp_path / "run", "mt", tmp_path / "other", **options)
    np.testing.assert_array_equal(one.edges, other.edges)
    np.testing.assert_array_equal(one.data, other.data)
    assert one.systematics == other.systematics
    for name, process in other.processes.items():
        np.testing.assert_allclose(one.processes[name].nominal.values, process.nominal.values, rtol=1e-6)
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    assert manifest["source_sha256"] == table.open_table(skimmed).sha256
    with pytest.raises(OptionError, match="--channel wmunu is of recoil tables"):
        inputs.write(tmp_path / "run", "mt", tmp_path / "third", channel="wmunu")


def test_corrected_columns_count_where_a_skim_has_them(applied, tmp_path):
    """With the variations of the correction, and its weights by number of vertices."""
    about = {"kind": "mc", "role": "signal", "cross_section": 2025.7}
    files = fileset.parse({"dy": {"files": [str(sample.events("zmumu"))], "metadata": about}})
    estimators = make_estimators(["puppi"])
    skim(files, estimators, tmp_path / "t.parquet", corrections=applied.path)
    histograms, _ = runner.run(files, Zmumu(estimators, corrections=applied.path))
    found = spectra.of_table(table.open_table(tmp_path / "t.parquet"), "u_par", channel="zmumu")
    one, other = found.histograms["dy"]["u_par"], histograms["dy"]["u_par"]
    assert list(one.axes["systematic"]) == list(other.axes["systematic"])
    assert "smoothing" in one.axes["systematic"]
    np.testing.assert_allclose(one.values(flow=True), other.values(flow=True), rtol=1e-5, atol=1e-5)


def test_what_a_table_does_not_have(skimmed):
    stored = table.open_table(skimmed)
    with pytest.raises(OptionError, match="the table has events of wmunu and zmumu: expected --channel with one"):
        spectra.of_table(stored, "met")
    with pytest.raises(UnknownName, match="unknown estimator in the table 'deepmet'"):
        spectra.of_table(stored, "mt", ["deepmet"])
    with pytest.raises(ColumnError, match="no column 'met_puppi_covXX'"):
        spectra.of_table(stored, "significance", ["puppi"], "zmumu")
    with pytest.raises(OptionError, match="the selection is of wmunu, zmumu, expected one of gammajet"):
        spectra.of_table(stored, "met", channel="gammajet")
    with pytest.raises(OptionError, match="templates need a table that says what its datasets are"):
        spectra.of_table(table.open_table(sample.recoil("zmumu")), "u_par")


def test_no_single_lepton_no_mt():
    with pytest.raises(OptionError, match="mt needs a lepton, the table has gammajet"):
        spectra.channel_of(load_selection("gamma-jet"), "mt")
