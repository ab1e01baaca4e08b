"""Selections of files and by name."""

import json

import pytest

from ptmiss.errors import FileError, OptionError, UnknownName
from ptmiss.selections import PRESETS, Selection, load_selection
from ptmiss.userfiles import documented


@pytest.fixture
def written(tmp_path):
    def write(text, name="mine.toml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_presets_are_what_they_are_called():
    assert set(PRESETS) == {"default", "public-code", "z-ee", "gamma-jet", "w-mu", "w-e"}
    assert load_selection() == load_selection("default") == Selection()
    electron = {name for name in PRESETS if load_selection(name).leptons.flavour == "electron"}
    assert electron == {"z-ee", "w-e"}
    assert [name for name in PRESETS if load_selection(name).photon] == ["gamma-jet"]
    numbers = {name: load_selection(name).leptons.number for name in PRESETS}
    assert numbers == {
        "default": (1, 2), "public-code": (1, 2), "z-ee": (2,), "gamma-jet": (), "w-mu": (1,), "w-e": (1,)
    }  # fmt: skip


def test_the_presets_of_the_measurement_are_as_they_were():
    """The cuts of CMS-JME-24-001 and of its public code, written out."""
    default = load_selection()
    assert (default.leptons.pt, default.leptons.eta, default.leptons.isolation_maximum) == (25, 2.4, 0.15)
    assert (default.leptons.identification, default.leptons.isolation) == ("looseId", "pfRelIso04_all")
    assert (default.mass, default.jets.pt, default.jets.eta, default.jets.lepton_dr) == ((80, 100), 30, 2.4, 0.4)
    assert default.btag.taggers == {"btagUParTAK4B": 0.1272, "btagPNetB": 0.245, "btagDeepFlavB": 0.2783}
    assert (default.jets.identification, default.quality.filters, default.leptons.leading) == ((), "era", False)
    public = load_selection("public-code")
    assert (public.leptons.identification, public.leptons.leading, public.leptons.pt) == ("", True, 25)
    assert (public.jets.pt, public.jets.eta, public.jets.identification, public.jets.lepton_dr) == (20, 3, (6,), 0)
    assert (public.btag.taggers, public.btag.eta) == ({"btagDeepB": 0.1918, "btagDeepFlavB": 0.0480}, 2.4)
    assert len(public.quality.filters) == 8


def test_a_file_is_a_preset_and_what_differs_from_it(written):
    mine = load_selection(written('base = "z-ee"\nmass = [70, 110]\n[leptons]\npt = "30 GeV"\n'))
    expected = load_selection("z-ee").model_dump() | {"mass": (70, 110)}
    expected["leptons"] |= {"pt": 30}
    assert mine == Selection.model_validate(expected)


def test_taggers_are_replaced_and_not_added(written):
    assert load_selection(written("[btag]\ntaggers = { btagPNetB = 0.3 }")).taggers(None) == {"btagPNetB": 0.3}


def test_taggers_of_an_era(written):
    mine = load_selection(written("[btag.eras.2017]\nbtagDeepFlavB = 0.3040\n"))
    assert mine.taggers("2017") == {"btagDeepFlavB": 0.3040}
    assert mine.taggers("2018") == mine.taggers(None) == Selection().btag.taggers


def test_json_is_read_like_toml(written):
    text = json.dumps(load_selection("gamma-jet").model_dump(mode="json"))
    assert load_selection(written(text, "mine.json")) == load_selection("gamma-jet")


def test_a_section_may_begin_where_the_preset_has_none(written):
    mine = load_selection(written("[leptons]\nnumber = []\n[photon]\npt = 100\n"))
    assert mine.photon is not None
    assert (mine.photon.pt, mine.photon.eta) == (100, 1.4442)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[leptons]\nptt = 3", "leptons.ptt: unknown key, did you mean 'leptons.pt'?; known: "),
        ("[lepton]\npt = 3", "lepton: unknown key, did you mean 'leptons"),
        ('[leptons]\npt = "25 MeV"', "leptons.pt: expected GeV, not '25 MeV'"),
        ('[leptons]\nflavour = "tau"', "leptons.flavour: Input should be 'muon' or 'electron', not 'tau'"),
        ("mass = [100, 80]", "mass: expected a lower and a higher mass, not [100.0, 80.0]"),
        ("[photon]\npt = 100", "photon and leptons are both the boson: expected leptons.number = [] beside a photon"),
        ('vertices = "PV_nvps"', "vertices: Input should be 'PV_npvs' or 'PV_npvsGood', not 'PV_nvps'"),
        ("[jets]\nidentification = [2.5]", "jets.identification.0: Input should be a valid integer"),
    ],
)
def test_a_mistake_is_a_line(written, text, line):
    path = written(text)
    with pytest.raises(OptionError) as error:
        load_selection(path)
    assert str(error.value).startswith(f"selection {path}: ")
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_names_and_files_that_are_not_there(written, tmp_path):
    with pytest.raises(UnknownName, match="selection 'defualt', did you mean 'default'"):
        load_selection("defualt")
    with pytest.raises(UnknownName, match="selection 'z-eee', did you mean 'z-ee'"):
        load_selection(written('base = "z-eee"'))
    with pytest.raises(FileError, match="no such selection: "):
        load_selection(tmp_path / "none.toml")
    with pytest.raises(FileError, match="is not TOML"):
        load_selection(written("[leptons"))


def test_every_key_is_documented():
    keys = list(documented(Selection))
    assert all(key.description for key in keys)
    units = {key.unit for key in keys if key.place.rpartition(".")[2] in ("pt", "leading_pt", "mass")}
    assert units == {"GeV"}
    assert len(keys) > 40
