import numpy as np
import pytest

from ptmiss.histograms import book_mt
from ptmiss.results import RunResult, save

LUMINOSITY = 10.0
DATASETS = {
    "wmunu": ("signal", 1.5),
    "dy": ("background", 0.8),
    "ttbar": ("background", 0.2),
}  # role, cross section in pb


def events(name, n, rng):
    """mT (GeV): a Jacobian edge, a flat one and a soft one."""
    if name == "wmunu":
        return 80 * np.sqrt(rng.uniform(0, 1, n)) + rng.normal(0, 10, n)
    return rng.uniform(0, 200, n) if name == "ttbar" else rng.exponential(30, n)


def about(kind, n, **metadata):
    ledger = {"listed": n, "sumw": float(n), "events": n, "skipped": [], "duplicates": None}
    return {"files": [], "metadata": {"kind": kind, **metadata}, "ledger": ledger}


def fill(mt, weight=1.0, scale=None):
    histograms = book_mt(["pf", "deepmet"])
    for estimator in ("pf", "deepmet"):
        for systematic, factor in {"nominal": 1.0, **(scale or {})}.items():
            histograms["mt"].fill(systematic=systematic, estimator=estimator, mt=mt * factor, weight=weight)
    return histograms


def make_run(strength=1.0, seed=1, n=20_000, data=True):
    """A run of W → μν and two backgrounds; data have ``strength`` times the signal, fluctuated."""
    rng = np.random.default_rng(seed)
    datasets, histograms, recorded = {}, {}, []
    for name, (role, cross_section) in DATASETS.items():
        scale = {"jes_up": 1.02, "jes_down": 0.98, "smoothing": 1.01} if name != "ttbar" else None
        datasets[name] = about("mc", n, role=role, cross_section=cross_section)
        histograms[name] = fill(events(name, n, rng), scale=scale)
        expected = 1e3 * cross_section * LUMINOSITY * (strength if role == "signal" else 1.0)
        recorded.append(events(name, rng.poisson(expected), rng))
    if data:
        mt = np.concatenate(recorded)
        datasets["data"], histograms["data"] = about("data", len(mt), luminosity=LUMINOSITY), fill(mt)
    return RunResult({"datasets": datasets}, histograms)


@pytest.fixture
def run_directory(tmp_path):
    result = make_run()
    save(tmp_path / "run", result.manifest, result.histograms)
    return tmp_path / "run"
