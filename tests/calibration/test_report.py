import gzip
import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from ptmiss import corrections, results
from ptmiss.calibration import closure, sources
from ptmiss.cli import cli
from ptmiss.errors import ColumnError, LedgerError, OptionError
from ptmiss.estimators import make_estimators
from ptmiss.processors.boson import Zmumu
from ptmiss.runs import fileset, runner
from ptmiss.runs.skim import Weighting, skim

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


@pytest.mark.slow
def test_every_figure_has_its_table(made):
    figures = {path.stem for path in made.glob("*.png")}
    assert {
        "fits_puppi_u_par_mc",
        "fits_puppi_u_perp_data",
        "maps_puppi_u_par",
        "laws_puppi_u_perp",
        "xy_puppi",
        "closure",
        "conditions",
    } < figures
    assert {f"puppi_{variable}" for variable in closure.SPECTRA} < figures
    for name in figures:
        assert len(pd.read_csv(made / f"{name}.csv")) > 5
        assert (made / f"{name}.png").stat().st_size > 20_000
    assert {"fits.csv", "response.csv", "pileup.csv", "cms_puppi.json.gz"} < {path.name for path in made.iterdir()}
    manifest = json.loads((made / results.MANIFEST).read_text())
    assert manifest["sha256"] == corrections.load(made / "corrections.json.gz").sha256
    fits, laws = (pd.read_csv(made / f"{name}.csv") for name in ("fits", "laws"))
    assert (fits["chi2"] / fits["ndof"]).median() < 1.5
    assert {"nominal", "gaussians", "njets_inclusive", "background_up"} < set(laws["fit"])


@pytest.mark.slow
def test_the_calibration_closes_on_events_that_it_was_not_derived_from(made):
    table = pd.read_csv(made / "closure.csv")
    before = (table["before"] - 1) / table["before_error"]
    after = (table["after"] - 1) / np.hypot(table["after_error"], table["systematic"])
    assert (before**2).mean() > 5
    assert (after**2).mean() < 2
    summary = pd.read_csv(made / "closure_summary.csv").set_index("quantity")
    assert summary["p_before"].max() < 1e-4
    assert summary["p_after"].min() > 0.001


@pytest.mark.slow
def test_the_azimuth_of_data_is_flat_afterwards(made):
    table = pd.read_csv(made / "puppi_met_phi.csv")
    for when, good in (("before", False), ("after", True)):
        part = table[table["when"] == when]
        chi2 = (((part["data"] - part["data"].mean()) / part["data_error"]) ** 2).sum()
        assert bool(chi2 < 2 * len(part)) is good


@pytest.mark.slow
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
    with pytest.raises(OptionError, match="no event has a boson of the selection, in its window of mass"):
        sources.read(str(tmp_path / "light.parquet"))


def made_of(name, ledger=None, **metadata):
    """How a table of 100 events was made."""
    every = {"listed": 100, "events": 100, "sumw": 100.0, "skipped": [], "duplicates": {}}
    return {"datasets": {name: {"metadata": metadata, "ledger": {**every, **(ledger or {})}}}}


def test_backgrounds_are_normalised_by_their_metadata(tables, tmp_path):
    rng = np.random.default_rng(0)
    described = {
        "data": made_of("data", luminosity=2.0, kind="data"),
        "top": made_of("top", cross_section=0.5, kind="mc"),
    }
    for name, sample in (("data", "data"), ("top", "mc")):
        toys.write(tmp_path / f"{name}.parquet", toys.columns(toys.DATA, 100, sample, rng), provenance=described[name])
    data = sources.read(str(tmp_path / "data.parquet"))
    found = sources.background(str(tmp_path / "top.parquet"), data)
    assert found.factor == pytest.approx(0.5e3 * 2.0 / 100)


