import json

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.errors import FileError, LedgerError, OptionError
from ptmiss.runs import ledger
from ptmiss.runs.ledger import Ledger, Skipped

from ..malice import PICKLE

LOST = Skipped("mc", "b.root", 0, 50, 50, "file", "corrupt")
UNKNOWN = Skipped("mc", "c.root", None, None, None, "file", "truncated")


def dataset(*skipped, duplicates=None, **metadata):
    record = {"listed": 200, "events": 150, "sumw": 300.0, "duplicates": duplicates or {}}
    return {"metadata": metadata, "ledger": {**record, "skipped": [vars(entry) for entry in skipped]}}


def test_a_ledger_comes_back_from_disk(tmp_path):
    written = Ledger(tmp_path / "ledger.json", [LOST, UNKNOWN], [["mc", "b.root", 0, 100]])
    written.save()
    found = ledger.read(tmp_path / "ledger.json")
    assert found == written
    assert found.of("mc") == [LOST, UNKNOWN]
    assert found.of("data") == []
    assert ledger.read(tmp_path / "none.json").skipped == []


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", PICKLE, json.dumps({"skipped": [{}], "halved": []}).encode()])
def test_what_is_no_ledger(tmp_path, content):
    (tmp_path / "ledger.json").write_bytes(content)
    with pytest.raises(FileError, match="is not a readable ledger"):
        ledger.read(tmp_path / "ledger.json")


def test_the_normalisation_is_of_what_was_read():
    assert ledger.normalisation("mc", dataset(cross_section=6.0), 10.0) == 1e3 * 6.0 * 10.0 / 300.0


def test_the_normalisation_refuses_what_is_not_complete():
    with pytest.raises(LedgerError, match=r"'mc' is not complete: skipped b\.root, entries 0 to 50 of .* and 1 more; "):
        ledger.normalisation("mc", dataset(LOST, UNKNOWN, cross_section=6.0), 10.0)
    assert ledger.normalisation("mc", dataset(LOST, cross_section=6.0), 10.0, rescale=True) == 200.0


def test_a_file_without_events_is_not_missing():
    assert ledger.normalisation("mc", dataset(ledger.empty("mc", "e.root"), cross_section=6.0), 10.0) == 200.0


def test_weights_that_add_up_to_nothing():
    described = dataset(cross_section=6.0)
    described["ledger"]["sumw"] = 0.0
    with pytest.raises(LedgerError, match="add up to 0, which scales to nothing"):
        ledger.normalisation("mc", described, 10.0)
    with pytest.raises(OptionError, match="needs a cross_section"):
        ledger.normalisation("mc", dataset(), 10.0)


def test_the_luminosity_of_data_shrinks_with_what_is_missing():
    assert ledger.luminosity("data", dataset(luminosity=8.0), rescale=False) == 8.0
    with pytest.raises(LedgerError, match="is not complete"):
        ledger.luminosity("data", dataset(LOST, luminosity=8.0))
    assert ledger.luminosity("data", dataset(LOST, luminosity=8.0), rescale=True) == 6.0
    with pytest.raises(LedgerError, match="its luminosity is unknown"):
        ledger.luminosity("data", dataset(LOST, UNKNOWN, luminosity=8.0), rescale=True)
    with pytest.raises(OptionError, match="needs a luminosity"):
        ledger.luminosity("data", dataset())


def test_data_that_are_there_twice_have_no_luminosity():
    twice = dataset(duplicates={"events": 3, "files": ["a.root", "b.root"]}, luminosity=8.0, kind="data")
    with pytest.raises(LedgerError, match=r"3 events \(run, lumi, event\) are there more than once, in a.root, b.root"):
        ledger.luminosity("data", twice)
    assert ledger.luminosity("data", twice, rescale=True) == 8.0


def numbered(run, lumi, event):
    return ak.zip({"run": run, "luminosityBlock": lumi, "event": event})


def test_fingerprints_tell_all_events_apart():
    run, lumi, event = (part.ravel() for part in np.meshgrid(np.arange(20), np.arange(50), np.arange(100)))
    found = ledger.event_ids(numbered(run.astype(np.uint32), lumi.astype(np.uint32), event.astype(np.uint64)))
    assert len(np.unique(found)) == 100_000
    assert np.all(found[1:] > found[:-1])
    assert len(ledger.event_ids(ak.zip({"run": run}))) == 0


@given(st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=6), st.integers(1, 60))
def test_what_is_there_twice_is_found_in_slices(parts, at_once):
    spread = [np.sort(np.array(part, np.uint64) * np.uint64(2**64 // 41)) for part in parts]
    every = np.concatenate([*spread, np.zeros(0, np.uint64)])
    values, counts = np.unique(every, return_counts=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "AT_ONCE", at_once)
        found = ledger.duplicated(range(len(spread)), spread.__getitem__, len(every))
    np.testing.assert_array_equal(found, values[counts > 1])
