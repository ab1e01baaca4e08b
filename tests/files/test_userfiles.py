import pytest
from pydantic import BaseModel, ConfigDict

from ptmiss.errors import FileError, OptionError
from ptmiss.files import userfiles


class Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int
    name: str = ""


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"size": "x"}, "w.toml: size: Input should be a valid integer, unable to parse string as an integer, not 'x'"),
        ({"sise": 3}, "w.toml: sise: unknown key, did you mean 'size'?; known: size, name"),
        ({}, "w.toml: size: Field required"),
        (3, "w.toml: value: Input should be a valid dictionary or instance of Wish, not 3"),
    ],
)
def test_the_first_mistake_is_a_line(content, line):
    with pytest.raises(OptionError) as error:
        userfiles.validate(Wish, content, "w.toml: ", OptionError)
    assert str(error.value) == line


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileError, match="no such wish: "):
        userfiles.text(tmp_path / "none", "wish")
    with pytest.raises(FileError, match="cannot read wish "):
        userfiles.text(tmp_path, "wish")


class Inner(userfiles.Section):
    pt: userfiles.Number = userfiles.key(25.0, "pT above", "GeV", ge=0)
    window: tuple[userfiles.Number, userfiles.Number] = userfiles.key((80.0, 100.0), "of the mass", "GeV")
    eta: userfiles.Number = userfiles.key(2.4, "|η| below")


class Outer(userfiles.Section):
    inner: Inner = Inner()
    other: Inner | None = userfiles.key(None, "nothing")


def outer(**inner):
    return userfiles.validate(Outer, {"inner": inner}, "o.toml: ", OptionError).inner


def test_a_number_may_name_its_unit():
    assert outer(pt="30 GeV", window=["70 GeV", 110]) == Inner(pt=30, window=(70, 110))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"pt": "30 MeV"}, "o.toml: inner.pt: expected GeV, not '30 MeV'"),
        ({"pt": "30"}, "o.toml: inner.pt: expected GeV, not '30'"),
        ({"pt": "soft"}, "o.toml: inner.pt: expected a number of GeV, not 'soft'"),
        ({"window": [80, "100 cm"]}, "o.toml: inner.window: expected GeV, not '100 cm'"),
        ({"eta": "2.4"}, "o.toml: inner.eta: Input should be a valid number, not '2.4'"),
        ({"eta": True}, "o.toml: inner.eta: Input should be a valid number, not True"),
        ({"pT": 3}, "o.toml: inner.pT: unknown key, did you mean 'inner.pt'?; known: pt, window, eta"),
    ],
)
def test_a_mistake_in_a_section(content, line):
    with pytest.raises(OptionError) as error:
        outer(**content)
    assert str(error.value) == line


def test_keys_are_documented_by_their_place():
    found = {each.place: each for each in userfiles.documented(Outer)}
    assert list(found) == ["inner.pt", "inner.window", "inner.eta", "other.pt", "other.window", "other.eta"]
    assert found["inner.pt"] == ("inner.pt", "GeV", 25.0, "pT above")


def test_content_is_of_json_or_toml(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "a.toml").write_text("a = 1")
    assert userfiles.content(tmp_path / "a.json", "wish") == userfiles.content(tmp_path / "a.toml", "wish") == {"a": 1}
    (tmp_path / "a.toml").write_text("a = ")
    with pytest.raises(FileError, match=r"wish .*a\.toml is not TOML: Invalid value"):
        userfiles.content(tmp_path / "a.toml", "wish")
