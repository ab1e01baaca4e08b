import gzip
import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from ptmiss import corrections, results
from ptmiss.calibration import calibrate, closure, sources
from ptmiss.cli import cli
from ptmiss.errors import ColumnError, LedgerError, OptionError, UnknownName
from ptmiss.estimators import make_estimators
from ptmiss.processors.zmumu import Zmumu
from ptmiss.runs import fileset, runner

from . import toys


def call(*arguments, code=0):
    done = CliRunner().invoke(cli, ["calibrate", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def failure(output, *arguments):
    """The one line of a failing command that leaves nothing behind."""
    printed = call(*arguments, "--output", output, code=1)
    assert len(printed.splitlines()) == 1, printed
    assert not output.exists()
    assert not list(output.parent.glob(".*"))
    return printed


@pytest.fixture(scope="module")
def made(tables, tmp_path_factory):
    """What the command writes of the toy tables."""
    output = tmp_path_factory.mktemp("calibrated") / "out"
    given = ("--data", tables["data"], "--mc", tables["mc"], "--background", f"{tables['top']}={1 / 3}")
    printed = call(*given, "--estimators", "puppi", "--minimum", 3000, "--closure", "--output", output)
    assert printed == f"{output / 'corrections.json.gz'}\n"
    return output


def test_every_figure_has_its_table(made):
    figures = {path.stem for path in made.glob("*.png")}
    assert {"fits_puppi_u_par_mc", "fits_puppi_u_perp_data", "maps_puppi_u_par", "xy_puppi", "closure"} < figures
    assert {f"puppi_{variable}" for variable in closure.SPECTRA} < figures
    for name in figures:
        assert len(pd.read_csv(made / f"{name}.csv")) > 5
        assert (made / f"{name}.png").stat().st_size > 20_000
    assert {"fits.csv", "response.csv", "pileup.csv", "cms_puppi.json.gz"} < {path.name for path in made.iterdir()}
    manifest = json.loads((made / results.MANIFEST).read_text())
    assert manifest["sha256"] == corrections.load(made / "corrections.json.gz").sha256
    fits = pd.read_csv(made / "fits.csv")
    assert set(fits["status"]) <= {"fitted", "fewer", "limit", "smoothed"}


def test_the_calibration_closes_on_events_that_it_was_not_derived_from(made):
    table = pd.read_csv(made / "closure.csv")
    before = (table["before"] - 1) / table["before_error"]
    after = (table["after"] - 1) / np.hypot(table["after_error"], table["systematic"])
    assert (before**2).mean() > 5
    assert (after**2).mean() < 2
    summary = pd.read_csv(made / "closure_summary.csv").set_index("quantity")
    assert summary["p_before"].max() < 1e-4
    assert summary["p_after_total"].min() > 0.001


def test_the_azimuth_of_data_is_flat_afterwards(made):
    table = pd.read_csv(made / "puppi_met_phi.csv")
    for when, good in (("before", False), ("after", True)):
        part = table[table["when"] == when]
        chi2 = (((part["data"] - part["data"].mean()) / part["data_error"]) ** 2).sum()
        assert bool(chi2 < 2 * len(part)) is good


def test_data_and_simulation_agree_bin_by_bin(made):
    for name in ("u_perp", "met"):
        table = pd.read_csv(made / f"puppi_{name}.csv")
        size = {}
        for when, part in table.groupby("when"):
            good = part[part["data"] > 50]
            error = np.hypot(good["ratio_error"], good["MC events"])
            size[when] = (((good["ratio"] - 1) / error) ** 2).mean()
        assert size["before"] > 3
        assert size["after"] < 2


def test_samples_that_are_the_same_or_swapped(tables, tmp_path):
    output = tmp_path / "out"
    both = ("--data", tables["mc"], "--mc", tables["mc"])
    assert "are the same sample" in failure(output, *both, "--estimators", "puppi")
    swapped = ("--data", tables["mc"], "--mc", tables["data"])
    assert "is simulation and --mc" in failure(output, *swapped, "--estimators", "puppi")


def test_names_factors_and_events_that_are_not_there(tables, tmp_path):
    output = tmp_path / "out"
    given = ("--data", tables["data"], "--mc", tables["mc"])
    assert "unknown estimator in" in failure(output, *given, "--estimators", "puppy")
    assert "did you mean 'puppi'" in failure(output, *given, "--estimators", "puppy")
    few = (*given, "--estimators", "puppi", "--minimum", 1e6)
    assert "a calibration needs 1e+06 (--minimum)" in failure(output, *few)
    top = (*given, "--estimators", "puppi", "--background")
    assert "has no cross_section (pb) in its metadata" in failure(output, *top, tables["top"])
    assert "expected a positive number after =, not '-1'" in failure(output, *top, f"{tables['top']}=-1")
    assert "no such recoil table" in failure(output, "--data", tmp_path / "no", "--mc", tables["mc"])


def test_tables_without_a_column_or_without_muon_pairs(tables, tmp_path):
    data = pd.read_parquet(tables["data"])
    data.drop(columns="npv").to_parquet(tmp_path / "short.parquet")
    with pytest.raises(ColumnError, match="is not a recoil table: it has no column npv"):
        sources.read(str(tmp_path / "short.parquet"))
    data.assign(boson_mass=30.0).to_parquet(tmp_path / "light.parquet")
    with pytest.raises(OptionError, match="no event has a muon pair with 80 < mass < 100 GeV"):
        sources.read(str(tmp_path / "light.parquet"))


def test_backgrounds_are_normalised_by_their_metadata(tables, tmp_path):
    rng = np.random.default_rng(0)
    described = {name: {"datasets": {name: {"metadata": meta}}} for name, meta in
                 (("data", {"luminosity": 2.0}), ("top", {"cross_section": 0.5}))}  # fmt: skip
    for name, sample in (("data", "data"), ("top", "mc")):
        toys.write(tmp_path / f"{name}.parquet", toys.columns(toys.DATA, 100, sample, rng), provenance=described[name])
    data = sources.read(str(tmp_path / "data.parquet"))
    found = sources.background(str(tmp_path / "top.parquet"), data)
    assert found.factor == pytest.approx(0.5e3 * 2.0 / 100)


SKIPPED = {"dataset": "top", "path": "b.root", "start": 0, "stop": 100, "events": 100, "kind": "file", "reason": "cut"}


@pytest.mark.parametrize(
    ("name", "ledger", "message"),
    [
        ("top", {"skipped": [SKIPPED], "duplicates": {}}, "is not complete: skipped b.root"),
        ("data", {"skipped": [SKIPPED | {"dataset": "data"}], "duplicates": {}}, "is not complete: skipped b.root"),
        ("data", {"skipped": [], "duplicates": {"events": 5000, "files": ["a.root"]}}, "5000 events"),
    ],
)
def test_a_background_is_not_normalised_by_what_a_ledger_forbids(tmp_path, name, ledger, message):
    """Half of the events skipped and 5000 of them twice would give a factor that is twice too large."""
    rng = np.random.default_rng(0)
    for dataset, metadata in (("data", {"luminosity": 2.0, "kind": "data"}), ("top", {"cross_section": 0.5})):
        own = ledger if dataset == name else {"skipped": [], "duplicates": {}}
        described = {"datasets": {dataset: {"metadata": metadata, "ledger": own}}}
        sample = "data" if dataset == "data" else "mc"
        toys.write(tmp_path / f"{dataset}.parquet", toys.columns(toys.DATA, 100, sample, rng), provenance=described)
    data = sources.read(str(tmp_path / "data.parquet"))
    with pytest.raises(LedgerError, match=message):
        sources.background(str(tmp_path / "top.parquet"), data)
    assert sources.background(f"{tmp_path / 'top.parquet'}=3", data).factor == 3


def test_a_background_whose_weights_add_up_to_nothing(tmp_path):
    rng = np.random.default_rng(0)
    for dataset, metadata in (("data", {"luminosity": 2.0}), ("top", {"cross_section": 0.5})):
        columns = toys.columns(toys.DATA, 100, "data" if dataset == "data" else "mc", rng)
        if dataset == "top":
            columns = columns | {"weight": np.tile([1.0, -1.0], 50)}
        toys.write(tmp_path / f"{dataset}.parquet", columns, provenance={"datasets": {dataset: {"metadata": metadata}}})
    with pytest.raises(LedgerError, match="add up to 0, which scales to nothing"):
        sources.background(str(tmp_path / "top.parquet"), sources.read(str(tmp_path / "data.parquet")))


@pytest.fixture(scope="module")
def run(invented, tmp_path_factory):
    """A run of the processor over invented events, as data and as simulation."""
    files = fileset.parse({name: {"files": [str(invented)], "metadata": {"kind": name}} for name in ("data", "mc")})
    outputs, details = runner.run(files, Zmumu(make_estimators(["pf", "puppi"])))
    directory = tmp_path_factory.mktemp("run") / "out"
    results.save(directory, details, outputs)
    return directory


def test_a_run_is_a_source_like_a_table(run):
    data, mc = (sources.read(f"{run}:{name}") for name in ("data", "mc"))
    calibration = calibrate.derive(data, mc, [], ["puppi"], minimum=120)
    assert calibration.pileup is None
    assert not calibration.xy_first
    assert calibration.made["data"]["sha256"].endswith(":data")
    for derived in calibration.derivations.values():
        x = np.linspace(-40, 40, 20)
        np.testing.assert_allclose(derived.maps["nominal"][0](x), x, atol=1e-4)
    with pytest.raises(OptionError, match="is a run: it keeps no events"):
        data.part(0, 2)


def test_runs_that_cannot_be_calibrated(run, tables, tmp_path):
    with pytest.raises(OptionError, match=r"has several datasets, expected .*:NAME with one of data, mc"):
        sources.read(str(run))
    with pytest.raises(UnknownName, match=r"dataset in .* 'top'"):
        sources.read(f"{run}:top")
    data, mc = (sources.read(f"{run}:{name}") for name in ("data", "mc"))
    with pytest.raises(OptionError, match="swapped"):
        sources.check(mc, data, ["puppi"])
    with pytest.raises(OptionError, match="expected recoil tables alone, or runs alone"):
        calibrate.derive(sources.read(str(tables["data"])), mc, [], ["puppi"])
    loaded = results.load(run)
    bare = {"mc": {name: h for name, h in loaded.histograms["mc"].items() if name != "residuals"}}
    results.save(tmp_path / "bare", {"datasets": {"mc": loaded.manifest["datasets"]["mc"]}}, bare)
    with pytest.raises(ColumnError, match="has no histogram residuals: a run of the processor zmumu keeps them"):
        sources.read(str(tmp_path / "bare"))


def test_a_file_of_corrections_is_gzip_json(made):
    assert json.loads(gzip.decompress((made / "cms_puppi.json.gz").read_bytes()))["schema_version"] == 2
