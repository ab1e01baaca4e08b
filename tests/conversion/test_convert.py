"""``ptmiss convert``: event files that are whole or not there, and gates that every event passes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import uproot

import ptmiss
from ptmiss.candidates import Candidates
from ptmiss.conversion import edm4hep, gates
from ptmiss.elements import Elements, Targets
from ptmiss.errors import FileError, OptionError, UnknownName
from ptmiss.events import inspect

from .paths import CLD, needs_cld
from .podio_files import collections, write_tree


@pytest.fixture
def podio(tmp_path):
    return write_tree(tmp_path / "e.root", collections(), events=3)


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    path = write_tree(tmp_path_factory.mktemp("podio") / "e.root", collections())
    return next(edm4hep.read(str(path), "cld"))


def test_a_converted_file_has_what_a_simulated_one_has(podio, tmp_path):
    made = ptmiss.convert(podio, tmp_path / "out.root", detector="cld")
    assert made == [tmp_path / "out.root"]
    file = inspect(str(made[0]))
    assert (file.entries, file.kind, file.generated.events) == (3, "mc", 3)
    events = file.events()
    np.testing.assert_array_equal(Elements.of_events(events)["type"], [1, 4, 5] * 3)
    np.testing.assert_array_equal(Targets.of_events(events)["type"], [1, 3, 0] * 3)
    assert "ecalEnergy" in Elements.of_events(events).columns
    np.testing.assert_allclose(events.GenMET.pt, np.hypot(1, 2), rtol=1e-6)
    with uproot.open(made[0]) as opened:
        about = json.loads(str(opened["conversion"]))
    assert (about["events"], about["elements"], about["detector"]) == (3, 9, "cld")


def test_a_directory_of_several_files_with_a_manifest(podio, tmp_path):
    other = write_tree(tmp_path / "f.root", collections())
    made = ptmiss.convert([podio, other], tmp_path / "out", detector="cld")
    assert [path.name for path in made] == ["e.root", "f.root"]
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert [each["events"] for each in manifest["conversions"]] == [3, 2]


def test_nothing_is_left_of_a_conversion_that_failed(podio, tmp_path):
    (tmp_path / "bad.root").write_bytes(podio.read_bytes()[:2000])
    for files, output in (([podio, tmp_path / "bad.root"], "out"), ([tmp_path / "bad.root"], "out.root")):
        with pytest.raises(FileError, match=r"bad\.root"):
            ptmiss.convert(files, tmp_path / output, detector="cld")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.root", "e.root"]


def test_options_that_contradict(podio, tmp_path):
    (tmp_path / "text.txt").write_text("nothing")
    with pytest.raises(OptionError, match=r"e\.root does not say its magnetic field: name its --detector, clic or cld"):
        ptmiss.convert(podio, tmp_path / "o.root")
    with pytest.raises(UnknownName, match="unknown detector 'cms'; known: cld, clic"):
        ptmiss.convert(podio, tmp_path / "o.root", detector="cms")
    with pytest.raises(OptionError, match="is one file for 2: name a directory"):
        ptmiss.convert([podio, podio], tmp_path / "o.root", detector="cld")
    with pytest.raises(OptionError, match="two files of the same name"):
        ptmiss.convert([podio, podio], tmp_path / "o", detector="cld")
    with pytest.raises(FileError, match=r"text\.txt is none of EDM4hep"):
        ptmiss.convert(tmp_path / "text.txt", tmp_path / "o.root", detector="cld")


def test_an_event_file_is_no_podio_file(invented, tmp_path):
    with pytest.raises(FileError, match="is no podio file: it has Events"):
        ptmiss.convert(invented, tmp_path / "o.root", detector="cld")


def with_targets(contents, **changed):
    columns = {name: column.copy() for name, column in contents.targets.columns.items()}
    for name, (row, value) in changed.items():
        columns[name][row] = value
    return replace(contents, targets=Targets(columns, contents.targets.offsets))


def doubled(contents):
    columns = {name: column.copy() for name, column in contents.targets.columns.items()}
    for column in columns.values():
        column[5] = column[4]
    return replace(contents, targets=Targets(columns, contents.targets.offsets))


def endless(contents):
    columns = {**contents.candidates.columns, "pt": np.full(4, np.inf, np.float32)}
    return replace(contents, candidates=Candidates(columns, contents.candidates.offsets))


BROKEN = {
    "values that are not finite in 2 of 2 events, first in event 0": endless,
    "a target that two elements have in 1 of 2 events, first in event 1": doubled,
    "energy of targets off by more than 0.01 GeV in 1 of 2": lambda c: replace(c, balance=np.asarray([0, 0.02])),
    "a cluster with a charged target in 1 of 2 events, first in event 1": lambda c: with_targets(c, charge=(4, 1)),
    "a track with a neutral target in 1 of 2 events, first in event 1": lambda c: with_targets(c, type=(3, 2)),
}


@pytest.mark.parametrize(("message", "spoil"), BROKEN.items(), ids=BROKEN)
def test_each_gate_names_what_is_wrong_and_where(message, spoil, contents):
    gates.check(contents, "e.root")
    with pytest.raises(FileError, match=f"e.root: {message}"):
        gates.check(spoil(contents), "e.root")


@pytest.mark.slow
@needs_cld
def test_the_cld_event_goes_to_parquet_and_back(tmp_path):
    pytest.importorskip("fastjet")
    ptmiss.convert(CLD, tmp_path / "cld.root", detector="cld")
    ptmiss.convert(tmp_path / "cld.root", tmp_path / "cld.parquet")
    ptmiss.convert(tmp_path / "cld.parquet", tmp_path / "again.root")
    once, again = (Elements.of_events(inspect(str(tmp_path / f"{n}.root")).events()) for n in ("cld", "again"))
    for name in set(once.columns) - {"ptError", "d0Error", "dzError", "caloEta", "caloPhi"}:
        np.testing.assert_allclose(once[name], again[name], rtol=1e-4, atol=1e-4, err_msg=name)
