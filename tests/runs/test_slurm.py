"""Runs and skims on a real Slurm of one node, where its daemons can be started: the same bits whatever happens."""

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest

from ptmiss import results, table

from .. import slurm
from ..helpers import call
from ..invented import write_events

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(slurm.missing() is not None, reason=slurm.missing() or ""),
    pytest.mark.filterwarnings("ignore:Port .* is already in use:UserWarning"),
]

FAULTY = Path(__file__).parents[1] / "faulty.py"
EVENTS, CHUNK = 60, 10
QUEUE = """
system = "slurm"
jobs = 2
memory = "1GB"
queue = "standard"
walltime = "00:10:00"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A fileset, what an undisturbed run gives, and a queue's file."""
    pytest.importorskip("dask_jobqueue")
    folder = tmp_path_factory.mktemp("slurm")
    write_events(folder / "z.root", EVENTS, seed=5)
    (folder / "fileset.json").write_text(json.dumps({"z": [str(folder / "z.root")]}))
    call(*command(folder, folder / "reference"))
    (folder / "queue.toml").write_text(QUEUE)
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with ExitStack() as stack:
        try:
            environment = stack.enter_context(slurm.cluster(tmp_path_factory.mktemp("daemons")))
        except slurm.NotUp as error:
            pytest.skip(f"Slurm's daemons do not come up here: {error}")
        yield environment


def command(folder, output, *more, **options):
    given = [part for name, value in options.items() for part in ("--option", f"{name}={value}")]
    files = ["--fileset", folder / "fileset.json", "--chunksize", CHUNK, "--output", output]
    return ["run", FAULTY, *files, *given, *more]


def on_slurm(folder):
    return ["--executor", "dask", "--scheduler", folder / "queue.toml"]


def start(environment, arguments, cwd):
    """The command in a process of its own."""
    code = ["-W", "ignore", "-c", "from ptmiss.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(
        [sys.executable, *code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=cwd
    )


def finish(process):
    printed, _ = process.communicate(timeout=600)
    assert process.returncode == 0, printed


def same(output, reference):
    found, expected = results.load(output), results.load(reference)
    assert found.histograms["z"]["pt"] == expected.histograms["z"]["pt"]
    assert found.manifest["datasets"]["z"]["count"] == expected.manifest["datasets"]["z"]["count"]
    return found.manifest


def jobs(environment):
    return slurm.call(environment, "squeue", "--noheader", "--states=R", "--format=%i").split()


def test_a_skim(cluster, place, tmp_path):
    made = ["skim", "--estimators", "pf,puppi", "--chunksize", CHUNK, place / "z.root", "--output"]
    call(*made, tmp_path / "here.parquet")
    finish(start(cluster, [*made, tmp_path / "there.parquet", *on_slurm(place)], tmp_path))
    here, there = (table.read(tmp_path / f"{name}.parquet").data.to_pandas() for name in ("here", "there"))
    pd.testing.assert_frame_equal(here, there, check_exact=True)


@pytest.mark.parametrize("end", ["scancel", "walltime"])
def test_a_job_that_is_ended_costs_no_bits(cluster, place, tmp_path, end):
    """The job that hangs is ended: its chunk goes to another one."""
    once = tmp_path / "once"
    process = start(
        cluster, command(place, tmp_path / "out", *on_slurm(place), fault="hang", start=20, once=once), tmp_path
    )
    slurm.wait_for(once.exists, tmp_path)
    for job in jobs(cluster):
        if end == "scancel":
            slurm.call(cluster, "scancel", job)
        else:
            slurm.call(cluster, "scontrol", "update", f"JobId={job}", "EndTime=now")  # a limit is in minutes
    finish(process)
    same(tmp_path / "out", place / "reference")


def test_a_node_that_is_drained_is_waited_for(cluster, place, tmp_path):
    node = slurm.call(cluster, "sinfo", "--noheader", "--format=%n")
    slurm.call(cluster, "scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    process = start(cluster, command(place, tmp_path / "out", *on_slurm(place)), tmp_path)
    slurm.wait_for(lambda: "PD" in slurm.call(cluster, "squeue", "--noheader", "--format=%t"), tmp_path)
    slurm.call(cluster, "scontrol", "update", f"NodeName={node}", "State=RESUME")
    finish(process)
    same(tmp_path / "out", place / "reference")


def test_a_driver_that_is_stopped_goes_on_elsewhere(cluster, place, tmp_path):
    output, once = tmp_path / "out", tmp_path / "once"
    arguments = command(place, output, fault="hang", start=20, once=once)
    process = start(cluster, [*arguments, *on_slurm(place)], tmp_path)
    slurm.wait_for(lambda: once.exists() and list((output / "chunks").glob("[!.]*.zip")), tmp_path)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=600)
    assert "the same command with --resume continues the run" in printed.splitlines()[-1]
    slurm.wait_for(lambda: not jobs(cluster), tmp_path)
    call(*arguments, "--resume")
    assert same(output, place / "reference")["chunks"]["resumed"] >= 1
