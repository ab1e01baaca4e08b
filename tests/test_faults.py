"""Every fault of docs/faults.md that a run can meet, caused for real, from the command line."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest
import uproot

from ptmiss import results
from ptmiss.networks.registry import save_model
from ptmiss.runs import directory as run_directory
from ptmiss.runs.chunks import ChunkStore

from . import localqueue
from .helpers import call, failure, random_model
from .invented import write_events

FAULTY = Path(__file__).parent / "faulty.py"
EVENTS, CHUNK = 60, 10
LONG = 600  # s: no sound chunk takes so long, on whatever machine


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A file of sound events."""
    path = tmp_path_factory.mktemp("good") / "good.root"
    write_events(path, EVENTS, seed=5)
    return path


@pytest.fixture
def fileset(good, tmp_path):
    """Writes a fileset of the sound file and others."""

    def write(*more, **metadata):
        path = tmp_path / "fileset.json"
        files = [str(good), *map(str, more)]
        path.write_text(json.dumps({"z": {"files": files, "metadata": metadata}}))
        return path

    return write


@pytest.fixture(scope="module")
def reference(good, tmp_path_factory):
    """What an undisturbed run gives."""
    directory = tmp_path_factory.mktemp("reference")
    (directory / "f.json").write_text(json.dumps({"z": [str(good)]}))
    call("run", FAULTY, "--fileset", directory / "f.json", "--chunksize", CHUNK, "--output", directory / "out")
    return results.load(directory / "out")


def command(fileset, output, *more, **options):
    given = [part for name, value in options.items() for part in ("--option", f"{name}={value}")]
    return ["run", FAULTY, "--fileset", fileset, "--chunksize", CHUNK, "--output", output, *given, *more]


def same(output, reference):
    """Whether a run's histograms and numbers have the very bits of the undisturbed one."""
    found = results.load(output)
    np.testing.assert_array_equal(
        found.histograms["z"]["pt"].view(flow=True), reference.histograms["z"]["pt"].view(flow=True)
    )
    assert found.manifest["datasets"]["z"]["count"] == reference.manifest["datasets"]["z"]["count"]
    return found.manifest


def log(output, event):
    lines = (output / "log.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == event]


def skipped(output):
    return results.load(output).manifest["datasets"]["z"]["ledger"]["skipped"]


# ---------------------------------------------------------------- bad files


def truncated(good, path):
    path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])


def empty_file(_good, path):
    path.write_bytes(b"")


def text(_good, path):
    path.write_text("this is not a ROOT file " * 50)


def no_tree(_good, path):
    with uproot.recreate(path) as file:
        file.mktree("Runs", {"run": "uint32"})


def missing(_good, _path):
    """No file at all."""


BAD_FILES = {
    truncated: "is not a readable ROOT file: it ends",
    empty_file: "is not a readable ROOT file",
    text: "is not a readable ROOT file: not a ROOT file",
    no_tree: "has no tree 'Events'; there: Runs",
    missing: "no such file",
}


@pytest.mark.parametrize("fault", BAD_FILES, ids=lambda fault: fault.__name__)
def test_a_bad_file_stops_the_run_or_is_left_out(fault, good, fileset, reference, tmp_path):
    fault(good, tmp_path / "bad.root")
    arguments = command(fileset(tmp_path / "bad.root"), tmp_path / "out")
    assert BAD_FILES[fault] in failure(*arguments)
    assert not (tmp_path / "out").exists()
    printed = call(*arguments, "--skip-bad-files")
    assert BAD_FILES[fault] in printed
    assert "an unknown number of events" in printed
    same(tmp_path / "out", reference)
    [entry] = skipped(tmp_path / "out")
    assert (entry["path"], entry["kind"], entry["events"]) == (str(tmp_path / "bad.root"), "file", None)
    assert "finished, without 1 parts" in call("status", tmp_path / "out")


def test_a_dataset_of_bad_files_alone_is_told(good, reference, tmp_path):
    text(good, tmp_path / "bad.root")
    (tmp_path / "f.json").write_text(json.dumps({"z": [str(good)], "top": [str(tmp_path / "bad.root")]}))
    printed = call(*command(tmp_path / "f.json", tmp_path / "out", "--skip-bad-files"))
    assert "of dataset 'top', an unknown number of events" in printed
    manifest = same(tmp_path / "out", reference)
    assert manifest["datasets"]["top"]["ledger"]["events"] == 0
    assert len(manifest["datasets"]["top"]["ledger"]["skipped"]) == 1


