import json

import numpy as np
import pytest

from ptmiss import events, results
from ptmiss import selections as select
from ptmiss.errors import ColumnError, FileError
from ptmiss.runs import runner
from ptmiss.runs.fileset import parse
from ptmiss.selections import Selection, quality

from ..helpers import call
from ..nano import write_nano

DOUBLE, SINGLE = "HLT_Mu17_Mu8", "HLT_IsoMu24"


def trusting(**keys):
    return Selection.model_validate({"quality": keys})


def flags(**values):
    """Branches of filters."""
    return {f"Flag_{name}": np.array(passed, bool) for name, passed in values.items()}


@pytest.fixture
def read(tmp_path):
    """Events of a file with these branches, in a dataset with these metadata."""

    def read(n, metadata=None, **branches):
        found = events.inspect(write_nano(tmp_path / "events.root", events=n, **branches)).events()
        found.metadata.update(metadata or {})
        return found

    return read


def test_filters_of_the_era_take_the_events_that_fail_any(read):
    found = read(3, {"era": "2018"}, **flags(goodVertices=[1, 0, 1], ecalBadCalibFilter=[1, 1, 0], other=[0, 0, 0]))
    masks = select.judge(found, Selection())
    assert masks["Flag_goodVertices"].tolist() == [True, False, True]
    assert masks["Flag_ecalBadCalibFilter"].tolist() == [True, True, False]
    assert masks["Flag_eeBadScFilter"].all()  # which the file does not have
    assert "Flag_other" not in masks


def test_the_run_number_tells_which_filters_are_asked(read):
    """ECAL's calibration filter is asked since 2017, HCAL's noise filters until 2018."""
    run = np.array([278975, 315267, 357000, 1], np.uint32)
    found = read(4, run=run, **flags(ecalBadCalibFilter=[0] * 4, HBHENoiseFilter=[0] * 4, goodVertices=[0] * 4))
    masks = select.judge(found, Selection())
    assert masks["Flag_ecalBadCalibFilter"].tolist() == [True, False, False, True]
    assert masks["Flag_HBHENoiseFilter"].tolist() == [False, False, True, True]
    assert not masks["Flag_goodVertices"].any()
    assert not select.judge(found, trusting(era="2018"))["Flag_ecalBadCalibFilter"].any()


def test_filters_of_a_selection_and_none(read):
    found = read(2, **flags(eeBadScFilter=[1, 0], goodVertices=[0, 0]))
    masks = select.judge(found, trusting(filters=("eeBadScFilter",)))
    assert masks["Flag_eeBadScFilter"].tolist() == [True, False]
    assert "Flag_goodVertices" not in masks
    assert not any(name.startswith("Flag_") for name in select.judge(found, trusting(filters=())))


def test_what_a_file_lacks_is_said(read):
    assert select.remarks(read(3), Selection()) == {quality.NO_FILTERS: 3}
    assert select.remarks(read(3), trusting(filters=())) == {}
    whole = flags(**{name: [1] * 3 for name in quality.filters.NAMES})
    assert select.remarks(read(3, {"era": "2018"}, **whole), Selection()) == {}
    assert select.remarks(read(3, **whole), Selection()) == {quality.UNKNOWN_ERA: 3}
    del whole["Flag_hfNoisyHitsFilter"]
    [(note, number)] = select.remarks(read(3, {"era": "2018"}, **whole), Selection()).items()
    assert (note, number) == ("event of a file without Flag_hfNoisyHitsFilter", 3)


def test_a_filter_of_the_selection_must_be_there():
    there = ["Flag_goodVertices", "Flag_eeBadScFilter"]
    quality.require(trusting(filters=("goodVertices",)), {}, there, "x.root")
    quality.require(Selection(), {}, there, "x.root")
    with pytest.raises(ColumnError, match=r"x.root has no filter Flag_goodVertexes, .*, did you mean 'goodVertices'"):
        quality.require(trusting(filters=("goodVertexes",)), {}, there, "x.root")


def test_triggers_of_a_file():
    there = {"HLT_B", SINGLE}
    quality.require(Selection(), {"triggers": ("HLT_A", "HLT_B")}, there, "x.root")
    with pytest.raises(ColumnError, match=r"x.root has none of the triggers HLT_A, HLT_C"):
        quality.require(Selection(), {"triggers": ("HLT_A", "HLT_C")}, there, "x.root")
    with pytest.raises(ColumnError, match=r"x.root has no HLT_IsoMu42, .*, did you mean 'HLT_IsoMu24'"):
        quality.require(Selection(), {"veto_triggers": ("HLT_IsoMu42",)}, there, "x.root")


def test_a_golden_json_is_read_before_any_event(tmp_path):
    with pytest.raises(FileError, match=r"no such golden JSON: there.json"):
        quality.require(Selection(), {"golden_json": "there.json"}, (), "x.root")


def test_certified_sections_are_asked_of_data_alone(tmp_path, read):
    golden = tmp_path / "golden.json"
    golden.write_text(json.dumps({"315267": [[1, 1]]}))
    lumi = np.array([1, 2], np.uint32)
    for kind, expected in (("data", [True, False]), (None, [True, False]), ("mc", [True, True])):
        found = read(2, {"kind": kind, "golden_json": str(golden)}, run=315267, lumi=1, luminosityBlock=lumi)
        assert select.judge(found, Selection())["golden JSON"].tolist() == expected


