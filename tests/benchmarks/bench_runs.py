"""What it costs that a run can be trusted: durable chunks against coffea alone, memory, workers, resuming."""

import json
import os
import statistics
import subprocess
import sys
import time

import psutil
import pytest
from coffea.processor import Runner, accumulate
from coffea.processor.executor import ExecutorBase

from ptmiss.estimators import make_estimators
from ptmiss.events import EventSchema
from ptmiss.processors.boson import Zmumu
from ptmiss.runs import fileset, pools, runner
from ptmiss.runs.directory import open_directory
from ptmiss.runs.inputs import inspect_files

from ..invented import write_events
from .figures import record

EVENTS, CHUNKS, ROUNDS = 50_000, 10, 5
MANY = 200
RATED, SIZES, WORKERS = 5_000, (100, 500, 5_000), (1, 2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Ten links to a file of fifty thousand events of 300 candidates: a chunk each."""
    place = tmp_path_factory.mktemp("bench")
    write_events(place / "events.root", EVENTS)
    for number in range(CHUNKS):
        (place / f"{number}.root").symlink_to("events.root")
    return {f"z{number}": [str(place / f"{number}.root")] for number in range(CHUNKS)}


def timed(function, *arguments):
    """Wall time, and CPU time in user mode: the system's time for fresh pages depends on the machine's other load."""
    wall, cpu = time.perf_counter(), os.times().user
    function(*arguments)
    return time.perf_counter() - wall, os.times().user - cpu


class Alone(ExecutorBase):
    """Coffea's own way in one process: outputs are added up as they come, nothing is kept."""

    def __call__(self, items, function, accumulator):
        out = None
        for item in items:
            out = accumulate([function(item)["out"]], out)
        return {"out": {}}, 0


def alone(files, estimators):
    sources, _ = inspect_files(fileset.parse(files), Zmumu(make_estimators(estimators)))
    items = [item for source in sources for item in source.chunks(EVENTS)]
    Runner(Alone(), schema=EventSchema, savemetrics=True).run(items, Zmumu(make_estimators(estimators)))


def durable(files, estimators, directory, resume=False, pool=None, chunksize=EVENTS):
    processor = Zmumu(make_estimators(estimators))
    with open_directory(directory, resume) as place:
        runner.run(fileset.parse(files), processor, chunksize=chunksize, directory=place, pool=pool)


@pytest.mark.parametrize("estimators", [["pf", "puppi"], ["stored.GenMET"]], ids=",".join)
def test_durable_chunks_against_coffea_alone(files, estimators, tmp_path):
    durable(files, estimators, tmp_path / "warm")
    pairs = []
    for number in range(ROUNDS):
        pairs.append((timed(alone, files, estimators)[1], timed(durable, files, estimators, tmp_path / str(number))[1]))
    less, more = (statistics.median(part) for part in zip(*pairs, strict=True))
    each = (more - less) / CHUNKS
    print(f"\nZ → μμ with {', '.join(estimators)}, {CHUNKS} chunks of {EVENTS} events, CPU time in user mode:")
    print(f"  coffea alone    {less:7.2f} s   {1e3 * less / CHUNKS:7.0f} ms a chunk")
    print(f"  durable         {more:7.2f} s   {1e3 * each:7.1f} ms more a chunk ({100 * (more / less - 1):.1f} %)")


def test_what_resuming_costs(files, tmp_path):
    done, _ = timed(durable, files, ["pf", "puppi"], tmp_path / "run")
    again, _ = timed(durable, files, ["pf", "puppi"], tmp_path / "run", True)
    print(
        f"\n{CHUNKS} chunks: {done:.2f} s the first time, {again:.2f} s resumed ({1e3 * again / CHUNKS:.0f} ms a chunk)"
    )


def used():
    """CPU time of this process and of its workers, s."""
    own = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (own, *own.children(recursive=True)))


def rate(path, directory, chunksize, workers=0):
    """Events a second of wall and of CPU time in a warm pool; workers: of futures, 0 for this process alone."""
    names, number = ["pf", "puppi"], max(workers, 1)
    with pools.pool("futures" if workers else "iterative", number) as pool:
        durable({"warm": [path]}, names, directory / "warm", pool=pool, chunksize=RATED // number)
        cpu, wall = used(), time.perf_counter()
        durable({"z": [path]}, names, directory / "run", pool=pool, chunksize=chunksize)
        cpu, wall = used() - cpu, time.perf_counter() - wall
    return {"chunksize": chunksize, "workers": workers, "events": RATED, "wall": RATED / wall, "cpu": RATED / cpu}


@pytest.mark.parametrize(("varied", "values"), [("workers", WORKERS), ("chunksize", SIZES)])
def test_events_a_second(varied, values, tmp_path):
    path, usual, rows = str(tmp_path / "events.root"), {"chunksize": SIZES[1], "workers": 0}, []
    write_events(tmp_path / "events.root", RATED)
    print(f"\n{varied}: events a second of wall and of CPU time")
    for value in values:
        rows.append(rate(path, tmp_path / f"{value}", **usual | {varied: value}))
        print(f"{value:8,d} {rows[-1]['wall']:8,.0f} {rows[-1]['cpu']:8,.0f}")
        record(varied, rows)


MEMORY = """
import json, sys
from pathlib import Path
from ptmiss.runs import chunks
from ptmiss.runs import fileset
from ptmiss.runs import runner
from ptmiss.estimators import make_estimators
from ptmiss.processors.boson import Zmumu
peaks = []
def peak(*_):
    lines = Path("/proc/self/status").read_text().splitlines()  # getrusage counts what the parent had when it forked
    peaks.append(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")))
save = chunks.ChunkStore.save
chunks.ChunkStore.save = lambda *arguments: (peak(), save(*arguments))
runner.run(fileset.parse(json.loads(sys.argv[1])), Zmumu(make_estimators(["pf", "puppi"])), chunksize=int(sys.argv[2]))
peak()
print(json.dumps(peaks))
"""


def test_memory_over_many_chunks(tmp_path):
    write_events(tmp_path / "events.root", 10 * MANY)
    arguments = [json.dumps({"z": [str(tmp_path / "events.root")]}), "10"]
    peaks = json.loads(subprocess.check_output([sys.executable, "-W", "ignore", "-c", MEMORY, *arguments]))
    tenth = MANY // 10
    slope = (peaks[-1] - peaks[tenth]) / (len(peaks) - tenth)
    print(
        f"\n{MANY} chunks of 17 MB of histograms: peak memory {peaks[tenth]:.0f} MB after {tenth}, "
        f"{peaks[-1]:.0f} MB at the end:"
    )
    print(f"  {slope:.2f} MB a chunk")
