"""The public MLPF's formats: written of our events and read again, and files that are cut or wrong."""

import awkward as ak
import numpy as np
import pytest

from ptmiss import candidates as pf_candidates
from ptmiss import sample
from ptmiss.conversion import arrayrecord, export, formats, gates, records, tables
from ptmiss.elements import ECAL, TRACK, Elements, Targets
from ptmiss.errors import ColumnError, FileError
from ptmiss.estimators import reconstruction
from ptmiss.estimators.reconstruction import HF_PHOTON, NONE
from ptmiss.events import inspect

pytest.importorskip("fastjet")
EVENTS = 3


@pytest.fixture(scope="module")
def events():
    found = inspect(str(sample.events("zmumu"))).events()
    return found[ak.to_numpy(ak.num(found.PFElement.pt)) > 0][:EVENTS]


@pytest.fixture(scope="module")
def made(events):
    return export.of_events(events)


@pytest.fixture(scope="module")
def parquet(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("open") / "events.parquet"
    assert formats.write_parquet([made], path) == EVENTS
    return path


@pytest.fixture(scope="module")
def arrays(made, tmp_path_factory):
    pytest.importorskip("array_record")
    path = tmp_path_factory.mktemp("open") / "cld-train.array_record-00000-of-00001"
    assert formats.write_arrayrecord([made], path) == EVENTS
    return path


@pytest.fixture(scope="module")
def found(parquet):
    return next(records.read(str(parquet)))


def test_elements_and_targets_come_back(events, found):
    before, after = Elements.of_events(events), found.elements
    track = before["type"] == TRACK
    for name in ("pt", "eta", "phi", "energy", "d0", "dz", "charge"):
        np.testing.assert_allclose(after[name][after["type"] == TRACK], before[name][track], rtol=1e-5, atol=1e-6)
    for name in ("pt", "eta", "phi", "energy", "nCells", "width"):
        rtol = 3e-3 if name == "pt" else 1e-5  # of energy and direction, which the file has with ten bits
        one, other = after[name][after["type"] != TRACK], before[name][~track]
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-5, err_msg=name)
    true = Targets.of_events(events)
    assert found.targets["energy"].sum() == pytest.approx(true["energy"].sum(), rel=1e-6)
    code = reconstruction.codes(np.where(before["type"] == TRACK, TRACK, ECAL), true["type"])
    code = np.where(true["type"] == HF_PHOTON, 22, code)
    kinds = np.where(true["type"] == NONE, NONE, reconstruction.classes(code))
    np.testing.assert_array_equal(np.bincount(found.targets["type"], minlength=8), np.bincount(kinds, minlength=8))


def test_the_sum_of_candidates_comes_back(events, found):
    columns = ("pt", "eta", "phi", "mass", "charge", "pdgId")
    before = pf_candidates.read(events, columns)
    for i in range(EVENTS):
        one, other = (c.events(slice(i, i + 1)).momentum.sum(axis=0) for c in (before, found.candidates))
        np.testing.assert_allclose(one, other, atol=0.01)


def test_generated_ptmiss_has_its_size_and_the_direction_of_the_targets(events, found):
    np.testing.assert_allclose(np.hypot(*found.neutrinos.T), ak.to_numpy(events.GenMET.pt), rtol=1e-6)
    first = found.targets.events(slice(0, 1)).momentum.sum(axis=0)
    assert found.neutrinos[0] @ first == pytest.approx(-np.hypot(*found.neutrinos[0]) * np.hypot(*first), rel=1e-5)


def test_both_formats_are_the_same_events(found, arrays):
    other = next(arrayrecord.read(str(arrays)))
    for name in ("elements", "targets", "candidates"):
        one, same = getattr(found, name), getattr(other, name)
        np.testing.assert_array_equal(one.offsets, same.offsets)
        for column in one.columns:
            atol = 0.05 if column == "mass" else 1e-5  # of energy and momentum in single precision
            np.testing.assert_allclose(one[column], same[column], rtol=1e-5, atol=atol, err_msg=column)
    np.testing.assert_allclose(found.jets.pt, other.jets.pt, rtol=1e-6)


def test_some_events_at_a_time(arrays):
    parts = list(arrayrecord.read(str(arrays), chunk=2))
    assert [len(part) for part in parts] == [2, 1]
    assert sum(map(len, arrayrecord.read(str(arrays), limit=1))) == 1


