import json
import textwrap

import hist
import numpy as np
import pytest
from coffea.processor import ProcessorABC

from ptmiss.errors import ChunkError, ColumnError, FileError, OptionError, UnknownName
from ptmiss.estimators import make_estimators
from ptmiss.processors.boson import Zmumu
from ptmiss.runs import fileset, pools, runner
from ptmiss.runs.inputs import inspect_files

STORED = ["stored.MET", "stored.PuppiMET"]


def views(outputs):
    return {
        (dataset, name): value.view(flow=True)
        for dataset, out in outputs.items()
        for name, value in out.items()
        if isinstance(value, hist.Hist)
    }


@pytest.fixture(scope="module")
def dy(drell_yan):
    return fileset.parse({"dy": [str(drell_yan)]})


@pytest.fixture(scope="module")
def reference(dy):
    outputs, _ = runner.run(dy, Zmumu(make_estimators(STORED)), chunksize=11)
    return outputs


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("kind", "workers"), [("futures", 1), ("futures", 2), ("dask", 2)])
def test_every_executor_gives_the_same_bits(dy, reference, kind, workers):
    with pools.pool(kind, workers) as pool:
        outputs, _ = runner.run(dy, Zmumu(make_estimators(STORED)), pool=pool, chunksize=11)
    for key, view in views(outputs).items():
        for name in view.dtype.names or [...]:  # a mean of no weights is not a number, on both sides
            np.testing.assert_array_equal(view[name], views(reference)[key][name])
    assert outputs["dy"]["cutflow"] == reference["dy"]["cutflow"]


def test_a_column_is_read_once_however_many_estimators_need_it(invented):
    """All that pf reads puppi reads too."""
    files = fileset.parse({"z": [str(invented)]})
    one, two = (
        runner.run(files, Zmumu(make_estimators(names)))[1]["metrics"] for names in (["puppi"], ["pf", "puppi"])
    )
    assert one["bytesread"] == two["bytesread"] > 0
    assert one["columns"] == two["columns"]


@pytest.mark.slow
@pytest.mark.parametrize("chunksize", [7, 40, 1000])
def test_chunk_size_changes_rounding_at_most(dy, reference, chunksize):
    outputs, details = runner.run(dy, Zmumu(make_estimators(STORED)), chunksize=chunksize)
    assert details["metrics"]["entries"] == 40
    for key, view in views(outputs).items():
        for name in view.dtype.names or [...]:
            np.testing.assert_allclose(view[name], views(reference)[key][name], rtol=1e-12, atol=1e-6)


def test_real_events_are_selected(reference):
    flow = reference["dy"]["cutflow"]["events"]
    assert {name: count for name, count in flow.items() if not name.startswith("Flag_")} == {
        "all": 40,
        "golden JSON": 40,
        "trigger": 40,
        "overlap": 40,
        "two muons": 3,
        "no b jet": 3,
        "mass": 3,
    }


def test_chunks_cover_each_file_once(dy, drell_yan):
    [source], _ = inspect_files(dy, Zmumu(make_estimators(STORED)))
    for size in (1, 3, 11, 39, 40, 41):
        pieces = list(source.chunks(size))
        assert [p.entrystart for p in pieces] == [0, *(p.entrystop for p in pieces[:-1])]
        assert pieces[-1].entrystop == 40
        assert max(map(len, pieces)) <= size


def test_datasets_are_kept_apart_and_described(invented, drell_yan):
    files = {
        "z": {"files": [str(invented)], "metadata": {"cross_section": 2.0}},
        "dy": [str(drell_yan)],
    }
    outputs, details = runner.run(fileset.parse(files), Counting())
    assert outputs["z"]["events"] == 300
    assert outputs["dy"]["events"] == 40
    assert details["datasets"]["z"]["metadata"]["cross_section"] == 2.0
    assert [f["entries"] for f in details["datasets"]["dy"]["files"]] == [40]


class Counting(ProcessorABC):
    """A user's processor: knows nothing of ours."""

    def process(self, events):
        return {"events": len(events), "names": {events.metadata["dataset"]: 1}}

    def postprocess(self, accumulator):
        return accumulator


class Failing(Counting):
    def process(self, events):
        raise RuntimeError("boom\nsecond line")


class NoDictionary(Counting):
    def process(self, events):
        return [len(events)]


class NotStorable(Counting):
    def process(self, events):
        return {"thing": object()}


