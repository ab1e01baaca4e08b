import pytest

from ptmiss.errors import OptionError
from ptmiss.selections import load_selection

from .events import pileup_file

PILEUP = '[weights.pileup]\nkind = "pileup"\nfile = "pu.json"\n'


def selection(folder, text):
    pileup_file(folder / "pu.json")
    (folder / "s.toml").write_text(text)
    return load_selection(folder / "s.toml")


def test_files_are_taken_from_where_the_selection_is(tmp_path):
    found = selection(tmp_path, PILEUP).weights["pileup"]
    assert found.file == tmp_path / "pu.json"
    assert (found.nominal, found.up, found.clamp) == ("nominal", "up", False)


def test_presets_have_no_weights():
    assert load_selection("default").weights == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[weights.w]\nkind = "pilup"', r"w.kind: unknown kind 'pilup', did you mean 'pileup'\?; known: pileup, "),
        ("[weights.w]", "w.kind: unknown kind ''"),
        ("[weights]\nw = 1", "w.kind: unknown kind ''"),
        ("weights = 3", "weights: Input should be a valid dictionary"),
        (PILEUP + "clmp = true", r"pileup.clmp: unknown key, did you mean 'clamp'\?"),
        (PILEUP.replace("pu.json", "no.json"), "pileup.file: no such file: .*no.json"),
        ('[weights.w]\nkind = "shower"', "w.part: Field required"),
        ('[weights.w]\nkind = "scale"\nvary = "muR"', "w.vary: Input should be 'envelope', "),
        ('[weights.w]\nkind = "formula"\nformula = "1 +"', "w.formula: formula '1 \\+', at character"),
        ('[weights.wUp]\nkind = "sign"', "a weight called 'wUp': expected letters and digits, without Up, Down"),
        ('[weights."a b"]\nkind = "sign"', "a weight called 'a b'"),
        ('[weights.w]\nkind = "pdf"\nmembers = [3, 1]', "expected the first and the last"),
    ],
)
def test_a_slip_is_one_line(tmp_path, text, line):
    with pytest.raises(OptionError, match=line) as caught:
        selection(tmp_path, text)
    assert "\n" not in str(caught.value)
