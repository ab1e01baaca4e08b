"""The reference binning's 972 fits, and evaluations of an exported correction."""

import time

import numpy as np

from ptmiss.calibration.gaussians import fit

from ..calibration import toys

FITS, EVENTS, EVALUATIONS = 972, 2000, 1_000_000


def test_fits():
    rng = np.random.default_rng(0)
    counts = [toys.counts(toys.MC["par"], EVENTS, rng) for _ in range(FITS)]
    fit(counts[0])
    began, cpu = time.perf_counter(), time.process_time()
    statuses = [fit(c).status for c in counts]
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(
        f"\n{FITS} fits of two Gaussians, one core: {wall:.1f} s, CPU time {cpu:.1f} s, {statuses.count('fitted')} fitted"
    )


def test_evaluations(applied):
    rng = np.random.default_rng(0)
    qt, njets = rng.exponential(30, EVALUATIONS), rng.poisson(0.3, EVALUATIONS)
    u = qt + rng.normal(0, 15, EVALUATIONS)
    began = time.process_time()
    applied.u("puppi", "par", qt, njets, u)
    print(f"\n{EVALUATIONS / (time.process_time() - began) / 1e6:.1f} million evaluations a second")
