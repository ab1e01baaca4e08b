"""One order of corrections: tables and runs of the same events give one calibration."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from ptmiss import corrections, results, verbs
from ptmiss.calibration import calibrate, preparation, report, sources
from ptmiss.cli import cli
from ptmiss.errors import ColumnError, OptionError, UnknownName
from ptmiss.recoil import recoil

from . import toys

NAME = "stored.PuppiMET"
METADATA = {"data": {"kind": "data"}, "mc": {"kind": "mc", "role": "signal"}}
MINIMUM = 20_000  # effective events: few cells


class Toy:
    """The same events of data and simulation as tables and as runs; simulation has data's recoil, but no XY shift."""

    def __init__(self, directory, events: int, scale: float):
        rng = np.random.default_rng(5)
        self.directory = directory
        shift = {"data": scale * np.array(toys.SHIFT["data"]), "mc": np.zeros((2, 2))}
        self.fileset = {}
        for sample in ("data", "mc"):
            columns = toys.columns(toys.MC, events, sample, rng, shift)
            path = toys.write_events(directory / f"{sample}.root", columns, rng)
            self.fileset[sample] = {"files": [str(path)], "metadata": METADATA[sample]}
            verbs.skim({sample: self.fileset[sample]}, directory / f"{sample}.parquet", NAME)

    def run(self, name: str, path=None) -> list[str]:
        """A run over both, and the sources that it makes."""
        verbs.run("zmumu", self.fileset, self.directory / name, NAME, corrections=path)
        return [f"{self.directory / name}:{sample}" for sample in ("data", "mc")]

    def both_ways(self):
        """Corrections of tables and of runs."""
        tables = [str(self.directory / f"{sample}.parquet") for sample in ("data", "mc")]
        first = report.calibrate(*self.run("raw"), [], [NAME], self.directory / "first")
        for name, given in (("tables", tables), ("runs", self.run("second", first))):
            made = calibrate.derive(*map(sources.read, given), [], [NAME], minimum=MINIMUM)
            yield corrections.load(write(made, self.directory / f"{name}.json.gz"))

    def after(self, found) -> dict[str, list[float]]:
        """RMS of both components of the residual after corrections, by sample."""
        out = {}
        for sample in ("data", "mc"):
            events = sources.read(str(self.directory / f"{sample}.parquet")).events
            boson, npv = events.vector("boson"), events["npv"]
            u = recoil(boson, found.met(NAME, events.met(NAME), boson, npv, events["njets"], sample))
            weight = events["weight"] * (found.weight(npv) if sample == "mc" else 1.0)
            out[sample] = [np.sqrt(np.cov(x, aweights=weight)) for x in (u.u_par - u.qt, u.u_perp)]
        return out


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return Toy(tmp_path_factory.mktemp("toy"), 6000, 1.0)


@pytest.fixture(scope="module")
def raw(toy):
    return toy.run("uncorrected")


@pytest.fixture(scope="module")
def first(toy, raw):
    """The file of lines and weights."""
    return report.calibrate(*raw, [], [NAME], toy.directory / "lines")


@pytest.fixture(scope="module")
def second(toy, first):
    return toy.run("corrected", first)


def derived(given, **options):
    return calibrate.derive(*map(sources.read, given), [], [NAME], minimum=2000, **options)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1, 2])
