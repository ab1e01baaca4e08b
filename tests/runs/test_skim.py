import awkward as ak
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import uproot

from ptmiss import events, normalisation, table
from ptmiss.calibration import sources
from ptmiss.errors import ColumnError, OptionError, UnknownName
from ptmiss.estimators import make_estimators
from ptmiss.recoil import cartesian
from ptmiss.reports import resolution_report
from ptmiss.runs import fileset
from ptmiss.runs.skim import Weighting, skim

from ..invented import write_events


def test_rows_are_the_events_in_their_order(invented, tmp_path):
    made = skim(
        fileset.parse({"z": [str(invented)]}), make_estimators(["pf", "puppi"]), tmp_path / "t.parquet", chunksize=77
    )
    rows = table.read(tmp_path / "t.parquet")
    assert rows["event"].tolist() == list(range(1, 301))
    assert rows.provenance["metrics"]["entries"] == made["metrics"]["entries"] == 300
    assert [e["name"] for e in rows.provenance["estimators"]] == ["pf", "puppi"]
    assert rows.provenance["datasets"]["z"]["files"][0]["path"] == str(invented)


def test_chunk_size_changes_nothing(invented, tmp_path):
    files = fileset.parse({"z": [str(invented)]})
    for size in (300, 41):
        skim(files, make_estimators(["pf", "track"]), tmp_path / f"{size}.parquet", chunksize=size)
    one, other = (table.read(tmp_path / f"{size}.parquet").data.to_pandas() for size in (300, 41))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.slow
def test_real_events_agree_with_what_cms_stored(pfnano, tmp_path):
    names = ["pf", "stored.RawMET", "stored.PuppiMET"]
    skim(fileset.parse({"qcd": [str(pfnano)]}), make_estimators(names), tmp_path / "t.parquet")
    rows = table.read(tmp_path / "t.parquet")
    np.testing.assert_allclose(rows["met_pf_pt"], rows["met_stored.RawMET_pt"], rtol=0.01)
    source = events.inspect(str(pfnano)).events()
    np.testing.assert_allclose(rows.vector("genmet"), cartesian(source.GenMET.pt, source.GenMET.phi), rtol=1e-4)
    np.testing.assert_array_equal(rows["npv"], ak.to_numpy(source.PV.npvs))


def test_a_missing_column_leaves_nothing_behind(drell_yan, tmp_path):
    with pytest.raises(ColumnError, match="needs PF candidates"):
        skim(fileset.parse({"dy": [str(drell_yan)]}), make_estimators(["pf"]), tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


SIGMA = {"dy": 6.0, "top": 0.5}


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """A fileset of data and of two processes, skims of twice and four times as much as their Runs say."""
    folder = tmp_path_factory.mktemp("processes")
    files = {}
    for name, more in {"data": 0, "dy": 2, "top": 4}.items():
        path = folder / f"{name}.root"
        write_events(path, 60, seed=len(name))
        if more:
            with uproot.update(path) as file:
                file.mktree("Runs", {"run": "uint32", "genEventCount": "int64", "genEventSumw": "float64"})
                file["Runs"].extend({"run": [1], "genEventCount": [60 * more], "genEventSumw": [60.0 * more]})
        stands = {"kind": "data", "pseudo_data": True, "luminosity": 2.0}
        files[name] = {"files": [str(path)], "metadata": {"cross_section": SIGMA[name]} if more else stands}
    return files


def skimmed(files, output, **options):
    skim(fileset.parse(files), make_estimators(["puppi"]), output, weighting=Weighting(**options))
    return table.read(output)


@pytest.fixture(scope="module")
def scaled(processes, tmp_path_factory):
    return skimmed(processes, tmp_path_factory.mktemp("scaled") / "t.parquet", luminosity=2.0)


def test_several_datasets_are_scaled_to_a_luminosity(scaled):
    """Raw weights would add up to 60 of each; 12 000 and 1000 events have been produced for 2 fb^-1."""
    weights = pd.DataFrame({"dataset": scaled["dataset"], "weight": scaled["weight"]}).groupby("dataset")["weight"]
    expected = {"data": 60.0, "dy": 1e3 * 6.0 * 2.0 / 2, "top": 1e3 * 0.5 * 2.0 / 4}
    assert weights.sum().to_dict() == pytest.approx(expected)
    assert pa.types.is_dictionary(scaled.data.schema.field("dataset").type)
    assert scaled.provenance["luminosity"] == 2.0
    assert scaled.datasets["dy"]["scale"] == pytest.approx(1e3 * 6.0 * 2.0 / 120)
    assert scaled.datasets["dy"]["ledger"]["generated"]["sumw"] == 120.0
    assert scaled.datasets["data"]["scale"] == 1.0
    assert normalisation.factor("dy", scaled.datasets["dy"], 2.0) == pytest.approx(1.0)


def test_rows_of_a_dataset_and_of_all(scaled):
    assert len(scaled.of("top")) == 60
    assert "genmet_pt" in scaled.of("top").data.column_names
    assert "genmet_pt" not in scaled.of("data").data.column_names
    with pytest.raises(OptionError, match="holds data and simulation, expected one of its datasets: data, dy, top"):
        scaled.of()
    with pytest.raises(UnknownName, match="unknown dataset in the table 'dyy'"):
        scaled.of("dyy")


def test_a_resolution_subtracts_backgrounds_of_a_table(scaled, tmp_path):
    with table.writing(tmp_path / "t.parquet") as writer:
        writer.write(scaled.data)
        writer.close(scaled.provenance)
    source = table.open_table(tmp_path / "t.parquet")
    found = resolution_report.fill(source, dataset="data", backgrounds={"top": 1.0}).histograms
    one, other = (resolution_report.fill(source, dataset=name).histograms for name in ("data", "top"))
    left, data, top = (h["moments"].values(flow=True)[..., 0].sum() for h in (found, one, other))
    assert left == pytest.approx(data - top)


def test_raw_weights_of_processes_are_not_mixed_unless_one_says_so(processes, tmp_path):
    both = {name: processes[name] for name in ("dy", "top")}
    with pytest.raises(
        OptionError, match=r"dataset 'dy' is simulation beside others: .* --luminosity .* --raw-weights"
    ):
        skimmed(both, tmp_path / "t.parquet")
    bare = {**both, "top": {**both["top"], "metadata": {}}}
    with pytest.raises(OptionError, match=r"dataset 'top' has no cross_section \(pb\)"):
        skimmed(bare, tmp_path / "t.parquet", luminosity=2.0)
    assert not list(tmp_path.glob("*.parquet"))
    assert skimmed(both, tmp_path / "t.parquet", raw=True)["weight"].sum() == 120
    for options in ({"luminosity": 2.0, "raw": True}, {"luminosity": -1.0}):
        with pytest.raises(OptionError, match="--luminosity"):
            Weighting(**options)


def test_a_background_comes_from_the_same_table(scaled, tmp_path):
    with table.writing(tmp_path / "t.parquet") as writer:
        writer.write(scaled.data)
        writer.close(scaled.provenance)
    data, mc = (sources.read(f"{tmp_path / 't.parquet'}:{name}") for name in ("data", "dy"))
    sources.check(data, mc, ["puppi"])
    assert sources.background(f"{tmp_path / 't.parquet'}:top", data).factor == pytest.approx(1.0)