def test_a_file_without_events_is_no_loss(fileset, reference, tmp_path):
    with uproot.recreate(tmp_path / "none.root") as file:
        file.mktree("Events", {"run": "uint32"})
    call(*command(fileset(tmp_path / "none.root"), tmp_path / "out"))
    same(tmp_path / "out", reference)
    [entry] = skipped(tmp_path / "out")
    assert (entry["events"], entry["reason"]) == (0, "it has no events")


def corrupt_basket(good, path):
    """A copy with a basket of Muon_pt that cannot be unpacked, in the second half of the file."""
    content = bytearray(good.read_bytes())
    with uproot.open(good) as file:
        branch = file["Events"]["Muon_pt"]
        seek, length = int(branch.member("fBasketSeek")[0]), int(branch.member("fBasketBytes")[0])
    content[seek : seek + length] = bytes(length)
    path.write_bytes(content)


def other_uuid(path):
    """The file as another one: with a UUID of its own."""
    content = path.read_bytes()
    with uproot.open(path) as file:
        uuid = file.file.uuid.bytes
    path.write_bytes(content.replace(uuid, os.urandom(16)))


def test_a_corrupt_basket_stops_the_run_or_its_chunks_are_left_out(good, fileset, reference, tmp_path):
    corrupt_basket(good, tmp_path / "bad.root")
    other_uuid(tmp_path / "bad.root")
    arguments = command(fileset(tmp_path / "bad.root"), tmp_path / "out")
    message = failure(*arguments)
    assert "bad.root, entries 0 to 10: " in message
    assert "(--skip-bad-files continues without it)" in message
    assert "failed" not in call(*arguments, "--resume", "--skip-bad-files")
    same(tmp_path / "out", reference)
    entries = skipped(tmp_path / "out")
    assert [(entry["start"], entry["events"], entry["kind"]) for entry in entries] == [
        (start, CHUNK, "file") for start in range(0, EVENTS, CHUNK)
    ]


def test_a_copy_of_a_file_is_found(good, fileset, reference, tmp_path):
    shutil.copy(good, tmp_path / "copy.root")
    arguments = command(fileset(tmp_path / "copy.root"), tmp_path / "out")
    assert f"copy.root is a copy of {good}; its events would count twice" in failure(*arguments)
    call(*arguments, "--skip-bad-files")
    same(tmp_path / "out", reference)


def test_events_that_are_there_twice_are_found(good, fileset, tmp_path):
    shutil.copy(good, tmp_path / "again.root")
    other_uuid(tmp_path / "again.root")
    printed = call(*command(fileset(tmp_path / "again.root"), tmp_path / "out"))
    assert f"note: dataset 'z': {EVENTS} events (run, lumi, event) are there more than once, in " in printed


# ---------------------------------------------------------------- the user's faults


@pytest.mark.parametrize(
    ("fault", "message"),
    [("fail", "ZeroDivisionError: a bug"), ("branch", "AttributeError: no field named 'nonsense'")],
)
def test_a_bug_stops_the_run_at_once_whatever_is_tolerated(fault, message, good, fileset, tmp_path):
    told = failure(*command(fileset(), tmp_path / "out", "--skip-bad-files", fault=fault, start=20))
    assert told == f"dataset 'z', {good}, entries 20 to 30: {message}"
    assert len(log(tmp_path / "out", "done")) == 2
    assert f"stopped ({told})" in call("status", tmp_path / "out")


def test_a_branch_of_a_wrong_type(good, tmp_path):
    with uproot.recreate(tmp_path / "wrong.root") as file:
        numbers = {name: np.arange(5) for name in ("run", "luminosityBlock", "event")}
        file.mktree("Events", dict.fromkeys((*numbers, "Muon_pt"), "uint64"))
        file["Events"].extend({**numbers, "Muon_pt": np.arange(5)})
    (tmp_path / "f.json").write_text(json.dumps({"z": [str(tmp_path / "wrong.root")]}))
    assert "wrong.root, entries 0 to 5: " in failure(
        *command(tmp_path / "f.json", tmp_path / "out", "--skip-bad-files")
    )


# ---------------------------------------------------------------- time, memory, workers


def test_a_chunk_that_takes_too_long_is_tried_again(fileset, reference, tmp_path):
    once = tmp_path / "once"
    call(*command(fileset(), tmp_path / "out", "--timeout", LONG, fault="overrun", start=20, once=once))
    same(tmp_path / "out", reference)
    [retry] = log(tmp_path / "out", "retry")
    assert (retry["start"], retry["kind"], retry["reason"]) == (20, "io", f"took longer than {LONG} s")