def test_the_calibration_closes_where_data_have_an_xy_shift(tmp_path, scale):
    """Residuals of runs before XY gave 0.961 and 0.955, for twice the shift 0.869 and 0.848."""
    toy = Toy(tmp_path, 60_000, scale)
    for found in toy.both_ways():
        widths = toy.after(found)
        np.testing.assert_allclose(np.divide(widths["data"], widths["mc"]), 1.0, atol=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("pileup", [True, False])
def test_a_run_and_a_table_of_the_same_events_are_prepared_alike(toy, raw, tmp_path, pileup):
    tables = [sources.read(str(toy.directory / f"{sample}.parquet")) for sample in ("data", "mc")]
    of_tables = preparation.derive(*tables, [NAME], pileup)
    path = report.calibrate(*raw, [], [NAME], tmp_path / "lines", pileup=pileup)
    runs = [sources.read(given) for given in toy.run(f"prepared_{pileup}", path)]
    of_runs = preparation.of(runs[0], runs[1:], [NAME])
    npv = np.arange(1, 60)
    for sample in ("data", "mc"):
        shifts = [made.shifts[sample][NAME](npv) for made in (of_tables, of_runs)]
        np.testing.assert_allclose(*shifts, atol=1e-4)  # tables hold float32
    if not pileup:
        assert of_runs.pileup is of_tables.pileup is None
    else:
        np.testing.assert_allclose(of_runs.pileup(npv), of_tables.pileup(npv), rtol=1e-9)
    for sample, of_run, table in zip(("data", "mc"), runs, tables, strict=True):
        same = table.histograms([NAME], of_tables.shifts[sample], of_tables.pileup if sample == "mc" else None)
        for name in ("residuals", "moments"):
            one, other = (h[name].view(flow=True) for h in (of_run.histograms([NAME], {}), same))
            one, other = (v["value"] if v.dtype.names else v for v in (one, other))
            assert np.abs(one - other).sum() < 2e-3 * np.abs(other).sum()  # events at an edge of a bin


@pytest.mark.slow
def test_runs_give_the_calibration_of_tables(toy, second, tmp_path):
    tables = [str(toy.directory / f"{sample}.parquet") for sample in ("data", "mc")]
    made = {"tables": derived(tables), "runs": derived(second)}
    assert made["runs"].made["pileup"] is made["tables"].made["pileup"] is True
    one, other = (corrections.load(write(found, tmp_path / f"{way}.json.gz")) for way, found in made.items())
    residual, qt = np.linspace(-30, 30, 13), np.full(13, 20.0)
    for component in ("par", "perp"):
        u = residual + (qt if component == "par" else 0)
        mapped = [found.u(NAME, component, qt, np.zeros(13), u) for found in (one, other)]
        np.testing.assert_allclose(*mapped, atol=0.05)
        assert np.abs(mapped[0] - u).max() < 2  # simulation has the data's recoil
    npv = np.arange(1, 60)
    for sample in ("data", "mc"):
        np.testing.assert_allclose(*(found.shift(NAME, npv, sample) for found in (one, other)), atol=1e-4)
        np.testing.assert_allclose(*(found.response(NAME, qt, sample, "bin") for found in (one, other)), rtol=1e-4)
    np.testing.assert_allclose(*(found.weight(npv) for found in (one, other)), rtol=1e-6)


def test_runs_without_corrections_give_lines_and_weights_and_say_what_comes_next(raw, tmp_path):
    output = tmp_path / "out"
    arguments = ["calibrate", "--data", raw[0], "--mc", raw[1], "--estimators", NAME, "--output", str(output)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert f"next: ptmiss run … --corrections {output / report.CORRECTIONS}" in done.output
    found = corrections.load(output / report.CORRECTIONS)
    assert not found.maps
    assert {path.name for path in output.iterdir()} >= {
        f"xy_{NAME}.png",
        f"xy_{NAME}.csv",
        "pileup.csv",
        "manifest.json",
    }


def test_a_run_says_what_its_residuals_are_after(raw, first, second):
    applied = results.load(sources.Path(second[0].rpartition(":")[0])).manifest["corrections"]
    assert applied["maps"] is False
    assert applied["xy"].keys() == {"data", "mc"}
    slope = applied["xy"]["data"][NAME]["x"][1]
    assert slope == pytest.approx(toys.SHIFT["data"][0][1], abs=0.15)
    assert applied["sha256"] == corrections.load(first).sha256
    assert sources.read(raw[0]).corrections is None
    assert sources.read(second[0]).corrections == json.loads(json.dumps(applied))


@pytest.mark.slow
def test_runs_that_were_prepared_in_other_ways(toy, raw, first, second, correction_file, tmp_path):
    with pytest.raises(OptionError, match="was run without --corrections: its recoil is before XY"):
        derived([second[0], raw[1]])
    with pytest.raises(OptionError, match="was run without --corrections"):
        derived(raw)
    with pytest.raises(OptionError, match="weighted for pile-up when it was run: --no-pileup comes too late"):
        derived(second, pileup=False)
    other = toy.run("other", report.calibrate(*raw, [], [NAME], tmp_path / "unweighted", pileup=False))
    with pytest.raises(OptionError, match="were run with other --corrections"):
        derived([second[0], other[1]])
    table = str(toy.directory / "data.parquet")
    with pytest.raises(OptionError, match="expected recoil tables alone, or runs alone"):
        derived([table, second[1]])
    mapped = toy.run("mapped", write(derived(second), tmp_path / "mapped.json.gz"))
    with pytest.raises(OptionError, match="was mapped: expected runs with --corrections of XY lines and pile-up alone"):
        derived(mapped)


def write(made, path):
    path.write_bytes(report.export.compress(report.export.correction_set(made)))
    return path


def test_runs_that_cannot_be_calibrated(raw, tmp_path):
    directory = raw[0].rpartition(":")[0]
    with pytest.raises(OptionError, match=r"has several datasets, expected .*:NAME with one of data, mc"):
        sources.read(directory)
    with pytest.raises(UnknownName, match=r"dataset in .* 'top'"):
        sources.read(f"{directory}:top")
    with pytest.raises(OptionError, match="swapped"):
        sources.check(*map(sources.read, raw[::-1]), [NAME])
    with pytest.raises(OptionError, match="swapped"):
        report.calibrate(*raw[::-1], [], [NAME], tmp_path / "out")
    with pytest.raises(OptionError, match=r"--closure needs events to test on: .* is a run"):
        report.calibrate(*raw, [], [NAME], tmp_path / "out", test=True)
    with pytest.raises(OptionError, match="is a run: it keeps no events"):
        _ = sources.read(raw[0]).events
    loaded = results.load(sources.Path(directory))
    bare = {"mc": {name: h for name, h in loaded.histograms["mc"].items() if name != "residuals"}}
    results.save(tmp_path / "bare", {"datasets": {"mc": loaded.manifest["datasets"]["mc"]}}, bare)
    with pytest.raises(ColumnError, match="has no histogram residuals: a run of the processor zmumu keeps them"):
        sources.read(str(tmp_path / "bare"))