def test_triggers_any_of_those_that_are_there(read):
    found = read(2, HLT_IsoMu24=np.array([True, False]))
    assert select.triggered(found, [SINGLE, "HLT_IsoTkMu24"]).tolist() == [True, False]
    assert select.triggered(found, []).all()
    assert not select.triggered(read(2), [SINGLE]).any()


def primary_datasets(tmp_path):
    """Four events of one run by which triggers fired; each is in the datasets whose triggers it fired."""
    single, double = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 0], bool)
    number = np.arange(1, 5, dtype=np.uint64)

    def write(name, recorded):
        branches = {SINGLE: single[recorded], DOUBLE: double[recorded], "event": number[recorded]}
        return write_nano(tmp_path / name, events=int(recorded.sum()), run=315267, **branches)

    about = {"kind": "data", "luminosity": 1.0}
    return {
        "SingleMuon": {"files": write("s.root", single), "metadata": about | {"triggers": [SINGLE]}},
        "DoubleMuon": {
            "files": write("d.root", double),
            "metadata": about | {"triggers": [DOUBLE], "veto_triggers": [SINGLE]},
        },
    }


def test_an_event_of_two_primary_datasets_belongs_to_the_first(tmp_path):
    found = {}
    for name, dataset in primary_datasets(tmp_path).items():
        source = events.inspect(dataset["files"]).events()
        source.metadata.update(dataset["metadata"])
        found[name] = source.event[select.own_events(source)].tolist()
    assert found == {"SingleMuon": [1, 2], "DoubleMuon": [3]}


class Nothing(runner.ProcessorABC):
    def process(self, events):
        return {"overlap": int((~select.judge(events, Selection())["overlap"]).sum())}

    def postprocess(self, accumulator):
        return accumulator


@pytest.mark.slow
def test_the_ledger_counts_an_event_of_two_primary_datasets_once(tmp_path):
    fileset = primary_datasets(tmp_path)
    outputs, details = runner.run(parse(fileset), Nothing())
    assert outputs == {"SingleMuon": {"overlap": 0}, "DoubleMuon": {"overlap": 1}}
    assert not any(about["ledger"]["duplicates"] for about in details["datasets"].values())
    del fileset["DoubleMuon"]["metadata"]["veto_triggers"]
    _, details = runner.run(parse(fileset), Nothing())
    twice = details["datasets"]["DoubleMuon"]["ledger"]["duplicates"]
    assert (twice["events"], twice["datasets"]) == (1, ["SingleMuon"])


@pytest.mark.slow
def test_real_data_and_simulation_by_the_command_line(shared, tmp_path):
    """Recorded events of run 315267 with the golden JSON of their year, simulation without; counted by hand."""
    nano, cert = (shared / "analysis" / folder for folder in ("nano", "cert"))
    golden = cert / "Cert_314472-325175_13TeV_Legacy2018_Collisions18_JSON.txt"
    about = {"data": {"golden_json": str(golden), "triggers": [SINGLE]}, "mc": {"cross_section": 6077.2}}
    names = {"data": "nano_dimuon.root", "mc": "nano_dy.root"}
    fileset = {n: {"files": [str(nano / names[n])], "metadata": {"kind": n, "era": "2018"} | about[n]} for n in names}
    (tmp_path / "fileset.json").write_text(json.dumps(fileset))
    call("run", "zmumu", "--fileset", tmp_path / "fileset.json", "--estimators", "stored.PFMET", "-o", tmp_path / "out")
    made = results.load(tmp_path / "out").manifest["datasets"]
    certified = {int(run): pairs for run, pairs in json.loads(golden.read_text()).items()}
    source = events.inspect(str(nano / names["data"])).events()
    run, lumi, fired = (np.asarray(c) for c in (source.run, source.luminosityBlock, source.HLT.IsoMu24))
    good = np.array([any(a <= s <= b for a, b in certified.get(r, [])) for r, s in zip(run, lumi, strict=True)])
    flow = made["data"]["cutflow"]["events"]
    assert (flow["all"], flow["golden JSON"], flow["trigger"]) == (40, good.sum(), (good & fired).sum())
    assert made["mc"]["cutflow"]["events"]["golden JSON"] == 40
    assert made["data"]["notes"]["event of a file without Flag_BadPFMuonDzFilter, Flag_hfNoisyHitsFilter"] == 40
    assert made["data"]["notes"]["stored.PFMET: event of a file that calls it MET"] == flow["mass"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "era", "failing"),
    [("nano_dimuon.root", None, 1), ("nano_dy.root", "2018", 0), ("nano_tt_v12.root", "2022", 0)],
)
def test_real_files(shared, name, era, failing):
    """Against the flags themselves, each by its name."""
    found = events.inspect(str(shared / "analysis" / "nano" / name)).events()
    masks = select.judge(found, trusting(era=era))
    wanted = quality.filters.of_year(era or "2018")
    expected = np.all([np.asarray(found.Flag[one], bool) for one in wanted if one in found.Flag.fields], axis=0)
    np.testing.assert_array_equal(np.all(list(masks.values()), axis=0), expected)
    assert np.count_nonzero(~expected) == failing