def test_an_event_passes_all_gates(found):
    gates.check(found, "events.parquet")


def test_an_arrayrecord_cut_at_any_byte(arrays, tmp_path):
    content, cut = arrays.read_bytes(), tmp_path / "cut.array_record"
    places = [
        *range(0, 200, 7),
        *range(200, len(content), len(content) // 60),
        *range(len(content) - 40, len(content), 3),
    ]
    for place in places:
        cut.write_bytes(content[:place])
        with pytest.raises(FileError, match=r"cut\.array_record") as raised:
            list(arrayrecord.read(str(cut)))
        assert "\n" not in str(raised.value)


def test_a_byte_that_changed(arrays, tmp_path):
    content = bytearray(arrays.read_bytes())
    content[len(content) // 3] ^= 0xFF
    (tmp_path / "odd.array_record").write_bytes(content)
    with pytest.raises(FileError, match=r"odd\.array_record is not a readable ArrayRecord file"):
        list(arrayrecord.read(str(tmp_path / "odd.array_record")))


def event(**changed):
    """A tf.Example of a track, with some of its numbers changed."""
    row = [1, 5, 0, 0, 1, 5, *[0] * 7, 1e-4, 0, 0, 0]
    particle = [1, 1, 5, 0, 0, 1, 5, *[0] * 6]
    numbers = {"X": row, "ytarget": particle, "ycand": particle, "genmet": [3], "genjets": [], "targetjets": []}
    whole = arrayrecord.example()()
    for key, values in (numbers | changed).items():
        if values is not None:
            whole.features.feature[key].float_list.value.extend(values)
    return whole.SerializeToString()


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (event(ycand=None), ColumnError, "event 0 has no ycand; there: X, genjets, genmet, targetjets, ytarget"),
        (event(X=[1, 2, 3]), FileError, "event 0: X has 3 numbers"),
        (event(ytarget=[1, 2, 3]), FileError, "event 0: ytarget has 3 numbers"),
        (
            event(ytarget=[7, *[0] * 12]),
            FileError,
            "targets have PDG code -8 in event 0; known: 0, 211, 130, 22, 11, 13",
        ),
        (b"\xff\xff", FileError, "event 0 is no tf.Example"),
    ],
)
def test_an_event_that_is_none(content, error, message, tmp_path):
    path = tmp_path / "one.array_record"
    writer = arrayrecord.library().ArrayRecordWriter(str(path), "group_size:1")
    writer.write(content)
    writer.close()
    with pytest.raises(error, match=message):
        list(arrayrecord.read(str(path)))


def changed(parquet, tmp_path, **fields):
    record = ak.from_parquet(parquet)
    made = {name: record[name] for name in record.fields} | fields
    ak.to_parquet(ak.Record({name: value for name, value in made.items() if value is not None}), tmp_path / "p.parquet")
    return str(tmp_path / "p.parquet")


def test_a_record_without_fields(parquet, tmp_path):
    with pytest.raises(ColumnError, match=r"has no X_cluster, genmet; there: X_track, ytarget_track"):
        list(records.read(changed(parquet, tmp_path, X_cluster=None, genmet=None)))


def test_a_record_with_other_rows(parquet, tmp_path):
    record = ak.from_parquet(parquet)
    with pytest.raises(FileError, match="X_track has rows of 15 features, expected 16"):
        list(records.read(changed(parquet, tmp_path, X_track=record["X_track"][:, :, :-1])))
    with pytest.raises(FileError, match=r"ytarget_track has .* rows for the .* of X_track"):
        list(records.read(changed(parquet, tmp_path, ytarget_track=record["ytarget_track"][:, :-1])))


def test_a_record_that_is_cut(parquet, tmp_path):
    content = parquet.read_bytes()
    for size in (4, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.parquet").write_bytes(content[:size])
        with pytest.raises(FileError, match=r"cut\.parquet is not a readable parquet file"):
            list(records.read(str(tmp_path / "cut.parquet")))


def test_a_particle_that_was_lost_shows_in_the_jets_of_the_targets(made):
    hardest = np.argmax(made.target[:, 6])
    target = made.target.copy()
    target[hardest] = 0
    lost = tables.contents(made._replace(target=target), "events")
    with pytest.raises(FileError, match=r"energy of targets off by more than 0\.01 GeV in 1 of 3 events"):
        gates.check(lost, "events")