METADATA = {"data": {"luminosity": 2.0, "kind": "data"}, "top": {"cross_section": 0.5, "kind": "mc"}}
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
    for dataset, metadata in METADATA.items():
        described = made_of(dataset, ledger if dataset == name else {}, **metadata)
        sample = "data" if dataset == "data" else "mc"
        toys.write(tmp_path / f"{dataset}.parquet", toys.columns(toys.DATA, 100, sample, rng), provenance=described)
    data = sources.read(str(tmp_path / "data.parquet"))
    with pytest.raises(LedgerError, match=message):
        sources.background(str(tmp_path / "top.parquet"), data)
    assert sources.background(f"{tmp_path / 'top.parquet'}=3", data).factor == 3
    (tmp_path / "era=2018").mkdir()
    (tmp_path / "top.parquet").rename(tmp_path / "era=2018" / "top.parquet")
    assert sources.background(f"{tmp_path}/era=2018/top.parquet=0.18", data).factor == 0.18


def test_samples_that_their_metadata_contradict(tmp_path):
    rng = np.random.default_rng(0)
    kinds = {"open": {}, "mc": {"kind": "mc"}, "top": {"kind": "mc", "role": "background"}, "data": {"kind": "data"},
             "dy": {"kind": "mc", "role": "signal"}}  # fmt: skip
    found = {}
    for name, metadata in kinds.items():
        columns = toys.columns(toys.DATA, 100, "data" if name == "data" else "mc", rng)
        described = made_of(name, **metadata)
        found[name] = sources.read(str(toys.write(tmp_path / f"{name}.parquet", columns, provenance=described)))
    for data, mc, message in (
        ("open", "mc", "dataset 'open' needs a kind in its metadata, .*: 'data' or 'mc'"),
        ("dy", "mc", "--data .*dy.parquet: dataset 'dy' has kind 'mc', expected 'data', with \"pseudo_data\": true"),
        ("data", "top", "--mc .*top.parquet: dataset 'top' has role 'background', expected 'signal'"),
    ):
        with pytest.raises(OptionError, match=message):
            sources.check(found[data], found[mc], ["puppi"])
    for name, message in (
        ("dy", "has role 'signal', expected 'background'"),
        ("data", "has kind 'data', expected 'mc'"),
    ):
        with pytest.raises(OptionError, match=message):
            sources.background(f"{tmp_path / name}.parquet=2", found["data"])


def test_a_background_whose_weights_add_up_to_nothing(tmp_path):
    rng = np.random.default_rng(0)
    for dataset, metadata in METADATA.items():
        columns = toys.columns(toys.DATA, 100, "data" if dataset == "data" else "mc", rng)
        if dataset == "top":
            columns = columns | {"weight": np.tile([1.0, -1.0], 50)}
        described = made_of(dataset, {"sumw": float(columns["weight"].sum())}, **metadata)
        toys.write(tmp_path / f"{dataset}.parquet", columns, provenance=described)
    with pytest.raises(LedgerError, match=r"add up to 0 \(by its events\), which scales to nothing"):
        sources.background(str(tmp_path / "top.parquet"), sources.read(str(tmp_path / "data.parquet")))


def both(path):
    """The same events as data and as a skim of a simulation."""
    data = {"kind": "data", "pseudo_data": True, "luminosity": 2.0}
    about = {"data": data, "mc": {"kind": "mc", "cross_section": 0.5, "sumw": 900.0}}
    return fileset.parse({name: {"files": [str(path)], "metadata": known} for name, known in about.items()})


@pytest.fixture(scope="module")
def run(invented, tmp_path_factory):
    """A run of the processor over invented events, as data and as simulation."""
    outputs, details = runner.run(both(invented), Zmumu(make_estimators(["pf", "puppi"])))
    directory = tmp_path_factory.mktemp("run") / "out"
    results.save(directory, details, outputs)
    return directory


def test_a_run_and_tables_of_the_same_events_are_normalised_alike(run, invented, tmp_path):
    skimmed = tmp_path / "scaled.parquet"
    skim(both(invented), make_estimators(["pf"]), skimmed, weighting=Weighting(luminosity=7.0))
    found = [sources.background(f"{source}:mc", sources.read(f"{source}:data")) for source in (run, skimmed)]
    assert found[0].factor == pytest.approx(0.5e3 * 2.0 / 900)
    weight = found[1].factor * found[1].source.events["weight"]
    np.testing.assert_allclose(weight, 0.5e3 * 2.0 / 900)


@pytest.mark.slow
def test_a_file_of_corrections_is_gzip_json(made):
    assert json.loads(gzip.decompress((made / "cms_puppi.json.gz").read_bytes()))["schema_version"] == 2
