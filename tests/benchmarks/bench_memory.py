"""Peak memory of a skim against the chunk size and against the size of the file, each in a process of its own."""

import json
import subprocess
import sys

import pytest

from ptmiss.networks.registry import save_model
from ptmiss.runs import memory

from ..helpers import random_model
from .bench_inference import embedded_columns, write_zstd
from .figures import OUTPUT, draw

SMALL, LARGE = 20, 100  # times the 60 embedded events
CHUNKSIZES = (250, 500, 1000, 2000, 4000)
SKIM = """
import json, sys
from pathlib import Path
from ptmiss import estimators
from ptmiss.runs import fileset
from ptmiss.runs.skim import skim
file, weights, output, chunksize = json.loads(sys.argv[1])
made = estimators.make_estimators(["pf", "puppi", "net"], {"net": weights})
skim(fileset.parse({"z": [file]}), made, Path(output), chunksize=chunksize)
lines = Path("/proc/self/status").read_text().splitlines()  # getrusage counts what the parent had when it forked
print(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    place = tmp_path_factory.mktemp("memory")
    branches = embedded_columns()
    for repeats in (SMALL, LARGE):
        write_zstd(place / f"{repeats}.root", branches, repeats)
    save_model(random_model(), place / "net.safetensors", "random numbers")
    return place


def peak(files, repeats, chunksize=None):
    """MB."""
    arguments = [str(files / f"{repeats}.root"), str(files / "net.safetensors"), str(files / "t.parquet"), chunksize]
    return float(subprocess.check_output([sys.executable, "-W", "ignore", "-c", SKIM, json.dumps(arguments)]))


def test_memory_of_a_skim(files):
    peaks = [peak(files, LARGE, chunksize) for chunksize in CHUNKSIZES]
    print(f"\nSkim of {60 * LARGE} events with pf, puppi and a network, peak memory:")
    for chunksize, megabytes in zip(CHUNKSIZES, peaks, strict=True):
        print(f"  {chunksize:5} events at a time {megabytes:8.0f} MB")
    for repeats in (SMALL, LARGE):
        print(f"  default, file of {60 * repeats:5} events {peak(files, repeats):8.0f} MB")
    print(f"  (without --chunksize: {memory.SIZE / 1e6:.0f} MB of the file at a time)")
    draw(OUTPUT / "memory", CHUNKSIZES, peaks, "Events at a time", "Peak memory of a skim (MB)")
