"""What processors of others return: kept as it is by every pool, or refused at the first chunk."""

import hist
import numpy as np
import pytest
from coffea.processor import ProcessorABC

from ptmiss import results
from ptmiss.errors import ChunkError, OptionError
from ptmiss.runs import chunks, fileset, runner


class Output(ProcessorABC):
    """A processor that returns what a function makes of events."""

    def __init__(self, make, finish=lambda total: total):
        self.make, self.finish = make, finish

    def process(self, events):
        return self.make(events)

    def postprocess(self, total):
        return self.finish(total)


def of_events(events):
    found = hist.Hist(hist.axis.Regular(4, 0, 100, name="npv"))
    found.fill(np.asarray(events.PV.npvs))
    return found


def total_of(invented, processor):
    outputs, _ = runner.run(fileset.parse({"a": [str(invented)]}), processor, chunksize=120)
    return outputs["a"]


def test_postprocess_is_called_with_the_sum_of_a_dataset(invented):
    out = total_of(invented, Output(lambda events: {"h": of_events(events)}, lambda total: {"h": total["h"] * 2}))
    assert out["h"].sum(flow=True) == 600

    def in_place(total):
        total["h"] *= 3

    assert total_of(invented, Output(lambda e: {"h": of_events(e)}, in_place))["h"].sum(flow=True) == 900
    with pytest.raises(OptionError, match="postprocess of a processor must return a dictionary, not int"):
        total_of(invented, Output(lambda e: {"h": of_events(e)}, lambda total: 1))


def test_histograms_in_dictionaries_keep_the_names_on_the_way(invented):
    nested = total_of(invented, Output(lambda events: {"SR": {"npv": of_events(events)}, "n": len(events)}))
    assert set(nested) == {"SR/npv", "n"}
    by_dataset = total_of(invented, Output(lambda events: {events.metadata["dataset"]: {"npv": of_events(events)}}))
    assert by_dataset["npv"] == nested["SR/npv"]


def test_names_with_slashes_are_read_back(tmp_path):
    filled = hist.Hist(hist.axis.Regular(2, 0, 1))
    outputs = {"a": {"b/c": filled}, "a/b": {"c": filled * 2}, "50%2F": {"%": filled * 3}}
    results.save(tmp_path, {"datasets": {name: {} for name in outputs}}, outputs)
    assert results.load(tmp_path).histograms == outputs


@pytest.mark.parametrize("storage", [hist.storage.Mean(), hist.storage.WeightedMean()])
def test_means_come_back_to_the_bit(storage):
    means = hist.Hist(hist.axis.Regular(3, 0, 3, name="x"), storage=storage)
    means.fill([0.5, 1.5, 1.5, 7.0], sample=[2.0, 3.0, 4.0, 5.0])  # one bin is empty, and one has a single entry
    stored = chunks.Chunk({"m": means}, 4, 4.0, *np.zeros((2, 1), np.uint64), {"columns": []})
    back = chunks.unpack(chunks.pack(stored).content).out["m"]
    for name in back.view().dtype.names:
        np.testing.assert_array_equal(back.view(flow=True)[name], means.view(flow=True)[name])


def test_an_output_that_does_not_add_up_is_refused_at_the_first_chunk(invented):
    with pytest.raises(ChunkError, match="entries 0 to 100: output 'n' of the processor cannot be stored and added up"):
        total_of(invented, Output(lambda events: {"h": of_events(events), "n": None}))


def test_a_processor_finds_a_module_beside_its_file(tmp_path, invented):
    (tmp_path / "beside_of_mine.py").write_text("FACTOR = 2\n")
    text = "from coffea.processor import ProcessorABC\nimport beside_of_mine\n\n\nclass Mine(ProcessorABC):\n"
    text += "    def process(self, events):\n        return {'n': beside_of_mine.FACTOR * len(events)}\n\n"
    text += "    def postprocess(self, total):\n        return total\n"
    (tmp_path / "mine.py").write_text(text)
    cls = runner.find_processor(str(tmp_path / "mine.py"))
    assert total_of(invented, cls())["n"] == 600
