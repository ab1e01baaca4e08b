"""``ptmiss selection``: what it prints can be read again, and what is wrong is a line."""

import json
import tomllib

import pytest
from click.testing import CliRunner

from ptmiss import sample
from ptmiss.cli import cli
from ptmiss.selections import PRESETS, Selection, load_selection


def call(*arguments):
    return CliRunner().invoke(cli, ["selection", *map(str, arguments)])


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_shown_is_the_selection(name):
    assert Selection.model_validate(tomllib.loads(call("show", name).output)) == load_selection(name)


def test_the_schema_has_units():
    schema = json.loads(call("show", "--schema").output)
    assert schema["$defs"]["Leptons"]["properties"]["pt"]["unit"] == "GeV"


def test_a_selection_fits_a_file(tmp_path):
    found = call("check", "default", "--file", sample.events("zmumu"))
    assert "has what the selection needs\ndefault: wmunu, zmumu" in found.output.replace("zmumu, wmunu", "wmunu, zmumu")
    mine = tmp_path / "mine.toml"
    mine.write_text('[leptons]\nidentification = "tightestId"\n')
    found = call("check", mine, "--file", sample.events("zmumu"))
    assert found.exit_code == 1
    assert "needs branch Muon_tightestId" in found.output
    mine.write_text("[leptons]\nptt = 3\n")
    assert "leptons.ptt: unknown key, did you mean 'leptons.pt'?" in call("check", mine).output
