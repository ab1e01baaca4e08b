"""A handful of figures as pictures: they look as they did when somebody last looked at them.

``python -m tests.test_images`` draws the pictures that are compared with anew; look at them before they are committed.
"""

from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.testing.compare import compare_images

from ptmiss import plots
from ptmiss.calibration import figures as calibration
from ptmiss.calibration import law_figures, quantile_corrections
from ptmiss.calibration.panels import Names
from ptmiss.calibration.residuals import Residuals
from ptmiss.elements import CLASSES
from ptmiss.evaluation import displays, jets
from ptmiss.evaluation import figures as evaluation
from ptmiss.evaluation.study import Shown
from ptmiss.histograms import stacks
from tests.calibration import toys

PICTURES = Path(__file__).parent / "images"
DPI, TOLERANCE = 40, 4  # of the RMS difference between pixels of 0 to 255
LABEL = "CMS-like simulation (13 TeV)"
QT = np.array([0.0, 20, 40, 80, 140, 200])


def resolution():
    """Response and widths of four estimators, as the overview shows them."""
    rows = []
    for number, name in enumerate(("pf", "puppi", "deepmet", "mlpf")):
        for axis, edges in (("qt", QT), ("npv", QT / 4)):
            low, high = edges[:-1], edges[1:]
            numbers = {"response": 1 - (0.3 - 0.05 * number) * np.exp(-high / 60)}
            numbers |= {quantity: 25 - 4 * number + 0.05 * high for quantity in plots.QUANTITIES if "_" in quantity}
            errors = {f"{quantity}_error": 0.02 * values for quantity, values in numbers.items()}
            where = {"estimator": name, "region": "inclusive", "axis": axis, "low": low, "high": high}
            rows.append(pd.DataFrame({**where, "n_eff": 100.0, "correction": "bin", **numbers, **errors}))
    return plots.panels(pd.concat(rows), plots.OVERVIEW, LABEL)


def spectrum():
    """pTmiss of two estimators and their ratio."""
    edges = np.arange(0, 105.0, 5)
    shapes = {
        "puppi": edges[:-1] * np.exp(-edges[:-1] / 14) * 100,
        "deepmet": edges[:-1] * np.exp(-edges[:-1] / 12) * 130,
    }
    rows = [
        pd.DataFrame(
            {"estimator": n, "axis": "met", "low": edges[:-1], "high": edges[1:], "events": y, "events_error": y**0.5}
        )
        for n, y in shapes.items()
    ]
    return plots.spectrum(pd.concat(rows), r"$p_\mathrm{T}^\mathrm{miss}$ (GeV)", LABEL)


def stack():
    """Data over two simulated datasets with a band."""
    edges = np.arange(0, 105.0, 5)
    low = edges[:-1]
    signal, background = low * np.exp(-low / 14) * 100, 20 * np.exp(-low / 40)
    total = signal + background
    data = total * (1 + 0.1 * np.sin(low))
    columns = {
        "estimator": "deepmet",
        "axis": "met",
        "low": low,
        "high": edges[1:],
        "data": data,
        "data_error": data**0.5,
    }
    columns |= {"top": background, "dy": signal, "simulation": total, "simulation_error": 0.02 * total}
    columns |= {"systematic": 0.001 * low, "ratio": data / total, "ratio_error": data**0.5 / total}
    return stacks.figure(pd.DataFrame(columns), r"$p_\mathrm{T}^\mathrm{miss}$ (GeV)", 5.0, LABEL)


def closure():
    """Data over simulation in five regions, before and after a calibration."""
    regions = [(0, 20, "0 jets"), (20, 60, "0 jets"), (0, 20, "1 jet"), (20, 60, "1 jet"), (60, np.inf, "≥ 2 jets")]
    rows = [
        {
            "estimator": name, "quantity": quantity, "qt_low": low, "qt_high": high, "njets": njets,
            "before": 1.06 - 0.01 * i, "before_error": 0.01,
            "after": 1 + 0.004 * (-1) ** i, "after_error": 0.01, "systematic": 0.005,
        }
        for name in ("puppi", "deepmet")
        for quantity in calibration.QUANTITIES
        for i, (low, high, njets) in enumerate(regions)
    ]  # fmt: skip
    return calibration.closure(pd.DataFrame(rows), Names(LABEL, "pseudo-data"))