def test_a_chunk_that_always_takes_too_long(fileset, tmp_path):
    arguments = command(fileset(), tmp_path / "out", "--timeout", LONG, "--retries", 0, fault="overrun", start=20)
    assert f"entries 20 to 30: took longer than {LONG} s (--skip" in failure(*arguments)
    call(*arguments, "--resume", "--skip-bad-files")
    assert [(entry["start"], entry["kind"]) for entry in skipped(tmp_path / "out")] == [(20, "io")]


def test_a_connection_that_breaks_is_tried_again(fileset, reference, tmp_path):
    call(*command(fileset(), tmp_path / "out", fault="reset", start=30, once=tmp_path / "once"))
    same(tmp_path / "out", reference)
    assert len(log(tmp_path / "out", "retry")) == 1


quiet = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
FUTURES = ("--executor", "futures", "--workers", 2)
DASK = ("--executor", "dask", "--workers", 2)


@quiet
@pytest.mark.slow
@pytest.mark.parametrize("executor", [FUTURES, DASK], ids=["futures", "dask"])
def test_a_worker_that_is_killed_costs_nothing(executor, fileset, reference, tmp_path):
    call(*command(fileset(), tmp_path / "out", *executor, fault="kill", start=20, once=tmp_path / "once"))
    same(tmp_path / "out", reference)
    assert (tmp_path / "once").exists()


@quiet
@pytest.mark.slow
@pytest.mark.parametrize("executor", [FUTURES, DASK], ids=["futures", "dask"])
def test_a_chunk_that_kills_its_workers_is_halved(executor, fileset, tmp_path):
    call(*command(fileset(), tmp_path / "out", *executor, fault="kill", start=20, above=5))
    manifest = results.load(tmp_path / "out").manifest
    assert manifest["datasets"]["z"]["count"]["events"] == EVENTS
    assert manifest["chunks"]["halved"] == 1
    assert [entry["start"] for entry in log(tmp_path / "out", "halve")] == [20]


@quiet
@pytest.mark.slow
def test_a_chunk_that_does_not_fit_in_memory_is_halved_and_stays_so(fileset, tmp_path):
    """20 MB an event and the program itself in 700 MB: five events fit, sixty do not."""
    arguments = ["--executor", "futures", "--workers", 1, "--memory", "700MB", "--chunksize", EVENTS]
    arguments = command(fileset(), tmp_path / "out", *arguments, fault="allocate")
    call(*arguments)
    first = results.load(tmp_path / "out")
    assert first.manifest["datasets"]["z"]["count"]["events"] == EVENTS
    assert first.manifest["chunks"]["halved"] >= 1
    assert log(tmp_path / "out", "halve")[0]["kind"] == "memory"
    call(*arguments, "--resume")
    same(tmp_path / "out", first)


@quiet
@pytest.mark.slow
def test_a_worker_that_hangs_is_stopped_by_the_driver(fileset, reference, tmp_path, monkeypatch):
    """Workers of dask run chunks beside their main thread, where no alarm goes off.

    The driver's clock leaps when the one that hangs is alone.
    """
    from ptmiss.runs import dispatch

    once = tmp_path / "once"

    def clock():
        alone = once.exists() and len(chunks(tmp_path / "out")) >= EVENTS // CHUNK - 1
        return time.monotonic() + (10 * LONG if alone else 0)

    monkeypatch.setattr(dispatch, "time", SimpleNamespace(monotonic=clock, sleep=time.sleep))
    call(*command(fileset(), tmp_path / "out", *DASK, "--timeout", LONG, fault="hang", start=20, once=once))
    same(tmp_path / "out", reference)
    assert [retry["start"] for retry in log(tmp_path / "out", "retry")] == [20]


