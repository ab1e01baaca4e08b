"""Significance of pTmiss in Z → μμ without true pTmiss: docs/significance.png and its numbers.

ptmiss simulate zmumu_fiducial -n 3000 --seed 5201 --output noise.root
python docs/significance.py noise.root
"""

from __future__ import annotations

import sys
from pathlib import Path

import awkward as ak
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ptmiss import events, plots, significance
from ptmiss.data.production import halves
from ptmiss.estimators import evaluate, make_estimators
from ptmiss.recoil import magnitude
from ptmiss.truth import generated_met

ESTIMATORS = ("pf", "puppi", "deepmet")
UNLIKELY = 0.02


def values(source, leptons) -> dict[str, np.ndarray]:
    """(events,) significance of pTmiss less the generated one, by estimator."""
    found = evaluate(make_estimators(ESTIMATORS, significance="shipped"), source, leptons)
    truth = generated_met(source)
    return {
        name: significance.significance(found.met[name] - truth, found.covariance[name]) for name in found.covariance
    }


def kinds(source) -> dict[str, np.ndarray]:
    """(events,) which events have what could be lost; generated jets above 10 GeV."""
    generated, jets = source.GenJet, source.Jet[source.Jet.pt > 25]
    eta, hard = np.abs(generated.eta), generated.pt > 10
    partner = ak.fill_none(ak.any(jets.metric_table(generated[generated.pt > 8]) < 0.4, axis=2), False)
    return {
        "a forward jet": ak.to_numpy(ak.any(hard & (eta > 2.5) & (eta < 4.6), axis=1)),
        "a jet beyond 4.6": ak.to_numpy(ak.any(hard & (eta > 4.6), axis=1)),
        "a jet of pile-up": ak.to_numpy(ak.any(~partner, axis=1)),
        "generated pTmiss above 3 GeV": magnitude(generated_met(source)) > 3,
    }


def moments(value: np.ndarray) -> str:
    """Mean and variance with their errors, and how many are unlikely."""
    n, spread = len(value), (value - value.mean()) ** 2
    unlikely = np.mean(significance.probability(value) < 0.01)
    numbers = [(value.mean(), value.std() / n**0.5), (spread.mean(), spread.std() / n**0.5)]
    numbers += [(unlikely, (unlikely / n) ** 0.5)]
    return " | ".join(f"{number:.3f} ± {error:.3f}" for number, error in numbers)


def draw(found: dict[str, np.ndarray]) -> Figure:
    """Probabilities, which should be flat, and how many events are above each significance."""
    with mpl.rc_context(plots.STYLE):
        figure = Figure(figsize=(16, 7), layout="constrained")
        left, right = figure.subplots(1, 2)
        edges, above = np.linspace(0, 1, 11), np.linspace(0, 25, 101)
        for number, (name, value) in enumerate(found.items()):
            counts = np.histogram(significance.probability(value), edges)[0]
            share, style = (
                counts / counts.sum() * 10,
                {"color": plots.colour_of(name, ESTIMATORS), "label": plots.label_of(name)},
            )
            centre = (edges[1:] + edges[:-1]) / 2 + 0.015 * (number - 1)
            left.errorbar(
                centre, share, share / np.sqrt(counts), fmt=plots.marker_of(name, ESTIMATORS), markersize=6, **style
            )
            right.step(above, [np.mean(value > at) for at in above], where="post", lw=2, **style)
        left.axhline(1, color="0.3", lw=1)
        left.set(xlabel="Probability of a larger significance", ylabel="Events, relative to flat", ylim=(0, 1.6))
        right.plot(above, np.exp(-above / 2), color="0.3", lw=1, label=r"$\chi^2$, two degrees")
        right.set(xlabel="Significance", ylabel="Share of events above", yscale="log", ylim=(5e-4, 1.2))
        right.legend()
        plots.mark(left, "CMS-like simulation (13 TeV)")
    return figure


def main(path: str) -> None:
    """Print the numbers, and draw the figure."""
    (_, (source, muons)) = halves(Path(path))
    found = values(source, muons)
    for name, value in found.items():
        print(name, "|", moments(value))
    rows = [{"kind": name, "all": kind.mean()} for name, kind in kinds(source).items()]
    for row, kind in zip(rows, kinds(source).values(), strict=True):
        for name, value in found.items():
            unlikely = significance.probability(value) < UNLIKELY
            row |= {name: kind[unlikely].mean(), f"{name} variance without": value[~kind].var()}
    print(pd.DataFrame(rows).round(3).to_string())
    whole = events.inspect(path).events()
    for name, value in values(whole, whole.Muon[whole.Muon.pt > 15]).items():
        print("all events,", name, "|", moments(value))
    plots.save(draw(found), Path(__file__).with_suffix(""), ["png"], dpi=60)


if __name__ == "__main__":
    main(sys.argv[1])
