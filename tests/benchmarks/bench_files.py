"""Many files and chunks: how fast they are planned, what resuming costs, and the memory of the driver.

Files are copies of one of fifty events with UUIDs of their own. Chunks have the content that one of ten events has in a
run of Z → μμ, with event numbers of their own; they are not processed here.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import uuid
import zipfile

import numpy as np
import pytest

from ptmiss.estimators import make_estimators
from ptmiss.processors.boson import Zmumu
from ptmiss.runs import fileset, runner
from ptmiss.runs.blocks import SIZE, Blocks
from ptmiss.runs.directory import open_directory
from ptmiss.runs.inputs import inspect_files
from ptmiss.runs.merging import Sums

from ..invented import write_events
from .figures import record

FILES = (20, 200, 2000)
ALONE = 100  # files whose chunks are read one by one
EVENTS, CHUNK = 50, 10
UUID = slice(47, 63)  # of a ROOT file's header
MEASURE = """
import json, sys, time
from pathlib import Path
from ptmiss.estimators import make_estimators
from ptmiss.processors.boson import Zmumu
from ptmiss.runs import fileset, runner
from ptmiss.runs.directory import open_directory
from ptmiss.runs.inputs import inspect_files
paths, place, chunk = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
files, processor = fileset.parse({"z": paths}), Zmumu(make_estimators(["stored.GenMET"]))
def timed(work):
    cpu, wall = time.process_time(), time.perf_counter()
    done = work()
    return time.process_time() - cpu, time.perf_counter() - wall, done
def resume():
    with open_directory(Path(place), True) as directory:
        return runner.run(files, processor, chunksize=chunk, directory=directory)[1]["chunks"]
first, again = (timed(lambda: len(inspect_files(files, processor)[0]))[:2] for _ in range(2))
cpu, wall, chunks = timed(resume)
assert chunks["resumed"] == chunks["all"], chunks
lines = Path("/proc/self/status").read_text().splitlines()  # getrusage counts what the parent had when it forked
peak = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
print(json.dumps({"files": len(paths), "chunks": chunks["all"], "look_cpu": first[0], "look_wall": first[1],
                  "known_cpu": again[0], "known_wall": again[1], "resume_cpu": cpu, "resume_wall": wall, "peak": peak}))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of files that differ in their UUID alone."""
    place = tmp_path_factory.mktemp("files")
    write_events(place / "first.root", EVENTS)
    content = bytearray((place / "first.root").read_bytes())
    for number in range(FILES[-1]):
        content[UUID] = uuid.UUID(int=number + 1).bytes
        (place / f"{number}.root").write_bytes(content)
    yield [str(place / f"{number}.root") for number in range(FILES[-1])]
    for path in place.glob("*.root"):
        path.unlink()


def members(content):
    """The members of a chunk's file by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive(found, number):
    """The content of a chunk's file with other event numbers."""
    ids, out = io.BytesIO(), io.BytesIO()
    np.save(ids, np.sort(np.load(io.BytesIO(found["ids.npy"])) + np.uint64(number)))
    with zipfile.ZipFile(out, "w") as made:
        for name, content in (found | {"ids.npy": ids.getvalue()}).items():
            made.writestr(name, content)
    return out.getvalue()


def finish(paths, place):
    """A finished run over files, of which the first alone was processed."""
    processor, every = Zmumu(make_estimators(["stored.GenMET"])), fileset.parse({"z": paths})
    with open_directory(place) as directory:
        runner.run(fileset.parse({"z": paths[:1]}), processor, chunksize=CHUNK, directory=directory)
    with open_directory(place, True) as directory:
        run = runner.Run(every, processor, directory, chunksize=CHUNK)
        plan = run.plan(inspect_files(every, processor)[0])[1]
        first = list(plan.values())[: EVENTS // CHUNK]
        own = [members(directory.store.path(at).read_bytes()) for at in first]
        for number, at in list(enumerate(plan.values()))[len(own) :]:
            directory.store.save(at, archive(own[number % len(own)], number))
        write_blocks(directory, plan, [directory.store.read(at) for at in first])


def write_blocks(directory, plan, chunks):
    """Blocks as a run writes them, all with the sum of the same chunks."""
    blocks, sums, items = Blocks(directory, plan), Sums(), list(plan)
    for number in range(SIZE):
        sums.add("z", number, chunks[number % len(chunks)].out)
    total, metrics = sums.total("z"), {**chunks[0].metrics, "chunks": 1}
    for block in range(len(items) // SIZE):
        for _ in range(SIZE):
            blocks.count("z", block, metrics)
        own = items[block * SIZE : (block + 1) * SIZE]
        blocks.save("z", block, total, dict.fromkeys(own, (CHUNK, float(CHUNK))))


def measured(paths, place, cache):
    """Times (s) and peak memory (MB) of a fresh process that looks into files and resumes a run over them."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, json.dumps(paths), str(place), str(CHUNK)]
    return json.loads(subprocess.check_output(command, env={**os.environ, "PTMISS_CACHE": str(cache)}))


def test_planning_and_resuming(files, tmp_path):
    rows = []
    for number in FILES:
        place = tmp_path / f"{number}"
        finish(files[:number], place)
        rows.append(measured(files[:number], place, tmp_path / f"cache{number}"))
        print(rows[-1])
    record("files", rows)


def test_resuming_without_blocks(files, tmp_path):
    finish(files[:ALONE], tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "sums")
    found = measured(files[:ALONE], tmp_path / "run", tmp_path / "cache")
    print(f"\n{found['chunks']} chunks read one by one: {found['resume_cpu']:.1f} s of CPU")
    record("chunks", [found])
