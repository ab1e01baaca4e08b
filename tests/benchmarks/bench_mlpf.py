"""MLPF on one event of so many elements, by network: time and memory from elements to particles, on one thread.

Times are CPU times, the least of a few rounds; memory is the peak of a process of its own, less what it had before.
Numbers go to out/bench/mlpf_speed.csv, where those of other networks stay, and are drawn beside it.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from ptmiss import plots
from ptmiss.elements import COLUMNS, TYPES, Elements
from ptmiss.segments import from_counts

from .figures import OUTPUT, save

SIZES = (320, 640, 1280, 2560, 5120, 10_240)
NETWORKS = {"compact": "#0072b2", "exact": "#d55e00", "lsh": "#009e73", "cms-v220": "#7b3294"}
LARGEST = {"exact": 5120, "cms-v220": 5120}  # elements: beyond it these take minutes
ROUNDS, LONG = 3, 20  # one round alone where it takes so many seconds
TABLE = OUTPUT / "mlpf_speed.csv"
LINEAR = {"compact": 1.35, "lsh": 1.35}  # largest power of the number of elements that is called linear


def event(n, seed=0):
    """An event of so many elements, spread as in a collision."""
    rng = np.random.default_rng(seed)
    columns = {name: np.ones(n, dtype) for name, dtype in COLUMNS.items()}
    pt, eta = rng.exponential(1.5, n) + 0.2, rng.uniform(-5, 5, n)
    phi = rng.uniform(-np.pi, np.pi, n)
    kind = rng.choice(list(TYPES), n, p=(0.45, 0.25, 0.1, 0.1, 0.1))
    columns |= {"type": kind, "pt": pt, "eta": eta, "phi": phi, "energy": pt * np.cosh(eta)}
    columns |= {"caloEta": eta, "caloPhi": phi, "charge": np.where(kind == 1, rng.choice([-1, 1], n), 0)}
    return Elements({name: np.asarray(columns[name], dtype) for name, dtype in COLUMNS.items()}, from_counts([n]))


def network(name):
    import torch

    from ptmiss.models.mlpf.configuration import preset
    from ptmiss.models.mlpf.network import build
    from ptmiss.models.mlpf.reconstruction import MLPF

    torch.set_num_threads(1)
    torch.manual_seed(1)
    return MLPF(build(preset(name)), name)


def measure(name, n):
    """Milliseconds, and MB beyond what a small event needed."""
    mlpf, elements = network(name), event(n)
    mlpf(event(64))
    before, times = resident("VmRSS"), []
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    while len(times) < ROUNDS and sum(times) < LONG:
        start = time.process_time()
        mlpf(elements)
        times.append(time.process_time() - start)
    return 1000 * min(times), resident("VmHWM") - before


def resident(what):
    """MB of this process, on Linux: VmRSS now, VmHWM at its peak."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize("name", NETWORKS)
def test_time_and_memory_against_elements(name):
    pytest.importorskip("torch")
    rows = []
    print(f"\nload {os.getloadavg()[0]:.1f}")
    for n in SIZES:
        if n > LARGEST.get(name, n):
            print(f"{name:10} {n:6d} elements: left out, quadratic")
            continue
        code = f"from tests.benchmarks.bench_mlpf import measure; print(*measure({name!r}, {n}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        milliseconds, megabytes = map(float, done.stdout.split())
        rows.append({"network": name, "elements": n, "ms": milliseconds, "mb": megabytes})
        print(f"{name:10} {n:6d} elements {milliseconds:8.1f} ms {megabytes:7.0f} MB")
    keep(pd.DataFrame(rows))
    power = fitted(pd.DataFrame(rows))
    if name in LINEAR:
        assert power < LINEAR[name]


def fitted(rows):
    """Print the power of the number of elements with which time rises, over the larger events, and a straight line."""
    large = rows[rows["elements"] >= SIZES[2]]
    power = np.polyfit(np.log(large["elements"]), np.log(large["ms"]), 1)[0]
    slope, start = np.polyfit(rows["elements"] / 1000, rows["ms"], 1)
    (name,) = rows["network"].unique()
    print(f"{name}: power {power:.2f}; as a line {start:.1f} ms + {slope:.1f} ms for 1000 elements")
    return power


def keep(rows):
    """Put a network's numbers into the table in place of older ones, and draw all that is there."""
    old = pd.read_csv(TABLE) if TABLE.exists() else rows[:0]
    table = pd.concat([old[~old["network"].isin(rows["network"])], rows], ignore_index=True)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    table.to_csv(TABLE, index=False, float_format="%.5g")
    with mpl.rc_context(plots.STYLE):
        save(drawn(table), TABLE.with_suffix(""))


def drawn(table):
    """Time and memory against elements, a curve for each network."""
    figure = Figure(figsize=(2 * plots.WIDTH, plots.HEIGHT), layout="constrained")
    labels = {"ms": "CPU time of an event, one thread (ms)", "mb": "Peak memory above that before (MB)"}
    for ax, (column, label) in zip(figure.subplots(1, 2), labels.items(), strict=True):
        for (name, colour), marker in zip(NETWORKS.items(), "osD^", strict=True):
            own = table[(table["network"] == name) & (table[column] > 0)]
            ax.plot(own["elements"], own[column], f"{marker}-", color=colour, label=name, markersize=10, linewidth=2)
        ax.set(xlabel="Elements of the event", ylabel=label, xscale="log")
        ax.set(yscale="log") if column == "ms" else ax.set(ylim=(0, None))
        ax.set_xticks(SIZES, [f"{n}" for n in SIZES], fontsize="small")
        ax.minorticks_off()
        if column == "ms":
            ax.legend()
    return figure