@quiet
@pytest.mark.slow
@pytest.mark.parametrize("system", ["slurm", "htcondor"])
def test_jobs_of_a_queue_give_the_same_bits(system, fileset, reference, tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    commands = localqueue.install(tmp_path / "bin", tmp_path / "jobs.log")
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    (tmp_path / "queue.toml").write_text(f'system = "{system}"\njobs = 2\nmemory = "1GB"\n')
    call(*command(fileset(), tmp_path / "out", "--executor", "dask", "--scheduler", tmp_path / "queue.toml"))
    same(tmp_path / "out", reference)
    assert (
        "Starting Nanny" in (tmp_path / "jobs.log").read_text() or "Start worker" in (tmp_path / "jobs.log").read_text()
    )


# ---------------------------------------------------------------- stopped and gone on with


def start(arguments, before=""):
    """A run in a process of its own, with some code before it."""
    code = f"{before}\nfrom ptmiss.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition, seconds=LONG):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.02)


def chunks(output):
    return sorted((output / "chunks").glob("[!.]*.zip"))


@quiet
@pytest.mark.slow
@pytest.mark.parametrize("executor", [(), FUTURES, DASK], ids=["iterative", "futures", "dask"])
def test_a_driver_that_is_killed_loses_what_was_in_flight_only(executor, fileset, reference, tmp_path):
    output = tmp_path / "out"
    arguments = command(fileset(), output, fault="hang", start=30, once=tmp_path / "once")
    with start([*arguments, *executor]) as process:
        wait_for(lambda: len(chunks(output)) >= EVENTS // CHUNK // 2 and (tmp_path / "once").exists())
        process.kill()
    there = len(chunks(output))
    assert there < EVENTS // CHUNK
    assert not (output / "manifest.json").exists()
    assert "is not empty (--resume continues it" in failure(*arguments)
    call(*arguments, "--resume")
    manifest = same(output, reference)
    assert manifest["chunks"]["resumed"] == there
    assert log(output, "start")[-1]["missing"] == EVENTS // CHUNK - there


@quiet
@pytest.mark.slow
def test_workers_do_not_outlive_a_driver_that_is_killed(fileset, tmp_path):
    output = tmp_path / "out"
    with start(command(fileset(), output, *FUTURES, fault="hang", start=20)) as process:
        wait_for(lambda: chunks(output))
        listed = ["ps", "-o", "pid=", "--ppid", str(process.pid)]
        children = [int(pid) for pid in subprocess.check_output(listed, text=True).split()]
        process.kill()
    assert len(children) >= 2
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


@quiet
@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_run_that_is_interrupted_says_how_to_go_on(signal_, fileset, reference, tmp_path):
    output = tmp_path / "out"
    arguments = command(fileset(), output, fault="hang", start=20, once=tmp_path / "once")
    with start([*arguments, *FUTURES]) as process:
        wait_for(lambda: len(chunks(output)) >= 2 and (tmp_path / "once").exists())
        process.send_signal(signal_)
        printed, _ = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert "of 6 chunks; the same command with --resume continues the run" in printed.splitlines()[-1]
    assert "Traceback" not in printed
    assert "continues the run" in call("status", output)
    call(*arguments, "--resume")
    same(output, reference)


@pytest.mark.slow
def test_two_runs_in_one_directory(fileset, tmp_path):
    output = tmp_path / "out"
    arguments = command(fileset(), output, fault="hang", start=20, once=tmp_path / "once")
    with start(arguments) as process:
        wait_for(lambda: chunks(output))
        for more in ((), ("--resume",), ("--force",)):
            assert f"--output {output} is in use by process {process.pid} on " in failure(*arguments, *more)
        assert f"running: process {process.pid} on " in call("status", output)
        process.kill()
    assert "continues the run" in call("status", output)


@pytest.mark.parametrize("cut", [0, 1, 0.1, 0.5, 0.9, -23, -22, -21, -1])
def test_a_chunk_that_is_cut_at_any_byte_is_done_again(cut, fileset, reference, tmp_path):
    output = tmp_path / "out"
    call(*command(fileset(), output))
    path = chunks(output)[2]
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content)) if isinstance(cut, float) else cut])
    call(*command(fileset(), output), "--resume")
    assert same(output, reference)["chunks"]["resumed"] == EVENTS // CHUNK - 1
    assert [entry["file"] for entry in log(output, "damaged")] == [str(path)]


@pytest.mark.parametrize("name", ["plan.json", "ledger.json"])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.9])
def test_a_directory_that_is_damaged_is_said_in_one_line(name, part, fileset, tmp_path):
    call(*command(fileset(), tmp_path / "out"))
    path = tmp_path / "out" / name
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    assert f"{path} is not a readable" in failure(*command(fileset(), tmp_path / "out"), "--resume")
    assert f"{path} is not a readable" in failure("status", tmp_path / "out")


def test_a_finished_run_that_is_resumed_does_nothing_again(fileset, reference, tmp_path):
    call(*command(fileset(), tmp_path / "out"))
    assert "6 of them from before" in call(*command(fileset(), tmp_path / "out"), "--resume")
    assert same(tmp_path / "out", reference)["chunks"]["resumed"] == 6


