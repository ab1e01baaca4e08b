import json

import awkward as ak
import hypothesis.strategies as st
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
from hypothesis import given

import ptmiss
from ptmiss import sample, table
from ptmiss.errors import OptionError
from ptmiss.estimators import Estimator, make_estimators
from ptmiss.runs import friends

from ..helpers import call, failure
from ..invented import write_events

IDENTITY = ["run", "luminosityBlock", "event"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of the same name, in two folders."""
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / "a" / "nano.root", folder / "b" / "c" / "nano.root"]
    for seed, path in enumerate(paths):
        path.parent.mkdir(parents=True)
        write_events(path, 50 + 10 * seed, seed)
    return paths


@pytest.fixture(scope="module")
def skimmed(files, tmp_path_factory):
    """Table and friends; no chunk is a whole file."""
    folder = tmp_path_factory.mktemp("skimmed")
    made = make_estimators("pf,puppi", systematics=["puppi=unclustered"])
    ptmiss.skim(files, folder / "t.parquet", made, friend=folder / "friends", chunksize=17)
    return folder


def pairs(files, skimmed):
    made = json.loads((skimmed / "friends" / "manifest.json").read_text())["friends"]
    return [(str(path), str(skimmed / "friends" / made[str(path)])) for path in files]


@pytest.mark.slow
def test_entries_are_those_of_the_file_in_its_order(files, skimmed):
    for file, friend in pairs(files, skimmed):
        with uproot.open(f"{file}:Events") as events, uproot.open(f"{friend}:Friends") as tree:
            for name in IDENTITY:
                np.testing.assert_array_equal(tree[name].array(library="np"), events[name].array(library="np"))
                assert tree[name].interpretation == events[name].interpretation
            pt, phi = events["PFCands_pt"].array(), events["PFCands_phi"].array()
            x, y = -ak.sum(pt * np.cos(phi), axis=1), -ak.sum(pt * np.sin(phi), axis=1)
            np.testing.assert_allclose(tree["ptmiss_pf_pt"].array(), np.hypot(x, y), rtol=1e-4)
            np.testing.assert_allclose(tree["ptmiss_pf_phi"].array(), np.arctan2(y, x), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("role", "treated"), [("signal", "mc"), ("background", "background")])
def test_corrected_stands_beside_what_it_comes_from(role, treated, files, correction_file, applied, tmp_path):
    source = {"dy": {"files": [str(files[0])], "metadata": {"kind": "mc", "role": role}}}
    rows = ptmiss.skim(source, tmp_path / "t.parquet", "puppi", corrections=correction_file, friend=tmp_path / "f")
    with uproot.open(f"{tmp_path / 'f' / 'nano.root'}:Friends") as tree:
        found = tree.arrays(library="np")
    where = rows.vector("boson"), rows["npv"], rows["njets"], treated
    endings = {name: "" if name == "nominal" else f"_{name}" for name in applied.systematics("puppi")}
    for name, ending in endings.items() if role == "signal" else [("nominal", "")]:
        expected = np.hypot(*applied.met("puppi", rows.met("puppi"), *where, name).T)
        pair = np.isfinite(rows["boson_pt"]) | (role == "background")
        corrected = found[f"ptmiss_puppi_pt_corrected{ending}"]
        np.testing.assert_allclose(corrected[pair], expected[pair], rtol=1e-3, atol=1e-3)
    assert len(endings) > 1
    assert (len([name for name in found if "_corrected_" in name]) == 0) == (role == "background")
    assert np.any(found["ptmiss_puppi_pt_corrected"] != found["ptmiss_puppi_pt"])
    assert rows.provenance["corrections"]["sha256"] == applied.sha256


def test_corrected_w_is_mapped_against_the_generated_boson(correction_file, applied, tmp_path):
    source = {"w": {"files": [str(sample.events("wmunu"))], "metadata": {"kind": "mc", "role": "signal"}}}
    (tmp_path / "w.json").write_text(json.dumps(source))
    skim = ("skim", "--fileset", tmp_path / "w.json", "-e", "puppi", "--corrections", correction_file)
    call(*skim, "--output", tmp_path / "t.parquet")
    rows = table.read(tmp_path / "t.parquet")
    single = np.isfinite(rows["lepton_pt"]) & np.isfinite(rows["genboson_pt"])
    assert single.any()
    given = rows.met("puppi"), rows.vector("genboson"), rows["npv"], rows["njets"]
    expected = applied.met("puppi", *given, visible=rows.vector("genseen"))
    np.testing.assert_allclose(rows.varied_met("puppi", "corrected")[single], expected[single], atol=0.01)
    bare = failure("skim", sample.events("wmunu"), *skim[3:], "--output", tmp_path / "u.parquet")
    assert bare.startswith("--corrections need a role of dataset 'events'")


@pytest.mark.slow
@pytest.mark.parametrize("first", ["data", "dy"])
def test_data_beside_corrected_signal(first, files, correction_file, tmp_path):
    """Data have no variations: in a table of both these are the corrected one, and friends go without."""
    stands = {"kind": "data", "pseudo_data": True}, {"kind": "mc", "role": "signal"}
    source = {
        name: {"files": [str(path)], "metadata": metadata}
        for name, path, metadata in zip(("data", "dy"), files, stands, strict=True)
    }
    source = {name: source[name] for name in sorted(source, reverse=first == "dy")}
    where = {"corrections": correction_file, "friend": tmp_path / "f"}
    rows = ptmiss.skim(source, tmp_path / "t.parquet", "puppi", raw_weights=True, **where)
    column = next(name for name in rows.data.column_names if "pt_corrected_" in name)
    of_data = rows["dataset"] == "data"
    assert of_data.sum() == 50
    np.testing.assert_array_equal(rows[column][of_data], rows["met_puppi_pt_corrected"][of_data])
    assert np.any(rows[column][~of_data] != rows["met_puppi_pt_corrected"][~of_data])
    data, signal = (uproot.open(f"{tmp_path / 'f' / place}:Friends") for place in ("a/nano.root", "b/c/nano.root"))
    with data, signal:
        assert set(signal.keys()) - set(data.keys()) == {
            name.replace("met_", "ptmiss_") for name in rows.data.column_names if "_corrected_" in name
        }


@pytest.mark.filterwarnings("ignore:Missing cross-reference index")
def test_coffea_reads_it_beside_the_file(files, skimmed):
    for file, friend in pairs(files, skimmed):
        events, beside = (
            NanoEventsFactory.from_root({path: tree}, schemaclass=NanoAODSchema, mode="eager").events()
            for path, tree in ((file, "Events"), (friend, "Friends"))
        )
        assert ak.all(events.event == beside.event)
        events["ptmiss"] = beside.ptmiss
        central = events[ak.all(abs(events.Muon.eta) < 2.4, axis=1)]
        assert 0 < len(central) < len(events)
        assert ak.all(central.ptmiss.puppi_pt > 0)


def test_a_friend_says_what_the_table_says(files, skimmed):
    rows = table.read(skimmed / "t.parquet")
    tree = uproot.concatenate([f"{friend}:Friends" for _, friend in pairs(files, skimmed)], library="np")
    columns = [name for name in rows.data.column_names if name.startswith("met_")]
    assert "met_puppi_phi_unclustered_down" in columns
    assert list(tree) == [*IDENTITY, "ptmiss_selected", *(f"ptmiss_{name.removeprefix('met_')}" for name in columns)]
    for name in columns:
        np.testing.assert_array_equal(tree[f"ptmiss_{name.removeprefix('met_')}"], rows[name])
    selected = np.isfinite(rows["boson_pt"]) | np.isfinite(rows["lepton_pt"])
    np.testing.assert_array_equal(tree["ptmiss_selected"], selected)
    assert 0 < tree["ptmiss_selected"].sum() < len(rows)


@pytest.mark.slow
def test_real_events_beside_what_cms_stored(pfnano, tmp_path):
    ptmiss.skim(pfnano, tmp_path / "t.parquet", "stored.PuppiMET", friend=tmp_path / "f")
    with uproot.open(f"{pfnano}:Events") as events, uproot.open(f"{tmp_path / 'f' / pfnano.name}:Friends") as tree:
        np.testing.assert_array_equal(tree["event"].array(), events["event"].array())
        np.testing.assert_allclose(tree["ptmiss_stored_PuppiMET_pt"].array(), events["PuppiMET_pt"].array(), rtol=1e-5)


def test_what_is_there_is_replaced_by_force_alone(tmp_path):
    skim = ("skim", sample.events("zmumu"), "--estimators", "pf", "--friend", tmp_path / "f", "--output")
    assert f"60 events -> {tmp_path / 't.parquet'}, friend trees -> {tmp_path / 'f'}" in call(
        *skim, tmp_path / "t.parquet"
    )
    (tmp_path / "f" / "thesis.tex").write_text("years of work")
    rule = "--force replaces what ptmiss wrote there, and leaves other files"
    assert failure(*skim, tmp_path / "u.parquet") == f"--friend {tmp_path / 'f'} is not empty ({rule})"
    before = (tmp_path / "f" / "manifest.json").read_text()
    call(*skim, tmp_path / "u.parquet", "--force")
    assert (tmp_path / "f" / "manifest.json").read_text() != before
    assert (tmp_path / "f" / "thesis.tex").read_text() == "years of work"
    assert len(list((tmp_path / "f").glob("*.root"))) == 1


def test_a_broken_disk_leaves_no_friend_and_resume_writes_them(files, tmp_path, monkeypatch):
    write, calls = friends.write_tree, []

    def full(path, blocks):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        write(path, blocks)

    monkeypatch.setattr(friends, "write_tree", full)
    skim = ("skim", *files, "--estimators", "pf", "--friend", tmp_path / "f", "--output", tmp_path / "t.parquet")
    assert failure(*skim, "--quiet") == f"cannot write {tmp_path / 'f'}: No space left on device"
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet.parts"]
    call(*skim, "--resume")
    assert {path.name for path in tmp_path.iterdir()} == {"t.parquet", "f"}
    assert len(list((tmp_path / "f").rglob("*.root"))) == 2


def test_a_file_that_was_not_read_whole_has_no_friend(files, tmp_path):
    broken = tmp_path / "broken.root"
    broken.write_bytes(files[0].read_bytes()[:5000])
    skim = ("skim", files[1], broken, "--estimators", "pf", "--friend", tmp_path / "f", "--skip-bad-files")
    assert f"note: no friend of {broken}: " in call(*skim, "--output", tmp_path / "t.parquet")
    assert json.loads((tmp_path / "f" / "manifest.json").read_text())["friends"].keys() == {str(files[1])}


class Dotted(Estimator):
    def __init__(self, name):
        self.name = name

    def met(self, events, candidates, is_lepton, notes):
        raise NotImplementedError


def test_two_estimators_of_one_branch(files, tmp_path):
    both = [Dotted("a.b"), Dotted("a_b")]
    with pytest.raises(OptionError, match=r"--friend: estimators a\.b, a_b would both be a_b"):
        ptmiss.skim(files, tmp_path / "t.parquet", both, friend=tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/x/nano.root"], ["nano.root"]),
        (["/x/a/1.root", "/x/b/1.parquet"], ["a/1.root", "b/1.root"]),
        (["/x/1.root", "/x/b/1.root"], ["1.root", "b/1.root"]),
        (["root://host//store/a/1.root", "root://host//store/b/1.root"], ["a/1.root", "b/1.root"]),
        (["root://host//store/1.root", "/data/1.root"], ["root:/host/store/1.root", "data/1.root"]),
        (["/x/../y/1.root", "/x/1.root"], ["y/1.root", "1.root"]),
    ],
)
def test_where_friends_are(paths, expected):
    assert friends.places(paths) == list(zip(paths, expected, strict=True))


NAMES = st.text("ab", min_size=1, max_size=2)


@given(st.lists(st.lists(NAMES, min_size=1, max_size=4), min_size=1, max_size=5, unique_by=tuple))
def test_other_files_have_other_friends_below_the_directory(parts):
    paths = ["/" + "/".join(each) + ".root" for each in parts]
    found = [place for _, place in friends.places(paths)]
    assert len(set(found)) == len(paths)
    assert not any(place.startswith("/") or ".." in place for place in found)
    assert all(path.endswith(f"/{place}") for path, place in zip(paths, found, strict=True))
