"""The fit of straight-line parameters to 700 000 events, and evaluations of an exported correction."""

import time

import numpy as np

from ..calibration.test_quantile_corrections import misses

EVALUATIONS = 1_000_000


def test_fits():
    misses(0, 3000, 4000)  # compiles
    began, cpu = time.perf_counter(), time.process_time()
    found = misses(1)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"\n300 000 data and 400 000 simulated events, one core: {wall:.1f} s, CPU time {cpu:.1f} s")
    print(f"the map misses by {np.median(found):.2f} GeV in the median cell, {found.max():.2f} in the worst")


def test_evaluations(applied):
    rng = np.random.default_rng(0)
    qt, njets = rng.exponential(30, EVALUATIONS), rng.poisson(0.3, EVALUATIONS)
    u = qt + rng.normal(0, 15, EVALUATIONS)
    began = time.process_time()
    applied.u("puppi", "par", qt, njets, u)
    print(f"\n{EVALUATIONS / (time.process_time() - began) / 1e6:.1f} million evaluations a second")
