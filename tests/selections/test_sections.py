import json

import numpy as np
import pytest

from ptmiss.errors import FileError
from ptmiss.selections import sections


@pytest.fixture
def golden(tmp_path):
    def write(content):
        path = tmp_path / "golden.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


def test_both_ends_of_a_range_count(golden):
    path = golden({"1": [[7, 7], [2, 5]], "12": [[1, 3]], "3": []})
    run, section = np.array([(1, 1), (1, 2), (1, 5), (1, 6), (1, 7), (1, 8), (2, 2), (3, 1), (12, 3), (12, 4)]).T
    expected = [False, True, True, False, True, False, False, False, True, False]
    assert sections.certified(run, section, path).tolist() == expected
    assert not sections.certified(run, section, golden({})).any()


def test_a_range_in_another_hides_no_section(golden):
    path = golden({"1": [[1, 10], [2, 3]]})
    assert sections.certified([1, 1], [7, 11], path).tolist() == [True, False]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_real_sections_are_those_of_coffea(shared):
    from coffea.lumi_tools import LumiMask

    rng, u4 = np.random.default_rng(5), np.uint32
    for path in sorted((shared / "analysis" / "cert").glob("Cert*")):
        runs = np.array([int(run) for run in json.loads(path.read_text())])
        run = rng.choice(np.append(runs, [1, runs.max() + 1]), 20_000).astype(u4)
        section = rng.integers(1, 1500, len(run)).astype(u4)
        found = sections.certified(run, section, str(path))
        np.testing.assert_array_equal(found, LumiMask(str(path))(run, section))
        assert 0.01 < found.mean() < 0.99


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"golden JSON .*golden.json: not JSON \(line 1"),
        ({"1": [[1]]}, "golden.json: run 1.0.1: Field required"),
        ({"B": [[1, 2]]}, "golden.json: run B.*: Input should be a valid integer"),
        ([1], "golden.json: run value: Input should be a valid dictionary"),
    ],
)
def test_what_is_wrong_with_a_file(golden, content, message):
    with pytest.raises(FileError, match=message):
        sections.read(golden(content))
    with pytest.raises(FileError, match=r"no such golden JSON: nowhere.json"):
        sections.read("nowhere.json")


def test_a_file_written_again_counts_as_it_is_now(golden):
    assert sections.certified([1, 1], [1, 2], golden({"1": [[1, 2]]})).tolist() == [True, True]
    assert sections.certified([1, 1], [1, 2], golden({"7": [[1, 2]]})).tolist() == [False, False]
