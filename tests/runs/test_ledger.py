import json
from pathlib import Path
from tempfile import TemporaryDirectory

import awkward as ak
import numpy as np
import pytest
from coffea.processor import ProcessorABC
from hypothesis import given, settings
from hypothesis import strategies as st

from ptmiss import normalisation
from ptmiss.errors import FileError, LedgerError
from ptmiss.normalisation import Skipped
from ptmiss.runs import fileset, ledger, runner
from ptmiss.runs.ledger import Ledger

from ..malice import PICKLE
from ..nano import write_nano

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
        found = ledger.repeated_ids(range(len(spread)), spread.__getitem__, len(every))
    np.testing.assert_array_equal(found, values[counts > 1])


class Nothing(ProcessorABC):
    """Takes nothing from the events."""

    def process(self, events):
        return {}

    def postprocess(self, accumulator):
        return accumulator


def datasets_of(chunksize=None, **files):
    parsed = {name: {"files": paths, "metadata": metadata} for name, (paths, metadata) in files.items()}
    return runner.run(fileset.parse(parsed), Nothing(), chunksize=chunksize)[1]["datasets"]


@pytest.mark.slow
def test_a_real_skim_is_normalised_by_its_runs(drell_yan):
    found = datasets_of(dy=([str(drell_yan)], {"cross_section": 6077.2}))["dy"]
    assert found["metadata"]["kind"] == "mc"
    assert found["ledger"]["sumw"] == pytest.approx(578762.44)
    assert normalisation.total(found) == (pytest.approx(1.5166686735858717e10, rel=1e-12), "Runs")
    assert normalisation.factor("dy", found, 59.7) == pytest.approx(6077.2e3 * 59.7 / 1.5166686735858717e10)


@pytest.mark.slow
@settings(max_examples=8)
@given(st.lists(st.floats(-2, 9, width=16), min_size=1, max_size=9), st.integers(0, 9), st.integers(1, 4))
def test_cuts_files_and_chunks_change_no_normalisation(weights, cut, chunksize):
    """Half of what was generated is left, in one file or in two, one of which may be empty or of one event."""
    cut = min(cut, len(weights))
    with TemporaryDirectory() as folder:
        paths = []
        for i, part in enumerate((weights, weights[:cut], weights[cut:])):
            runs = [(2 * len(part), 2 * sum(part))]
            paths.append(write_nano(Path(folder) / f"{i}.root", part, runs, first=1 + 10 * i))
        one = datasets_of(chunksize, z=(paths[:1], {}))["z"]
        two = datasets_of(chunksize, z=(paths[1:], {}))["z"]
    assert normalisation.total(one).of == normalisation.total(two).of == "Runs"
    assert normalisation.total(two).sumw == pytest.approx(normalisation.total(one).sumw, abs=1e-9)
    assert normalisation.total(one).sumw == pytest.approx(2 * sum(weights), abs=1e-9)
    assert two["ledger"]["sumw"] == pytest.approx(one["ledger"]["sumw"], abs=1e-6)


def test_files_without_runs_beside_others(tmp_path):
    skim = write_nano(tmp_path / "a.root", [1.0, 2.0], [(10, 15.0)])
    whole = write_nano(tmp_path / "b.root", [4.0, -1.0], first=11)
    found = datasets_of(z=([skim, whole], {}))["z"]
    assert normalisation.total(found) == (18.0, "Runs")
    assert "1 of 2 files have no sums in `Runs`" in normalisation.warning(found)


def parts_of_a_whole(folder, sections=((5, 6), (5, 6)), sumw=(90.5, 90.5)):
    """Two files of 30 events each of a whole of 100, which both say what the whole was."""
    return [
        write_nano(folder / f"{i}.root", np.ones(30), [(100, sumw[i])], first=1 + 30 * i, sections=sections[i])
        for i in range(2)
    ]


def test_parts_of_one_file_that_kept_all_of_its_runs_count_once(tmp_path):
    paths = parts_of_a_whole(tmp_path)
    found = datasets_of(7, z=(paths, {"cross_section": 2.0}))["z"]
    assert normalisation.total(found) == (90.5, "Runs")  # 181 without a look at the sections
    assert normalisation.factor("z", found, 1.0) == pytest.approx(2e3 / 90.5)
    assert found["ledger"]["generated"]["copies"] == {paths[1]: paths[0]}
    assert normalisation.warning(found) == (
        f"{paths[1]} has the sums and luminosity sections of {paths[0]} in `Runs`, and other events: parts of one "
        "file, whose sums count once"
    )


@pytest.mark.parametrize("other", [{"sections": ((5, 6), (7, 8))}, {"sumw": (90.5, 90.25)}, {"sections": ((), ())}])
def test_files_of_equal_sums_that_are_no_parts_of_one_count_each(tmp_path, other):
    """Weights of one size give equal sums by chance: what tells is the sections."""
    found = datasets_of(z=(parts_of_a_whole(tmp_path, **other), {}))["z"]
    assert normalisation.total(found).sumw == sum(other.get("sumw", (90.5, 90.5)))
    assert normalisation.warning(found) is None


def test_events_of_several_datasets_of_data_are_found_twice(tmp_path):
    """The identity of recorded events is run, section and number; simulation starts at 1 in every dataset."""
    paths = [write_nano(tmp_path / f"{i}.root", events=20, first=first, run=3) for i, first in enumerate((1, 16, 100))]
    data = {name: ([path], {"kind": "data"}) for name, path in zip(("one", "other", "apart"), paths, strict=True)}
    mc = write_nano(tmp_path / "mc.root", np.ones(20), run=3)
    found = {name: about["ledger"]["duplicates"] for name, about in datasets_of(7, **data, mc=([mc], {})).items()}
    assert found["one"] == {"events": 5, "files": [paths[0]], "datasets": ["other"]}
    assert found["other"] == {"events": 5, "files": [paths[1]], "datasets": ["one"]}
    assert found["apart"] == found["mc"] == {}


def test_the_luminosity_of_the_same_sections_counts_once(tmp_path):
    """SingleMuon and DoubleMuon of one era share no event, and 10 fb^-1 of each are not 20."""
    lumis = {"one": 1, "other": 1, "later": 2}
    data = {}
    for i, (name, lumi) in enumerate(lumis.items()):
        path = write_nano(tmp_path / f"{i}.root", events=20, first=1 + 20 * i, run=3, lumi=lumi)
        data[name] = ([path], {"kind": "data", "luminosity": 10.0 if lumi == 1 else 4.0})
    found = datasets_of(7, **data)
    assert [about["ledger"]["same_sections"] for about in found.values()] == [{"other": 1}, {"one": 1}, {}]
    assert normalisation.luminosities(found) == 14.0
    found["other"]["metadata"]["luminosity"] = 9.0
    with pytest.raises(LedgerError, match=r"'one' and 'other' have 1 luminosity sections in common, .* 10 and 9"):
        normalisation.luminosities(found)
