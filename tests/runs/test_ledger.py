import json

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.errors import FileError
from ptmiss.normalisation import Skipped
from ptmiss.runs import ledger
from ptmiss.runs.ledger import Ledger

from ..malice import PICKLE

LOST = Skipped("mc", "b.root", 0, 50, 50, "file", "corrupt")
UNKNOWN = Skipped("mc", "c.root", None, None, None, "file", "truncated")


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