def test_a_failing_processor_says_dataset_file_and_entries(dy, drell_yan):
    with pytest.raises(ChunkError, match=r"dataset 'dy', .*40events\.root, entries 0 to 40: RuntimeError: boom$"):
        runner.run(dy, Failing())


@pytest.mark.slow
def test_an_output_that_cannot_be_stored_is_refused_at_the_first_chunk(dy):
    with pytest.raises(ChunkError, match="entries 0 to 1: output 'thing' of the processor cannot be stored"):
        runner.run(dy, NotStorable(), chunksize=1)
    with pytest.raises(ChunkError, match="a processor must return a dictionary, not list"):
        runner.run(dy, NoDictionary())


def test_missing_branches_are_found_before_any_event_is_read(dy):
    class Untouchable(Zmumu):
        def process(self, events):
            raise AssertionError("an event was read")

    with pytest.raises(ColumnError, match="estimator 'pf' needs PF candidates"):
        runner.run(dy, Untouchable(make_estimators(["pf"])))
    with pytest.raises(ColumnError, match="METs there: CaloMET, ChsMET"):
        runner.run(dy, Untouchable(make_estimators(["stored.DeepMET"])))


def test_files_without_events(tmp_path):
    import uproot

    with uproot.recreate(tmp_path / "none.root") as file:
        file.mktree("Events", {"run": "uint32"})
    with pytest.raises(FileError, match=r"no events in .*none\.root"):
        runner.run(fileset.parse({"x": [str(tmp_path / "none.root")]}), Counting())


def test_chunk_size_must_be_positive(dy):
    with pytest.raises(OptionError, match="--chunksize 0"):
        runner.run(dy, Counting(), chunksize=0)


def user_file(tmp_path, text, name="mine.py"):
    path = tmp_path / name
    path.write_text(textwrap.dedent(text))
    return str(path)


OWN = """
    import hist
    from coffea.processor import ProcessorABC

    def doubled(values):
        return 2 * values

    class Mine(ProcessorABC):
        def __init__(self, cut=3.0):
            self.cut = cut

        def process(self, events):
            h = hist.Hist.new.Reg(20, 0, 200, name="pt").Weight()
            h.fill(doubled(events.MET.pt[events.MET.pt > self.cut]))
            return {"pt": h, "cut": {"value": self.cut}}

        def postprocess(self, accumulator):
            return accumulator
"""


@pytest.mark.parametrize("kind", ["iterative", pytest.param("futures", marks=pytest.mark.slow)])
def test_a_processor_of_ones_own_by_path(tmp_path, dy, kind):
    cls = runner.find_processor(user_file(tmp_path, OWN))
    processor = runner.make_processor(cls, {"cut": 20.0})
    with pools.pool(kind, 1) as pool:
        outputs, _ = runner.run(dy, processor, pool=pool)
    assert 0 < outputs["dy"]["pt"].sum(flow=True).value < 40


def test_processors_by_name():
    assert runner.find_processor("zmumu") is Zmumu
    assert {"zmumu", "wmunu", "validation"} <= set(runner.processors())
    with pytest.raises(UnknownName, match="unknown processor 'zmm', did you mean 'zmumu'"):
        runner.find_processor("zmm")


def test_processor_files_that_do_not_work(tmp_path):
    with pytest.raises(FileError, match="no such processor file"):
        runner.find_processor(str(tmp_path / "none.py"))
    with pytest.raises(OptionError, match="cannot be imported: ModuleNotFoundError"):
        runner.find_processor(user_file(tmp_path, "import nothing_like_it", "broken.py"))
    with pytest.raises(OptionError, match=r"has 0 processors \(none\)"):
        runner.find_processor(user_file(tmp_path, "x = 1", "empty.py"))
    two = user_file(tmp_path, OWN + "\n    class Other(Mine):\n        pass\n", "two.py")
    with pytest.raises(OptionError, match=r"has 2 processors \(Mine, Other\): expected one, or .*two\.py:Name"):
        runner.find_processor(two)
    assert runner.find_processor(f"{two}:Other").__name__ == "Other"
    with pytest.raises(UnknownName, match="did you mean 'Other'"):
        runner.find_processor(f"{two}:Othr")


def test_options_of_a_processor():
    with pytest.raises(OptionError, match="Counting has no option estimators"):
        runner.make_processor(Counting, {"estimators": []})
    with pytest.raises(OptionError, match="Zmumu needs --estimators"):
        runner.make_processor(Zmumu, {})


def test_details_can_be_stored_as_json(dy):
    _, details = runner.run(dy, Counting())
    assert json.loads(json.dumps(details)) == details
