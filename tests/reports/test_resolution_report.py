import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner

from ptmiss import resolutions, results, verbs
from ptmiss import table as recoil_tables
from ptmiss.cli import cli
from ptmiss.errors import OptionError, UnknownName
from ptmiss.estimators import make_estimators
from ptmiss.processors.boson import Zmumu
from ptmiss.reports import resolution_report
from ptmiss.runs import fileset, runner
from ptmiss.runs.skim import skim


def filled(path, **options):
    return resolution_report.fill(resolution_report.source_of(path), **options)


@pytest.fixture(scope="module")
def both(invented, tmp_path_factory):
    """The same events as a run and as a table."""
    folder = tmp_path_factory.mktemp("both")
    files = fileset.parse({"z": [str(invented)]})
    outputs, details = runner.run(files, Zmumu(make_estimators(["pf", "puppi"])), chunksize=100)
    results.save(folder / "run", details, outputs)
    skim(files, make_estimators(["pf", "puppi"]), folder / "t.parquet")
    return folder


@pytest.mark.slow
def test_a_run_and_a_table_give_the_same_numbers(both, tmp_path):
    frames = []
    for source in ("run", "t.parquet"):
        made = verbs.resolution(both / source, tmp_path / source, "bin")
        assert all(figure.stat().st_size > 10_000 for figure in made.figures)
        frames.append(pd.read_csv(tmp_path / source / resolution_report.TABLE))
    run, table = frames
    pd.testing.assert_frame_equal(run, table, rtol=1e-4, atol=1e-4)
    assert run["n_eff"].max() > 50
    inclusive = run[(run["axis"] == "inclusive") & (run["region"] == "inclusive")].set_index("estimator")
    assert inclusive["rms_perp"]["puppi"] < inclusive["rms_perp"]["pf"]


def test_tables_with_another_boson(both):
    histograms = filled(both / "t.parquet", boson="genmet").histograms
    assert histograms["moments"].sum(flow=True) != 0
    with pytest.raises(OptionError, match="no event of the table has a generated boson and a selected lepton; "):
        filled(both / "t.parquet", boson="genboson")


def test_options_that_make_no_sense(both, tmp_path):
    with pytest.raises(UnknownName, match="dataset in the table 'y'"):
        filled(both / "t.parquet", dataset="y")
    with pytest.raises(UnknownName, match="dataset in the run 'y'"):
        filled(both / "run", dataset="y")
    run = results.load(both / "run")
    twice = {"z": run.histograms["z"], "more": run.histograms["z"]}
    results.save(tmp_path / "two", {"datasets": {name: {} for name in twice}}, twice)
    with pytest.raises(OptionError, match="several datasets, --dataset takes one of z, more"):
        filled(tmp_path / "two")


@pytest.mark.slow
def test_the_manifest_says_how_it_was_made(both, tmp_path):
    verbs.resolution(both / "run", tmp_path / "out", "none", window=100)
    made = (tmp_path / "out" / results.MANIFEST).read_text()
    assert '"correction": "none"' in made
    assert '"window": 100' in made
    assert "rms_par_window" in pd.read_csv(tmp_path / "out" / resolution_report.TABLE).columns
    assert np.isfinite(pd.read_csv(tmp_path / "out" / resolution_report.TABLE)["n_eff"]).all()


@pytest.mark.slow
def test_events_that_count_for_no_estimator_are_counted(both, tmp_path):
    read = recoil_tables.read(both / "t.parquet")
    has = np.flatnonzero(resolutions.has_boson(read, "boson"))[0]
    pt = read["met_puppi_pt"].copy()
    pt[has] = np.nan
    place = read.data.column_names.index("met_puppi_pt")
    with recoil_tables.writing(tmp_path / "t.parquet") as writer:
        writer.write(read.data.set_column(place, "met_puppi_pt", pa.array(pt)))
        writer.close({})
    said = CliRunner().invoke(
        cli, ["resolution", str(tmp_path / "t.parquet"), "--correction", "none", "--output", str(tmp_path / "out")]
    )
    assert said.exit_code == 0, said.output
    assert "events left out: 1 (pTmiss not finite in every estimator)" in said.output
    assert '"left_out": 1' in (tmp_path / "out" / results.MANIFEST).read_text()
