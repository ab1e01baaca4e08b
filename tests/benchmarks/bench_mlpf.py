"""MLPF on one event of so many elements, by network: time and memory of the forward pass, on one thread.

Times are CPU times, the least of a few rounds; memory is the peak of a process of its own, less what it had before.
"""

import resource
import subprocess
import sys
import time

import numpy as np
import pytest

from ptmiss.elements import COLUMNS, TYPES, Elements
from ptmiss.segments import from_counts

SIZES = (320, 640, 1280, 2560, 5120, 10_240)
NETWORKS = ("compact", "exact", "lsh", "cms-v220")
ROUNDS = 3
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

    from ptmiss.models.mlpf.network import build
    from ptmiss.models.mlpf.presets import preset
    from ptmiss.models.mlpf.reconstruction import MLPF

    torch.set_num_threads(1)
    torch.manual_seed(1)
    return MLPF(build(preset(name)), name)


def measure(name, n):
    """Milliseconds, and MB beyond what a small event needed."""
    mlpf, elements = network(name), event(n)
    mlpf(event(64))
    before, times = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _ in range(ROUNDS):
        start = time.process_time()
        mlpf(elements)
        times.append(time.process_time() - start)
    return 1000 * min(times), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


@pytest.mark.parametrize("name", NETWORKS)
def test_time_and_memory_against_elements(name):
    pytest.importorskip("torch")
    times = []
    for n in SIZES:
        code = f"from tests.benchmarks.bench_mlpf import measure; print(*measure({name!r}, {n}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        milliseconds, megabytes = map(float, done.stdout.split())
        times.append(milliseconds)
        print(f"\n{name:10} {n:6d} elements {milliseconds:8.1f} ms {megabytes:7.0f} MB", end="")
    power = np.polyfit(np.log(SIZES[2:]), np.log(times[2:]), 1)[0]
    print(f"\n{name}: time rises with the number of elements to the power {power:.2f}")
    if name in LINEAR:
        assert power < LINEAR[name]