def jet_response():
    """Jets of MLPF beside PF and ideal targets."""
    rows = []
    for number, name in enumerate(("pf", "mlpf", "targets")):
        for i, (low, high) in enumerate(jets.BINS[: len(jets.EDGES) - 1]):
            numbers = {"matched": 1 - 0.1 / (i + 1), "response": 0.95 + 0.01 * i + 0.01 * number}
            numbers |= {"resolution": 0.3 / (i + 1) / (number + 1), "resolution_vs_pf": 1 / (number + 1)}
            errors = {f"{quantity}_error": 0.02 * value for quantity, value in numbers.items()}
            where = {"estimator": name, "jets": jets.CHS, "region": "all", "low": low, "high": high, "n": 100}
            rows.append({**where, **numbers, **errors})
    return evaluation.of_jets(pd.DataFrame(rows), jets.CHS, "all", LABEL)


def display():
    """Elements of an event, and what two reconstructions make of them."""
    rng = np.random.default_rng(3)
    n = 120
    columns = {"eta": rng.uniform(-5, 5, n), "phi": rng.uniform(-np.pi, np.pi, n), "pt": rng.exponential(3, n)}
    kinds = rng.choice([211, 22, 130, 13], n)
    elements = {**columns, "type": rng.choice([1, 4, 5], n)}
    made = {name: {**columns, "pdgId": kinds} for name in ("pf", "mlpf")}
    return displays.of_event(Shown(elements, made), LABEL)


def confusion():
    """True and found classes of elements and of MLPF."""
    rows = [
        {"estimator": name, "true": true, "found": found, "share": share if true == found else (1 - share) / 7}
        for name, share in (("elements", 0.6), ("mlpf", 0.9))
        for true in CLASSES
        for found in CLASSES
    ]
    return evaluation.of_confusion(pd.DataFrame(rows), LABEL)


@cache
def derivation():
    """A map from one sum of two Gaussians to another, of few events."""
    rng = np.random.default_rng(7)
    samples = [
        toys.residuals(toys.constant(of["par"]), *toys.per_cell(900, 3, rng), rng) for of in (toys.DATA, toys.MC)
    ]
    return next(iter(quantile_corrections.derive(Residuals(*samples, None), "puppi", 600)))


def fits():
    """The smooth law against the events of each cell, with pulls."""
    return law_figures.fits(derivation(), "data", Names(LABEL, "pseudo-data"))[0]


def maps():
    """Distributions and the shift of the map, with its uncertainty by source."""
    return law_figures.maps(derivation(), Names(LABEL, "pseudo-data"))[0]


def laws():
    """Median and half width against qT: laws, and events of cells."""
    return law_figures.laws(derivation(), Names(LABEL, "pseudo-data"))[0]


FIGURES = {
    f.__name__: f for f in (resolution, spectrum, stack, closure, fits, maps, laws, jet_response, display, confusion)
}


def drawn(name, directory):
    """The picture of a figure."""
    path = directory / f"{name}.png"
    figure = FIGURES[name]()
    with mpl.rc_context(plots.STYLE):
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path


@pytest.mark.parametrize("name", FIGURES)
def test_it_looks_as_it_did(name, tmp_path):
    picture = drawn(name, tmp_path)
    assert compare_images(PICTURES / f"{name}.png", picture, TOLERANCE) is None


def test_another_colour_or_label_is_seen(tmp_path, monkeypatch):
    monkeypatch.setitem(plots.COLOURS, "deepmet", plots.COLOURS["puppi"])
    assert compare_images(PICTURES / "spectrum.png", drawn("spectrum", tmp_path), TOLERANCE) is not None
    monkeypatch.undo()
    monkeypatch.setitem(plots.QUANTITIES, "response", "Response")
    assert compare_images(PICTURES / "resolution.png", drawn("resolution", tmp_path), TOLERANCE) is not None


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for one in FIGURES:
        drawn(one, PICTURES)
