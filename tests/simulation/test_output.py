from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoEventsFactory, PFNanoAODSchema

from ptmiss.errors import FileError
from ptmiss.events import Generated, inspect
from ptmiss.simulation import output, schema


class Quiet(PFNanoAODSchema):
    """Cross references to collections that a file without taus and fat jets cannot have are not missed."""

    warn_missing_crossrefs = False


@pytest.fixture(scope="module")
def block(block_columns, tmp_path_factory):
    path = tmp_path_factory.mktemp("blocks") / "block.parquet"
    output.save_block(block_columns, path)
    return path


def test_a_block_survives_its_file(block, block_columns):
    again, whole = output.load_block(block), output.records(block_columns)
    assert again.type == whole.type
    assert all(ak.array_equal(again[name], whole[name]) for name in whole.fields)


@pytest.mark.parametrize("file_format", output.FORMATS)
def test_runs_have_the_sums_of_their_events(block, block_columns, tmp_path, file_format):
    path = tmp_path / "out.root"
    output.write([block, block], path, file_format, {})
    with uproot.open(path) as file:
        (run,) = file["Runs"].arrays().to_list()
    weight, shower = block_columns["genWeight"], block_columns["PSWeight"].reshape(10, 4)
    assert (run["run"], run["genEventCount"]) == (1, 20)
    assert run["genEventSumw"] == pytest.approx(2 * weight.sum())
    assert run["genEventSumw2"] == pytest.approx(2 * (weight**2).sum())
    assert run["PSSumw"] == pytest.approx(np.average(shower, axis=0, weights=weight), rel=1e-6)
    assert inspect(str(path)).generated == Generated(20, pytest.approx(2 * weight.sum()))


def test_runs_of_pseudo_data_have_no_sums():
    events = ak.Array({"run": np.array([360000, 360001, 360000]), "genWeight": np.ones(3)})
    assert {name: column.to_list() for name, column in output.sums(events).items()} == {"run": [360000, 360001]}


def test_runs_without_weights_of_the_shower_have_no_sums_of_them():
    events = ak.Array({"run": np.array([1, 1]), "genWeight": np.array([2.0, -1.0])})
    columns = output.sums(events)
    assert {name: column.to_list() for name, column in columns.items()} == {
        "run": [1],
        "genEventCount": [2],
        "genEventSumw": [1.0],
        "genEventSumw2": [5.0],
    }


@pytest.mark.parametrize("file_format", output.FORMATS)
def test_files_hold_what_was_written(block, block_columns, tmp_path, file_format):
    path = tmp_path / "out.root"
    output.write([block, block], path, file_format, {"simulation": "{}"})
    with uproot.open(path) as file:
        events = file["Events"].arrays()
        assert file["simulation"] == "{}" or str(file["simulation"]) == "{}"
    assert len(events) == 20
    weights = events["PSWeight"]
    assert np.array_equal(ak.flatten(weights)[:40], block_columns["PSWeight"])
    pt = events["PFCands_pt"] if file_format == "ttree" else events["PFCands"].pt
    assert np.array_equal(ak.flatten(pt)[: len(block_columns["PFCands_pt"])], block_columns["PFCands_pt"])
    assert [p.name for p in tmp_path.iterdir()] == ["out.root"]


@pytest.mark.slow
def test_coffea_reads_the_tree_without_a_warning(block, tmp_path):
    path = tmp_path / "out.root"
    output.write([block], path, "ttree", {})
    events = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=Quiet, mode="eager").events()
    written = {c.name for c in schema.SCHEMA if c.name} - {"PFElementDetail", "PFElementShower"}
    assert set(events.fields) >= written | {"HLT", "genWeight"}
    assert set(events.PFCands.fields) == {
        branch.name for branch in next(c for c in schema.SCHEMA if c.name == "PFCands").branches
    }
    assert ak.all(ak.num(events.PFCands) > 100)
    pairs = events.Muon[ak.num(events.Muon) > 1]
    assert ak.all((pairs[:, 0] + pairs[:, 1]).mass > 0)
    assert events.GenPart.distinctParent is not None


def test_without_elements_their_branches_are_absent(block_columns, tmp_path):
    slim = {name: column for name, column in block_columns.items() if "PFElement" not in name}
    output.save_block(slim, tmp_path / "slim.parquet")
    output.write([tmp_path / "slim.parquet"], tmp_path / "slim.root", "ttree", {})
    with uproot.open(tmp_path / "slim.root") as file:
        assert not [name for name in file["Events"] if "PFElement" in name]


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(FileError, match=r"missing\.parquet is missing or not a block of events"):
        output.write([tmp_path / "missing.parquet"], tmp_path / "out.root", "ttree", {})
    assert list(tmp_path.iterdir()) == []
