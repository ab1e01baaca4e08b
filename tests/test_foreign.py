"""Files that others wrote: what each should give, as tables of events that are the same as those of a plain file."""

import awkward as ak
import numpy as np
import pytest
import uproot
from click.testing import CliRunner

import ptmiss
from ptmiss.cli import cli
from ptmiss.errors import ColumnError, FileError
from ptmiss.events import inspect
from ptmiss.selections.weights.evaluation import NO_WEIGHT

from .invented import write_events

N = 60


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("foreign") / "plain.root"
    write_events(path, N, seed=9)
    return path


def columns_of(path):
    """Columns of events without the counters of collections, and names of the collections."""
    tree = uproot.open(path)["Events"]
    counters = {f"n{name}" for name in ("PFCands", "Muon", "Jet")}
    return {name: values.array() for name, values in tree.items() if name not in counters}


def collections(columns):
    """Columns as records by collection, and single columns."""
    found, fields = {}, {}
    for name, values in columns.items():
        if values.ndim > 1:
            fields.setdefault(name.split("_")[0], {})[name.split("_", 1)[1]] = values
        else:
            found[name] = ak.to_numpy(values)
    return found | {name: ak.zip(parts) for name, parts in fields.items()}


def write(path, branches):
    with uproot.recreate(path) as file:
        types = {name: value.type if isinstance(value, ak.Array) else value.dtype for name, value in branches.items()}
        file.mktree("Events", types, counter_name=lambda c: f"n{c}", field_name=lambda c, f: f"{c}_{f}")
        file["Events"].extend(branches)
    return path


def table_of(paths, tmp_path):
    return ptmiss.skim(paths, tmp_path / "table.parquet", ["pf"])


def assert_same_rows(table, plain, tmp_path):
    expected = table_of([plain], tmp_path.joinpath("plain"))
    for name in expected.data.column_names:
        np.testing.assert_array_equal(table[name], expected[name], name)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plain").mkdir()
    return tmp_path


def test_a_skim_without_masses_of_jets_is_read(plain, folder):
    columns = columns_of(plain)
    del columns["Jet_mass"]
    path = write(folder / "a.root", collections(columns))
    assert_same_rows(table_of([path], folder), plain, folder)


def test_a_counter_for_each_column_is_read(plain, folder):
    columns = {name: v if v.ndim > 1 else ak.to_numpy(v) for name, v in columns_of(plain).items()}
    path = write(folder / "a.root", columns)
    assert "nMuon" not in inspect(str(path)).branches
    assert_same_rows(table_of([path], folder), plain, folder)


def test_columns_of_records_are_named(plain, tmp_path):
    ak.to_parquet(ak.zip(collections(columns_of(plain)), depth_limit=1), tmp_path / "a.parquet")
    with pytest.raises(ColumnError, match="Muon is a column of records, expected one for each field, Muon_pt"):
        table_of([tmp_path / "a.parquet"], tmp_path)


def test_a_file_without_events_needs_no_branches(plain, folder):
    with uproot.recreate(folder / "empty.root") as file:
        file.mktree("Events", {"run": np.uint32})
    assert_same_rows(table_of([plain, folder / "empty.root"], folder), plain, folder)


def test_a_weight_that_is_no_number_counts_nothing(plain, tmp_path):
    columns = columns_of(plain)
    weights = ak.to_numpy(columns["genWeight"]).copy()
    weights[:2] = np.nan, np.inf
    columns["genWeight"] = ak.Array(weights)
    table = table_of([write(tmp_path / "a.root", collections(columns))], tmp_path)
    np.testing.assert_array_equal(table["weight"], [0, 0] + [1] * (N - 2))
    assert table.provenance["notes"][NO_WEIGHT] == 2
    assert table.provenance["datasets"]["events"]["ledger"]["sumw"] == N - 2
    moments = ptmiss.resolution(table).table.select_dtypes("number")
    others = ptmiss.resolution(table.select(np.arange(len(table)) > 1)).table.select_dtypes("number")
    np.testing.assert_allclose(moments.to_numpy(), others.to_numpy())


def test_muons_without_charge_are_no_pair(plain, tmp_path):
    columns = columns_of(plain)
    columns["Muon_charge"] = columns["Muon_charge"] * 0
    table = table_of([write(tmp_path / "a.root", collections(columns))], tmp_path)
    assert np.isnan(table["boson_pt"]).all()


@pytest.mark.parametrize("read", [inspect, lambda path: ptmiss.skim(path, path + ".parquet", ["pf"])])
def test_a_tree_behind_a_colon_is_said_how_to_name(plain, read):
    with pytest.raises(FileError, match=r"no such file: .*plain\.root:Events \(a fileset names a tree: "):
        read(f"{plain}:Events")


def test_a_directory_is_no_tree(tmp_path):
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("d/Events", {"run": np.uint32})
    with pytest.raises(FileError, match="has no tree 'd'; there: d/Events"):
        inspect(str(tmp_path / "a.root"), "d")


def test_a_fileset_that_coffea_preprocessed(plain, tmp_path):
    steps = {"object_path": "Events", "steps": [[0, 30], [30, N]], "num_entries": N, "uuid": "1", "saved_form": None}
    fileset = {"a": {"files": {str(plain): steps}, "form": None, "metadata": None}}
    assert len(ptmiss.skim(fileset, tmp_path / "a.parquet", ["pf"])) == N


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"x": ["a.root"], "x": ["b.root"]}', "fs.json: key 'x' is there twice"),
        ('{"x": {"files": ["a"], "metadata": {"cross_section": Infinity}}}', "fs.json: Infinity is no number"),
        ('{"x": {"files": ["a"], "metadata": {"triggers": "HLT_X"}}}', "metadata.triggers: Input should be a list"),
        ('{"x": {"files": null}}', "dataset 'x', files: Input should be a list"),
    ],
)
def test_filesets_with_a_slip_are_one_line(text, message, tmp_path):
    (tmp_path / "fs.json").write_text(text)
    run = ["run", "zmumu", "--fileset", str(tmp_path / "fs.json"), "--output", str(tmp_path / "run")]
    result = CliRunner().invoke(cli, run, standalone_mode=False)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
