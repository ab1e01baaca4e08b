"""All systematics of an estimator in one read of the events, against that many plain evaluations.

Times are CPU times, medians over the rounds, with and without the reading of the file.
"""

import time

import numpy as np

from ptmiss import events, sample
from ptmiss.estimators import evaluate, make_estimators
from ptmiss.scales import KINDS

ROUNDS = 7
WANTED = ["kinds"]
VARIATIONS = 2 * len(KINDS)


def seconds(run):
    start = time.process_time()
    run()
    return time.process_time() - start


def reading(estimators):
    source = events.inspect(str(sample.events("zmumu"))).events()
    return evaluate(estimators, source, source.Muon)


def measured(name):
    """Medians of plain and varied: with the events in memory, and with reading them."""
    source = events.inspect(str(sample.events("zmumu"))).events()
    both = [make_estimators([name]), make_estimators([name], systematics=WANTED)]
    runs = [lambda e=e: evaluate(e, source, source.Muon) for e in both] + [lambda e=e: reading(e) for e in both]
    for run in runs:
        run()
    return np.median([[seconds(run) for run in runs] for _ in range(ROUNDS)], axis=0)


def test_systematics():
    print(f"\n{VARIATIONS} variations in units of as many plain evaluations: in memory; with reading")
    for name in ("deepmet", "linear", "puppi", "pf"):
        plain, varied, plain_read, varied_read = measured(name)
        print(
            f"{name:8s} {varied / plain / VARIATIONS:6.2f} ({1e3 * plain:.0f} -> {1e3 * varied:.0f} ms)"
            f" {varied_read / plain_read / VARIATIONS:6.2f} ({1e3 * plain_read:.0f} -> {1e3 * varied_read:.0f} ms)"
        )