def test_a_run_is_extended_by_a_file(good, fileset, tmp_path):
    call(*command(fileset(), tmp_path / "out"))
    write_events(tmp_path / "more.root", CHUNK, seed=8)
    call(*command(fileset(tmp_path / "more.root"), tmp_path / "out"), "--resume")
    manifest = results.load(tmp_path / "out").manifest
    assert manifest["chunks"] == {"all": 7, "resumed": 6, "halved": 0}


def test_what_was_skipped_is_tried_again(good, fileset, tmp_path):
    bad = tmp_path / "bad.root"
    truncated(good, bad)
    arguments = command(fileset(bad), tmp_path / "out", "--skip-bad-files")
    call(*arguments)
    write_events(bad, CHUNK, seed=8)
    call(*arguments, "--resume")
    assert skipped(tmp_path / "out") == []
    assert results.load(tmp_path / "out").manifest["chunks"] == {"all": 7, "resumed": 6, "halved": 0}


# ---------------------------------------------------------------- changes are never mixed


def unfinish(output):
    """Make a finished run one that was stopped before its end."""
    (output / run_directory.LOG).write_text('{"event": "interrupted"}\n')


def test_other_options_other_chunks(fileset, tmp_path):
    call(*command(fileset(), tmp_path / "out"))
    other = command(fileset(), tmp_path / "out", cut=40)
    before = (tmp_path / "out" / "histograms.zip").read_bytes()
    assert "--resume: parameters changed since the run in" in failure(*other, "--resume")
    assert (tmp_path / "out" / "histograms.zip").read_bytes() == before
    unfinish(tmp_path / "out")
    assert "note: parameters changed since the last run: all chunks were redone" in call(*other, "--resume")
    assert results.load(tmp_path / "out").manifest["chunks"]["resumed"] == 0


def test_other_code_other_chunks(fileset, tmp_path):
    own = tmp_path / "mine.py"
    shutil.copy(FAULTY, own)
    arguments = [own if part is FAULTY else part for part in command(fileset(), tmp_path / "out")]
    call(*arguments)
    own.write_text(own.read_text().replace("(20, 0, 100,", "(20, 0, 200,"))
    assert "--resume: processor changed since the run in" in failure(*arguments, "--resume")
    unfinish(tmp_path / "out")
    assert "note: processor changed since the last run" in call(*arguments, "--resume")
    found = results.load(tmp_path / "out")
    assert found.manifest["chunks"]["resumed"] == 0
    assert found.histograms["z"]["pt"].axes[0].edges[-1] == 200


def test_another_file_under_the_same_name_other_chunks(fileset, tmp_path):
    write_events(tmp_path / "b.root", CHUNK, seed=8)
    call(*command(fileset(tmp_path / "b.root"), tmp_path / "out"))
    write_events(tmp_path / "b.root", CHUNK, seed=9)
    call(*command(fileset(tmp_path / "b.root"), tmp_path / "out"), "--resume")
    assert results.load(tmp_path / "out").manifest["chunks"] == {"all": 7, "resumed": 6, "halved": 0}


@pytest.mark.slow
def test_another_model_other_chunks(fileset, weights, tmp_path):
    arguments = ["run", "zmumu", "--fileset", fileset(), "--estimators", "net", "--weights", f"net={weights}"]
    arguments += ["--output", tmp_path / "out"]
    call(*arguments)
    assert "1 chunk, 1 of them from before" in call(*arguments, "--resume")
    save_model(random_model(seed=7), weights, "others")
    assert "--resume: parameters changed since the run in" in failure(*arguments, "--resume")
    call(*arguments, "--force")


def test_other_certified_sections_other_chunks(fileset, tmp_path):
    (tmp_path / "golden.json").write_text('{"1": [[1, 1]]}')
    arguments = command(fileset(golden_json=str(tmp_path / "golden.json")), tmp_path / "out")
    call(*arguments)
    assert "6 of them from before" in call(*arguments, "--resume")
    (tmp_path / "golden.json").write_text('{"1": [[1, 2]]}')
    assert "from before" not in call(*arguments, "--resume")


