"""Selections of files and by name."""

import json

import pytest

from ptmiss.errors import FileError, OptionError, UnknownName
from ptmiss.files.userfiles import documented
from ptmiss.selections import PRESETS, Selection, load_selection


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
    mine = load_selection(written("[btag]\ntaggers = { btagPNetB = 0.3 }"))
    assert [mine.of_era(era).btag.taggers for era in (None, "2022EE")] == 2 * [{"btagPNetB": 0.3}]


def test_taggers_of_an_era(written):
    mine = load_selection(written("[btag.eras.2017]\nbtagDeepFlavB = 0.4\n"))
    assert mine.of_era("2017").btag.taggers == mine.of_era("2017F").btag.taggers == {"btagDeepFlavB": 0.4}
    assert mine.of_era("2018").btag.taggers == mine.of_era(None).btag.taggers == Selection().btag.taggers


@pytest.mark.parametrize(
    ("era", "tagger", "point"),
    [
        ("2016preVFP", "btagDeepFlavB", 0.2598),
        ("UL16postVFP", "btagDeepFlavB", 0.2489),
        ("2018A", "btagDeepFlavB", 0.2783),
        ("2022C", "btagPNetB", 0.245),
        ("2022F", "btagPNetB", 0.2605),
        ("2023BPix", "btagDeepFlavB", 0.2435),
        ("2024", "btagUParTAK4B", 0.1272),
    ],
)
def test_presets_have_the_medium_points_of_each_era(era, tagger, point):
    assert load_selection("z-ee").of_era(era).btag.taggers[tagger] == point
    assert load_selection("public-code").of_era(era).btag.taggers == load_selection("public-code").btag.taggers


def test_files_by_era_are_beside_the_selection(written, tmp_path):
    mine = load_selection(
        written(
            '[jets]\nidentification_file = "id.json"\nidentification_files = {2022EE = "ee.json"}\n[quality]\n'
            'golden_json = "golden.json"\n[quality.veto_maps.2022EE]\nfile = "b.json"\nname = "map"\n'
            '[quality.veto_maps.2023]\nfile = "/maps/a.json"\nname = "map"\n'
        )
    )
    assert mine.quality.golden_json == str(tmp_path / "golden.json")
    assert mine.of_era("2022E").jets.identification_file == str(tmp_path / "ee.json")
    with pytest.raises(OptionError, match=r"quality\.veto_maps has no era '2023D'; there: 2022EE, 2023"):
        mine.of_era("2023D")
    with pytest.raises(
        OptionError, match=r"quality\.veto_maps has values by era, and neither fileset nor quality\.era"
    ):
        mine.of_era(None)
    where = mine.of_era("2023C").quality.veto_map
    assert (where.file, where.name) == ("/maps/a.json", "map")
    assert mine.of_era("2023C").jets.identification_file == str(tmp_path / "id.json")
    assert mine.of_era("2023C").of_era("2018") == mine.of_era("2023C")


def test_the_own_era_of_a_selection_goes_first(written):
    mine = load_selection(written('[quality]\nera = "2022EE"\n'))
    assert mine.of_era("2018").btag.taggers["btagPNetB"] == 0.2605


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
        ('[quality]\nera = "2033"', "quality.era: '2033' is of no year known (2015, 2016, "),
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
    numbers = [key for key in keys if key.place.rpartition(".")[2] in ("pt", "leading_pt", "mass")]
    assert {key.unit for key in numbers if key.place != "leptons.momentum.pt"} == {"GeV"}  # that is a formula
    assert len(keys) > 40
