import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ptmiss import __version__, sample, table, verbs
from ptmiss.cli import cli
from ptmiss.networks.registry import save_model
from ptmiss.networks.weights import write_tensors

from .helpers import call, failure, random_model
from .invented import write_events

RESOLUTION_MEDIAN, RESPONSE_MEDIAN = 2.5, 3.2  # GeV, of the distance to what CMSSW stored


@pytest.fixture
def fileset_of(tmp_path):
    """A fileset file for one event file."""

    def write(path, **dataset):
        target = tmp_path / "fileset.json"
        target.write_text(json.dumps({"events": {"files": [str(path)], **dataset}}))
        return target

    return write


def commands(command=cli, path=()):
    for name, sub in command.commands.items():
        if hasattr(sub, "commands"):
            yield from commands(sub, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("verb", list(commands()), ids=" ".join)
def test_every_verb_has_help_with_an_example(verb):
    printed = call(*verb, "--help")
    assert "Example:" in printed
    assert f"ptmiss {' '.join(verb)}" in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize("group", [(), ("models",), ("train",), ("evaluate",)], ids=" ".join)
def test_the_list_of_verbs_is_not_cut(group):
    printed = call(*group, "--help")
    assert "..." not in printed.partition("Commands:")[2]
    assert max(map(len, printed.splitlines())) <= 80


def test_version():
    assert call("--version") == f"ptmiss, version {__version__}\n"


@pytest.mark.slow
def test_the_whole_way_of_real_candidates(shared, pfnano, tmp_path):
    """Weights from the released graphs, then the table with every estimator, near to what CMS stored."""
    weights = {}
    for name, graph in (("deepmet", 1), ("deepmet_response", 2)):
        weights[name] = tmp_path / f"{name}.safetensors"
        call("models", "import-deepmet", shared / f"deepmet/deepmet_{graph}.graphdef", "--output", weights[name])
    assert "padding: 4500" in call("models", "show", weights["deepmet"])
    names = "pf,puppi,deepmet,deepmet_response,stored.RawMET,stored.PuppiMET"
    stored = ",stored.DeepMETResolutionTune,stored.DeepMETResponseTune"
    given = [arg for name, path in weights.items() for arg in ("--weights", f"{name}={path}")]
    output = tmp_path / "t.parquet"
    printed = call(
        *("skim", pfnano, "--estimators", names + stored, "--leptons", "as-candidates", *given, "--output", output)
    )
    assert printed.endswith(f"10 events -> {output}\n")
    frame = pd.read_parquet(output)
    assert (abs(frame["met_pf_pt"] / frame["met_stored.RawMET_pt"] - 1) < 0.01).all()
    for name, reference, limit in (
        ("deepmet", "DeepMETResolutionTune", RESOLUTION_MEDIAN),
        ("deepmet_response", "DeepMETResponseTune", RESPONSE_MEDIAN),
    ):
        assert distance(frame, f"met_{name}", f"met_stored.{reference}").median() < limit


def distance(frame, one, other):
    import numpy as np

    phi = frame[f"{one}_phi"] - frame[f"{other}_phi"]
    a, b = frame[f"{one}_pt"], frame[f"{other}_pt"]
    return np.sqrt(np.maximum(a**2 + b**2 - 2 * a * b * np.cos(phi), 0))


@pytest.mark.slow
def test_from_a_run_to_figures(invented, fileset_of, tmp_path):
    printed = call("run", "zmumu", "--fileset", fileset_of(invented), "--output", tmp_path / "run")
    assert "events: all 300" in printed
    assert f"300 events -> {tmp_path / 'run'}" in printed
    printed = call(
        "resolution", tmp_path / "run", "--correction", "bin", "--output", tmp_path / "out", "--format", "svg"
    )
    assert Path(printed.splitlines()[0]) == tmp_path / "out" / "overview.svg"
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["processor"] == "zmumu"
    assert manifest["estimators"] == [{"name": "pf"}, {"name": "puppi"}]
    assert manifest["versions"]["coffea"]


@pytest.mark.slow
def test_a_processor_of_ones_own_with_options(drell_yan, fileset_of, tmp_path):
    own = tmp_path / "mine.py"
    own.write_text(
        "from coffea.processor import ProcessorABC\n"
        "class Mine(ProcessorABC):\n"
        "    def __init__(self, cut): self.cut = cut\n"
        "    def process(self, events): return {'kept': int((events.MET.pt > self.cut).to_numpy().sum())}\n"
        "    def postprocess(self, accumulator): return accumulator\n"
    )
    call("run", own, "--fileset", fileset_of(drell_yan), "--option", "cut=-1.5", "--output", tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["datasets"]["events"]["kept"] == 40
    assert manifest["options"] == {"cut": -1.5}
    assert "Mine has no option cutt" in failure(
        *("run", own, "--fileset", fileset_of(drell_yan), "--option", "cutt=1", "--output", tmp_path / "o2")
    )


def test_notes_are_told(tmp_path):
    import awkward as ak

    write_events(tmp_path / "a.root", 5)
    from ptmiss import events

    source = events.inspect(str(tmp_path / "a.root")).events()
    cands = source.PFCands
    fields = {f: cands[f] for f in cands.fields} | {"pdgId": ak.full_like(cands.pdgId, 4444)}
    columns = {f"PFCands_{f}": v for f, v in fields.items()} | {f"Muon_{f}": source.Muon[f] for f in source.Muon.fields}
    columns |= {f"Jet_{f}": source.Jet[f] for f in source.Jet.fields} | {"PV_npvs": source.PV.npvs}
    columns |= {name: source[name] for name in ("run", "luminosityBlock", "event")}
    ak.to_parquet(ak.zip(columns, depth_limit=1), tmp_path / "b.parquet")
    printed = call("skim", tmp_path / "b.parquet", "--estimators", "track", "--output", tmp_path / "t.parquet")
    assert (
        f"note: candidate repaired: pdgId unknown: {ak.sum(ak.num(cands))}" not in printed
    )  # track needs no pdgId here
    save_model(random_model(), tmp_path / "w.safetensors", "")
    printed = call(
        *("skim", tmp_path / "b.parquet", "--estimators", "net", "--weights", f"net={tmp_path / 'w.safetensors'}"),
        *("--output", tmp_path / "n.parquet"),
    )
    assert f"note: candidate repaired: pdgId unknown: {ak.sum(ak.num(cands))}" in printed


def test_bad_files_are_one_line_and_leave_nothing(drell_yan, tmp_path):
    output = tmp_path / "out" / "t.parquet"
    content = drell_yan.read_bytes()
    (tmp_path / "truncated.root").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.root").write_text("this is not a ROOT file " * 50)
    for source, message in (
        (tmp_path / "none.root", "no such file: "),
        (tmp_path / "*.nothing", "no file matches "),
        (tmp_path / "truncated.root", "truncated.root is not a readable ROOT file: it ends"),
        (tmp_path / "text.root", "text.root is not a readable ROOT file: not a ROOT file"),
        (drell_yan, "has none; of what it stores: --estimators stored."),
    ):
        assert message in failure("skim", source, "--estimators", "pf", "--output", output)
    assert not output.parent.exists()


def test_bad_names_and_weights_are_one_line(drell_yan, fileset_of, weights, tmp_path):
    fileset, output = fileset_of(drell_yan), tmp_path / "out"
    assert "unknown estimator 'pupi', did you mean 'puppi'" in failure(
        "skim", drell_yan, "--estimators", "pupi", "--output", output
    )
    assert "unknown processor 'zmumuu', did you mean 'zmumu'" in failure(
        "run", "zmumuu", "--fileset", fileset, "--output", output
    )
    assert "unknown executor 'futurs'" in failure(
        "run", "zmumu", "--fileset", fileset, "--output", output, "--executor", "futurs"
    )
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    message = failure(
        "skim", drell_yan, "--estimators", "deepmet", "--weights", f"deepmet={weights}", "--output", output
    )
    assert "the weights' SHA-256 is" in message
    assert "no such weights file" in failure("models", "show", tmp_path / "none.safetensors")
    assert "expected either event files or --fileset" in failure("skim", "--output", tmp_path / "t.parquet")
    assert not output.exists()


def test_bad_filesets_are_one_line(drell_yan, fileset_of, tmp_path):
    output = tmp_path / "out"
    fileset = fileset_of(drell_yan, tree="Events")
    message = failure("run", "zmumu", "--fileset", fileset, "--output", output)
    assert "dataset 'events', tree: unknown key, did you mean 'treename'?; known: files, treename, metadata" in message
    assert "no such fileset" in failure("run", "zmumu", "--fileset", tmp_path / "none.json", "--output", output)
    assert not output.exists()


@pytest.mark.slow
def test_results_are_kept_unless_told(drell_yan, fileset_of, tmp_path):
    arguments = (
        "run",
        "zmumu",
        "--fileset",
        fileset_of(drell_yan),
        "--estimators",
        "stored.MET",
        "--output",
        tmp_path / "out",
    )
    call(*arguments)
    assert "is not empty (--resume continues it, --force replaces what ptmiss wrote there" in failure(*arguments)
    call(*arguments, "--force")


def test_wrong_usage_is_exit_status_2():
    assert "Missing option '-o' / '--output'" in call("skim", "x.root", code=2)
    assert "expected NAME=VALUE" in call("skim", "x", "--weights", "w", "--output", "o", code=2)


def stopped(monkeypatch, place, *arguments):
    """What the command line prints after Ctrl-C in a function."""
    monkeypatch.setattr(place, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    return call(*arguments, code=130)


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(monkeypatch, tmp_path):
    resolution = ("resolution", sample.recoil("zmumu"), "--output", tmp_path / "r")
    said = "Interrupted: nothing was written; the same command begins again\n"
    assert stopped(monkeypatch, "ptmiss.verbs.resolution", *resolution) == said
    simulate = ("simulate", "zmumu", "--output", tmp_path / "z.root")
    said = f"Interrupted: finished blocks are kept in {tmp_path / 'z.root'}.parts; the same command continues\n"
    assert stopped(monkeypatch, "ptmiss.simulation.simulate", *simulate) == said
    skim = ("skim", EMBEDDED, "--output", tmp_path / "t.parquet")
    said = "Interrupted: finished chunks are kept; the same command with --resume continues\n"
    assert stopped(monkeypatch, "ptmiss.runs.skim.skim", *skim) == said


WRITERS = {
    "t.parquet": ("skim", sample.events("zmumu"), "--estimators", "pf"),
    "z.root": ("simulate", "zmumu", "-n", 1),
    "c.csv": ("compare", sample.recoil("zmumu")),
    "r.html": ("report", sample.recoil("zmumu")),
    "n.onnx": ("models", "export-onnx", "deepmet"),
    "w.safetensors": ("models", "import-deepmet", "graph.pb"),
}


@pytest.mark.parametrize(("name", "verb"), WRITERS.items(), ids=WRITERS)
def test_every_verb_that_writes_a_file_has_one_rule(name, verb, tmp_path):
    there = tmp_path / name
    there.write_text("years of work")
    assert failure(*verb, "--output", there) == f"--output {there} is there already (--force replaces it)"
    ending = there.suffix
    message = failure(*verb, "--output", tmp_path / "other.txt")
    assert message == f"--output {tmp_path / 'other.txt'}: expected a {ending} file"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["years of work"]


@pytest.mark.parametrize(
    "verb",
    [
        ("resolution", sample.recoil("zmumu")),
        ("calibrate", "--data", sample.recoil("data"), "--mc", sample.recoil("zmumu")),
        ("evaluate", "mlpf", sample.events("ttbar")),
        ("evaluate", "vertex", sample.events("wmunu")),
        ("templates", "out/w", "--observable", "mt"),
        ("train", "deepmet"),
        ("train", "mlpf"),
        ("simulate", "--validate"),
        ("convert", sample.events("ttbar")),
        ("demo",),
    ],
    ids=lambda verb: " ".join(map(str, verb[:2])),
)
def test_every_verb_that_writes_a_directory_has_one_rule(verb, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    message = failure(*verb, "--output", tmp_path)
    rule = "--force replaces what ptmiss wrote there, and leaves other files"
    assert message == f"--output {tmp_path} is not empty ({rule})"


def test_a_table_is_replaced_where_force_says_so(tmp_path):
    skim = ("skim", EMBEDDED, "--output", tmp_path / "t.parquet", "--estimators")
    call(*skim, "pf")
    assert "is there already" in failure(*skim, "pf,puppi", "--resume")
    call(*skim, "pf,puppi", "--force")
    assert "met_puppi_pt" in pd.read_parquet(tmp_path / "t.parquet")
    figure = ("--figure", tmp_path / "f.txt")
    assert "--figure" in failure("compare", sample.recoil("zmumu"), "--by", "qt", *figure)


@pytest.mark.slow
def test_every_step_or_nothing_but_the_result(tmp_path):
    few = ("skim", EMBEDDED, "--estimators", "targets", "--output", tmp_path / "t.parquet", "--force")
    noted, told, quiet = call(*few), call(*few, "-v"), call(*few, "--quiet")
    assert "note: targets: event without elements, so without pTmiss: " in noted
    assert "start: chunks 1, missing 1, events 60" in told
    assert "start: chunks" not in noted
    assert quiet == f"60 events -> {tmp_path / 't.parquet'}\n"
    assert "expected --verbose or --quiet, and not both" in call(*few, "-vq", code=2)


def test_python_m_ptmiss():
    done = subprocess.run([sys.executable, "-m", "ptmiss", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"ptmiss, version {__version__}\n"


def test_an_output_that_cannot_be_written(invented, tmp_path):
    (tmp_path / "file").touch()
    assert "cannot write" in failure("skim", invented, "--output", tmp_path / "file" / "t.parquet")


def test_runner_is_ptmiss_run():
    from importlib.metadata import entry_points

    scripts = {e.name: e.value for e in entry_points(group="console_scripts") if e.value.startswith("ptmiss.")}
    assert scripts == {"ptmiss": "ptmiss.cli:main", "runner": "ptmiss.cli:runner"}


def test_simulations_that_cannot_be(tmp_path):
    output = tmp_path / "x.root"
    for arguments, message in (
        (("zmm",), "unknown process 'zmm', did you mean 'zmumu'"),
        (("zmumu", "-n", "-3"), "cannot simulate -3 events"),
        (("zmumu", "--profile", "dat"), "unknown profile 'dat', did you mean 'data'"),
        (("zmumu", "--set", "hcal=1"), "unknown simulation parameter 'hcal'"),
        (("zmumu", "--set", "hcal_scale=high"), "hcal_scale=high: expected a number"),
        ((), "expected --output, and either a process or --validate"),
        (("zmumu", "--validate"), "expected --output, and either a process or --validate"),
    ):
        assert message in failure("simulate", *arguments, "--output", output)
    assert "its directory does not exist" in failure("simulate", "zmumu", "--output", tmp_path / "no" / "x.root")
    assert list(tmp_path.iterdir()) == []


def test_the_branches_of_a_simulated_file_are_documented():
    printed = call("simulate", "--list")
    assert "zmumu " in printed
    assert "| `PFCands_puppiWeight` | float32 |  | PUPPI weight |" in printed


@pytest.mark.slow
def test_simulated_events_from_the_command_line(tmp_path, small_library):
    printed = call("simulate", "gun_pion", "-n", "5", "--pileup", "1", "--output", tmp_path / "gun.root")
    assert printed.startswith("5 events")
    printed = call("skim", tmp_path / "gun.root", "--estimators", "pf,stored.MET", "--output", tmp_path / "t.parquet")
    assert "5 events" in printed


EMBEDDED = sample.events("zmumu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The directory of a network that was trained for one epoch from the command line, and what was printed."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("train")
    save_model(random_model(), folder / "start.safetensors", "random numbers")
    start = ("--start-from", folder / "start.safetensors")
    printed = call("train", "deepmet", f"{EMBEDDED}=40", "--epochs", 1, *start, "--output", folder / "net")
    return folder / "net", printed


@pytest.mark.slow
def test_a_trained_network_works_in_a_skim(trained, tmp_path):
    output, printed = trained
    assert printed.startswith("best of 1 epochs: loss ")
    weights = f"net={output}"
    table = tmp_path / "t.parquet"
    call("skim", EMBEDDED, "--estimators", "pf,net", "--weights", weights, "--output", table)
    frame = pd.read_parquet(table)
    assert frame["met_net_pt"].gt(0).all()
    assert not frame["met_net_pt"].equals(frame["met_pf_pt"])
    assert "architecture: deepmet" in call("models", "show", output)


def test_training_on_the_embedded_events(monkeypatch, tmp_path):
    """Without files the few embedded events of each process are taken."""
    pytest.importorskip("torch")
    from ptmiss.models.deepmet import train

    monkeypatch.setattr(train, "EMBEDDED", ("wmunu",))
    call("train", "deepmet", "--network", "linear", "--output", tmp_path)
    assert "architecture: linear" in call("models", "show", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", 0), "--epochs 0: input should be greater than or equal to 1"),
        (("--network", "foo"), "--network 'foo': input should be 'cmssw-v1', 'jme-24-001', "),
        (("--schedule", "linear"), "--schedule 'linear': input should be 'cosine', 'cyclic' or 'constant'"),
        (("--rate", "-1"), "--rate -1.0: input should be greater than 0"),
        (("--device", "tpu"), "--device 'tpu': input should be 'cpu' or 'cuda'"),
        ((f"{EMBEDDED}=0",), "expected FILE, or FILE=N with a number N of events, not"),
        ((f"{EMBEDDED}=many",), "expected FILE, or FILE=N with a number N of events, not"),
        (("none.root",), "no such file: none.root"),
        ((f"{EMBEDDED}=1",), "1 events are too few to hold some back; --validation names others"),
    ],
)
def test_trainings_that_cannot_be(arguments, message, tmp_path):
    pytest.importorskip("torch")
    assert message in failure("train", "deepmet", *arguments, "--output", tmp_path / "out")


def test_a_file_whose_name_has_an_equals_sign(monkeypatch, tmp_path):
    from ptmiss.cli.options import sources

    monkeypatch.chdir(tmp_path)
    Path("a=1").touch()
    assert sources(None, None, ("b.root=7", "n=2/*.root")) == {"b.root": 7, "n=2/*.root": None}
    assert sources(None, None, ("a=1",)) == {"a=1": None}
    assert sources(None, None, ("a=1=5",)) == {"a=1": 5}


def test_training_without_a_device(monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = failure("train", "deepmet", EMBEDDED, "--device", "cuda", "--output", tmp_path / "out")
    assert message.startswith("--device cuda: this machine has no CUDA device")
    assert not (tmp_path / "out").exists()


def test_training_without_torch(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [n for n in sys.modules if n.startswith("ptmiss.models.")]:
        monkeypatch.delitem(sys.modules, name)
    message = failure("train", "deepmet", EMBEDDED, "--output", tmp_path / "out")
    assert message == "training needs torch, the extra train: pip install 'ptmiss[train]'"


@pytest.mark.slow
def test_training_on_files_that_have_not_what_it_takes(drell_yan, invented, tmp_path):
    pytest.importorskip("torch")
    assert "needs PF candidates" in failure("train", "deepmet", drell_yan, "--output", tmp_path / "out")
    message = failure("train", "deepmet", invented, "--output", tmp_path / "out")
    assert "invented.root cannot be trained on: it has no truth (branch GenPart_pdgId is missing)" in message


def test_another_training_in_the_same_directory(trained):
    output, _ = trained
    start = ("--start-from", output.parent / "start.safetensors")
    message = failure("train", "deepmet", f"{EMBEDDED}=40", *start, "--epochs", 2, "--output", output)
    assert "is of another training: epochs 1 there, 2 here; choose another directory, or --force" in message


def test_beginning_from_weights_that_do_not_fit(trained, tmp_path):
    output, _ = trained
    start = ("train", "deepmet", f"{EMBEDDED}=20", "--network", "jme-24-001", "--start-from")
    assert "embedding.charge has shape (3, 8), expected (3, 4)" in failure(*start, output, "--output", tmp_path / "a")
    assert "no such weights file: nothing" in failure(*start, "nothing", "--output", tmp_path / "b")


def test_studies_that_cannot_be(tmp_path):
    pytest.importorskip("torch")
    start, rest = ("train", "study"), ("--test", EMBEDDED, "--output", tmp_path / "out")
    assert "unknown study 'balanse', did you mean 'balance'" in failure(*start, "balanse", *rest)
    assert "studies need training events of ttbar_dilepton" in failure(*start, "all", *rest)
    assert "expected PROCESS=FILE, not 'a.root'" in failure(*start, "puppi", "--training", "a.root", *rest)
    assert "--epochs 0: input should be" in failure(*start, "puppi", "--epochs", 0, *rest)
    given = [("--training", f"{name}={EMBEDDED}") for name in ("zmumu", "zmumu_boosted", "ttbar_dilepton")]
    message = failure(*start, "puppi", *(part for pair in given for part in pair), *rest)
    assert f"events of zmumu; {EMBEDDED} has 60" in message
    assert not (tmp_path / "out").exists()


def test_a_study_from_the_command_line(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    from ptmiss.models.deepmet import studies, study_tables

    monkeypatch.setattr(studies, "study", lambda names, *_: [(name, None) for name in names])
    monkeypatch.setattr(study_tables, "show", lambda name, _table: print("study", name))
    printed = call("train", "study", "all", "--test", EMBEDDED, "--output", tmp_path)
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("study ")] == list(studies.STUDIES)
    assert f"tables and figures -> {tmp_path}" in printed


@pytest.mark.slow
def test_compare_and_resolution_work_without_options(tmp_path):
    """On small tables too, and on those with neither pf nor puppi."""
    call("skim", EMBEDDED, "--estimators", "stored.MET,stored.PuppiMET", "--output", tmp_path / "t.parquet")
    assert "fewer than 50 events" in failure("compare", tmp_path / "t.parquet")
    assert "overview.png" in call("resolution", tmp_path / "t.parquet", "--output", tmp_path / "r")
    printed = call("resolution", sample.recoil("zmumu")).splitlines()
    assert printed[0].split() == ["qT,", "GeV", "response", "par,", "GeV", "perp,", "GeV"]
    assert "100 to 120       0.924±0.015   23.11±1.50  24.62±1.67" in [line.rstrip() for line in printed]
    few = table.read(sample.recoil("zmumu")).only(["track", "deepmet"])
    assert verbs.references(few) == ["track"]
    assert verbs.compare(few)["rms_par_vs_track"].notna().any()
    message = failure("compare", tmp_path / "r")
    assert (
        message == f"{tmp_path / 'r'} is a directory without recoil tables, the .parquet files that ptmiss skim writes"
    )


@pytest.mark.slow
def test_compare_by_mt(tmp_path):
    table, csv = tmp_path / "w.parquet", tmp_path / "mt.csv"
    call("skim", sample.events("wmunu"), "--estimators", "pf,puppi", "--output", table)
    message = failure("compare", table, "--mt")
    assert "events with a selected and a generated lepton, at least 50 are needed for mT" in message
    embedded = sample.recoil("wmunu")
    printed = call("compare", embedded, "--against", "pf", "--mt", "--output", csv)
    assert printed.split()[:3] == ["mT", "RMS,", "GeV"]
    assert "generated" in pd.read_csv(csv)["estimator"].tolist()


def test_compare_and_a_card_with_its_results(trained, tmp_path):
    output, _ = trained
    table, csv = tmp_path / "t.parquet", tmp_path / "c.csv"
    shutil.copy(sample.recoil("zmumu"), table)
    printed = call("compare", table, "--against", "pf", "--by", "npv", "--output", csv)
    assert "puppi" in printed
    assert "npv " in printed
    assert set(pd.read_csv(csv)["axis"]) == {"inclusive", "npv"}
    directory = shutil.copytree(output, tmp_path / "net")
    call("models", "card", directory, "--results", f"Z → μμ={csv}")
    assert "### Z → μμ\n\n| estimator |" in (directory / "README.md").read_text()
    for arguments, message in (
        (("compare", table, "--against", "pupi"), "unknown estimator in the table 'pupi'"),
        (("compare", table, "--by", "nvp"), "unknown axis 'nvp'"),
        (("compare", table, "--above", 9000), "fewer than 50 events with 9000 < qT"),
        (("compare", tmp_path / "none.parquet"), "none.parquet"),
        (("models", "card", tmp_path / "no"), "no such weights file"),
        (("models", "card", tmp_path / "no", "--results", f"x={csv}"), "no such model card"),
        (("models", "card", directory, "--results", f"x={tmp_path / 'none.csv'}"), "cannot read"),
        (("models", "card", directory, "--results", f"x={output / 'log.csv'}"), "is not a comparison"),
    ):
        assert message in failure(*arguments)


def test_models_as_onnx_and_as_text(weights, tmp_path):
    onnx = pytest.importorskip("onnx")
    printed = call("models", "export-onnx", weights, "--output", tmp_path / "net.onnx")
    assert printed == f"{tmp_path / 'net.onnx'}: features (n, 8), categories (n, 3) -> met (2,)\n"
    assert [i.name for i in onnx.load(tmp_path / "net.onnx").graph.input] == ["features", "categories"]
    assert "parameters: 5149" in call("models", "show", weights)


def test_the_models_of_the_package(nothing_shipped):
    tensors = {"mean": np.zeros(3, np.float32), "encoder.0.weight": np.ones((4, 3), np.float32)}
    metadata = {"architecture": "mlpf", "name": "mlpf"}
    write_tensors(nothing_shipped / "mlpf" / "model.safetensors", tensors, metadata, {})
    head, model, empty, *_ = call("models", "list").splitlines()
    assert head.split() == ["model", "network", "parameters,", "and", "when", "to", "take", "it"]
    assert not empty  # no card, and so no advice
    assert model.split() == ["mlpf", "mlpf", "12"]
    shown = call("models", "show", "mlpf")
    assert "parameters: 12\n" in shown
    assert "architecture: mlpf\n" in shown
    assert "sha256: " in shown


def test_the_words_about_models():
    listed = call("models", "list")
    assert re.search(r"deepmet_response +deepmet +5149\n    where the response should be near", listed)
    assert max(map(len, listed.splitlines())) <= 80
    assert call("models", "card", "deepmet").startswith("# deepmet\n\n## How it was made\n")


def test_weights_that_are_damaged(weights, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights.read_bytes()[:-100])
    for verb in (("models", "show"), ("models", "export-onnx", "--output", tmp_path / "x.onnx")):
        assert "damaged.safetensors: not a safetensors file" in failure(*verb, damaged)
    assert not (tmp_path / "x.onnx").exists()


def single_muon_events(invented, tmp_path):
    """Invented events with one muon, 0.9 cm from the file's vertex and 0.1 cm from another: a parquet file."""
    import awkward as ak

    from ptmiss import events

    source = events.inspect(str(invented)).events(0, 40)
    columns = {f"PFCands_{f}": source.PFCands[f] for f in source.PFCands.fields}
    columns |= {f"Muon_{f}": source.Muon[:, :1][f] for f in source.Muon.fields}
    columns |= {f"Jet_{f}": source.Jet[f] for f in source.Jet.fields} | {"PV_npvs": source.PV.npvs}
    columns |= {name: source[name] for name in ("run", "luminosityBlock", "event")}
    one = ak.ones_like(columns["Muon_pt"])
    columns |= {"PV_z": ak.zeros_like(source.PV.npvs) + 1.0, "OtherPV_z": 2 * one, "Muon_dz": 0.9 * one}
    ak.to_parquet(ak.zip(columns, depth_limit=1), tmp_path / "one.parquet")
    return tmp_path / "one.parquet"


def test_the_vertex_of_the_lepton(invented, fileset_of, tmp_path):
    path = single_muon_events(invented, tmp_path)
    frames = {}
    for vertex in ("default", "lepton"):
        output = tmp_path / f"{vertex}.parquet"
        printed = call("skim", path, "--estimators", "pf,track", "--vertex", vertex, "--output", output)
        frames[vertex] = pd.read_parquet(output)
    moved = frames["lepton"]["lepton_pt"].notna()
    assert f"note: event with another vertex than the file's, its lepton's: {moved.sum()}" in printed
    assert (frames["lepton"]["met_pf_pt"] == frames["default"]["met_pf_pt"]).all()
    assert (frames["lepton"]["met_track_pt"] != frames["default"]["met_track_pt"]).equals(moved)
    from ptmiss import table

    assert table.read(tmp_path / "lepton.parquet").provenance["vertex"] == "lepton"
    call("run", "wmunu", "--fileset", fileset_of(path), "--vertex", "lepton", "--output", tmp_path / "run")
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["vertex"] == "lepton"


def test_the_vertex_of_the_lepton_is_checked_before_any_event_is_read(invented, tmp_path):
    arguments = ("skim", invented, "--output", tmp_path / "t.parquet", "--vertex")
    assert "the vertex of the lepton needs branch PV_z, which" in failure(*arguments, "lepton")
    assert "unknown vertex 'muon'" in failure(*arguments, "muon")
