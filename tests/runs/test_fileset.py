import json

import pytest

from ptmiss.errors import FileError, FilesetError
from ptmiss.runs import fileset


def test_short_and_long_forms():
    parsed = fileset.parse(
        {
            "short": ["https://h/a.root"],
            "one": "https://h/a.root",
            "long": {
                "files": {"https://h/a.root": "Other"},
                "metadata": {"kind": "data", "luminosity": 59.7, "triggers": ["HLT_IsoMu24"], "mine": [1, 2]},
            },
        }
    )
    assert list(parsed["short"].trees()) == list(parsed["one"].trees()) == [("https://h/a.root", "Events")]
    assert list(parsed["long"].trees()) == [("https://h/a.root", "Other")]
    metadata = parsed["long"].metadata.model_dump()
    assert metadata["kind"] == "data"
    assert metadata["mine"] == [1, 2]


def test_read_from_a_file(tmp_path):
    (tmp_path / "f.json").write_text(json.dumps({"dy": ["https://h/a.root"]}))
    assert list(fileset.read(tmp_path / "f.json")) == ["dy"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"fils": ["a"]}, "dataset 'dy', fils: unknown key, did you mean 'files'?"),
        ({"files": ["a"], "tree_name": "x"}, "tree_name: unknown key, did you mean 'treename'"),
        ({"files": []}, "files"),
        ({"files": 3}, "files"),
        (3, "dataset 'dy'"),
        ({"files": ["a"], "metadata": {"kind": "mcc"}}, "metadata.kind: Input should be 'data' or 'mc', not 'mcc'"),
        ({"files": ["a"], "metadata": {"cross_section": -1}}, "metadata.cross_section: Input should be greater than 0"),
        ({"files": ["a"], "metadata": {"cross_secton": 1}}, "unknown key 'cross_secton', did you mean 'cross_section'"),
        ({"files": ["a"], "metadata": {"pseudo_data": True}}, "pseudo_data stand for data: expected kind 'data'"),
        ({"files": ["a"], "metadata": {"kind": "data", "role": "signal"}}, "role is of simulation: expected kind 'mc'"),
        ({"files": ["a"], "metadata": {"role": "sigal"}}, "metadata.role: Input should be 'signal' or 'background'"),
        ({"files": ["a"], "metadata": {"filename": "x"}}, "'filename' is filled by the runner"),
    ],
)
def test_mistakes_are_named_by_dataset_key_and_what_is_allowed(value, message):
    with pytest.raises(FilesetError, match="fileset: dataset 'dy'") as error:
        fileset.parse({"dy": value})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_no_filesets(tmp_path):
    with pytest.raises(FileError, match="no such fileset"):
        fileset.read(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{not json")
    with pytest.raises(FilesetError, match=r"bad\.json: not JSON \(line 1"):
        fileset.read(tmp_path / "bad.json")
    for content in ("[]", "{}", "3"):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(FilesetError, match="expected a map"):
            fileset.read(tmp_path / "bad.json")
    with pytest.raises(FileError, match="cannot read fileset"):
        fileset.read(tmp_path)


def test_a_file_listed_twice_is_refused(tmp_path):
    path = tmp_path / "a.root"
    path.touch()
    with pytest.raises(FilesetError, match="is listed twice"):
        list(fileset.parse({"dy": [str(path), str(tmp_path / "*.root")]})["dy"].trees())
