"""Recoil tables against their number of rows: memory and time of ``resolution`` and ``compare``, in processes of their
own.

The rows are those of the embedded table again and again with noise, three million of them in a file; more are several
links to that file.
"""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from ptmiss import sample, table

from .figures import OUTPUT, draw, record

ESTIMATORS = ("pf", "puppi", "track", "deepmet", "linear")
ROWS = (3_000, 30_000, 300_000, 3_000_000, 30_000_000)
IN_A_FILE = 3_000_000
VERB = """
import json, os, sys, time
from pathlib import Path
from ptmiss import open_table, resolutions
from ptmiss.resolutions import comparison
verb, path, small = json.loads(sys.argv[1])
work = {
    "resolution": lambda table: resolutions.tabulate(resolutions.from_table(table)),
    "compare": lambda table: comparison.of_table(table, ["pf"]),
}[verb]
work(open_table(small))  # compiles, and reads compiled loops
cpu, wall = time.process_time(), time.perf_counter()
work(open_table(path))
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
lines = Path("/proc/self/status").read_text().splitlines()  # getrusage counts what the parent had when it forked
print(json.dumps([cpu, wall, next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))]))
"""


def noisy(found, rng):
    """Rows with other pTmiss: each component moved by a tenth of its size."""
    data = found.data
    for name in found.estimators:
        moved = found.met(name) * rng.normal(1, 0.1, (len(found), 2))
        for column, values in table.polar(f"met_{name}", moved).items():
            data = data.set_column(data.column_names.index(column), column, pa.array(values.astype(np.float32)))
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place, rng = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    embedded = table.read(sample.recoil("zmumu")).only(ESTIMATORS)
    for rows in (n for n in ROWS if n <= IN_A_FILE):
        with table.writing(place / f"{rows}" / "0.parquet") as writer:
            while writer.rows < rows:
                writer.write(noisy(embedded, rng).slice(0, rows - writer.rows))
            writer.close({"selection": embedded.provenance.get("selection")})
    for rows in (n for n in ROWS if n > IN_A_FILE):
        (place / f"{rows}").mkdir()
        for number in range(rows // IN_A_FILE):
            (place / f"{rows}" / f"{number}.parquet").symlink_to(place / f"{IN_A_FILE}" / "0.parquet")
    yield place
    for path in place.rglob("*.parquet"):
        path.unlink()


@pytest.mark.parametrize("verb", ["resolution", "compare"])
def test_memory_and_time_against_rows(folder, verb):
    found = []
    for rows in ROWS:
        arguments = json.dumps([verb, str(folder / f"{rows}"), str(folder / f"{ROWS[0]}")])
        found.append(json.loads(subprocess.check_output([sys.executable, "-W", "ignore", "-c", VERB, arguments])))
    print(f"\n{verb} of a table with {len(ESTIMATORS)} estimators, one process:")
    print("      rows    CPU s   wall s   rows a second and core   peak memory MB")
    for rows, (cpu, wall, memory) in zip(ROWS, found, strict=True):
        print(f"{rows:10} {cpu:8.2f} {wall:8.2f} {rows / cpu:24,.0f} {memory:16.0f}")
    names = ("rows", "cpu", "wall", "peak")
    record(verb, [dict(zip(names, (rows, *row), strict=True)) for rows, row in zip(ROWS, found, strict=True)])
    draw(OUTPUT / f"tables_{verb}_memory", ROWS, [m for _, _, m in found], "Rows", "Peak memory (MB)")
    draw(OUTPUT / f"tables_{verb}_time", ROWS, [cpu for cpu, _, _ in found], "Rows", "CPU time (s)")