# ---------------------------------------------------------------- the disk


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of a quarter of a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full(tiny_disk, fileset, reference):
    output = tiny_disk / "out"
    arguments = command(fileset(), output)
    (tiny_disk / "ballast").write_bytes(bytes(220_000))
    assert "No space left on device" in failure(*arguments)
    assert all(ChunkStore(output / "chunks").load(path.stem) for path in chunks(output))
    (tiny_disk / "ballast").unlink()
    call(*arguments, *(["--resume"] if chunks(output) else []))
    same(output, reference)


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_write(fileset, reference, tmp_path, monkeypatch):
    """The n-th write to disk fails, for every n: one line is told, and the run goes on from there."""
    output, written = tmp_path / "out", Path.write_bytes
    left = 0

    def write_bytes(path, content):
        nonlocal left
        left -= 1
        if left < 0:
            written(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return written(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    for writes in range(10):  # plan, ledger, six chunks, histograms, manifest
        left = writes
        shutil.rmtree(output, ignore_errors=True)
        told = failure(*command(fileset(), output))
        assert "cannot write" in told
        assert "No space left on device" in told
        assert not (output / "manifest.json").exists()
        assert not list(output.rglob(".*.zip"))
    left = 1000
    call(*command(fileset(), output), "--resume")
    assert same(output, reference)["chunks"]["resumed"] == 6


def test_a_disk_that_is_full_while_a_table_is_written(good, tmp_path, monkeypatch):
    """The limit on the size of a file is one of the kernel's own."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
        told = failure("skim", good, "--estimators", "pf", "--output", tmp_path / "t.parquet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot write" in told
    assert not (tmp_path / "t.parquet").exists()


# ---------------------------------------------------------------- tables


HANGS = f"""
import time
from ptmiss.runs.chunks import ChunkStore
save = ChunkStore.save
def hang_at_the_third(store, *chunk):
    if len(list(store.directory.glob("*.zip"))) == 2:
        time.sleep({10 * LONG})
    save(store, *chunk)
ChunkStore.save = hang_at_the_third
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t.parquet", "t"])
def test_a_skim_that_is_stopped_goes_on(name, good, tmp_path):
    output, parts = tmp_path / name, tmp_path / f"{name}.parts"
    arguments = ["skim", good, "--estimators", "pf", "--chunksize", CHUNK, "--output", output]
    with start(arguments, before=HANGS) as process:
        wait_for(lambda: len(chunks(parts)) >= 2)
        process.kill()
    call(*arguments, "--resume")
    from ptmiss import table

    rows = table.read(output)
    assert rows["event"].tolist() == list(range(1, EVENTS + 1))
    assert rows.provenance["chunks"]["resumed"] == 2
    assert not parts.exists()


def test_nothing_of_a_run_is_a_pickle(fileset, tmp_path):
    call(*command(fileset(), tmp_path / "out"))
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert path.name == ".lock" or path.suffix in (".json", ".jsonl", ".zip"), path


def test_status_of_what_is_no_run(tmp_path):
    assert "is not the directory of a run" in failure("status", tmp_path)
    assert run_directory.PLAN in failure("status", tmp_path)


def test_candidates_without_sense_are_repaired_and_counted(tmp_path):
    """NaN and infinities, unknown kinds: the estimators' answers stay finite, and the notes say how many."""
    write_events(tmp_path / "a.root", 20)
    from ptmiss import events

    source = events.inspect(str(tmp_path / "a.root")).events()
    cands, muons = source.PFCands, source.Muon
    columns = {f"PFCands_{f}": cands[f] for f in cands.fields} | {f"Muon_{f}": muons[f] for f in muons.fields}
    columns |= {f"Jet_{f}": source.Jet[f] for f in source.Jet.fields} | {"PV_npvs": source.PV.npvs}
    columns |= {name: source[name] for name in ("run", "luminosityBlock", "event", "genWeight")}
    first = ak.local_index(cands.pt) == 0
    columns["PFCands_pt"] = ak.where(first, np.float32(np.nan), cands.pt)
    columns["PFCands_puppiWeight"] = ak.where(ak.local_index(cands.pt) == 1, np.float32(np.inf), cands.puppiWeight)
    ak.to_parquet(ak.zip(columns, depth_limit=1), tmp_path / "b.parquet")
    printed = call("skim", tmp_path / "b.parquet", "--output", tmp_path / "t.parquet")
    assert "note: candidate repaired: momentum not finite: 20" in printed
    assert "note: candidate repaired: puppiWeight not finite: 20" in printed
    from ptmiss import table

    rows = table.read(tmp_path / "t.parquet")
    assert all(np.isfinite(rows[f"met_{name}_pt"]).all() for name in ("pf", "puppi"))
