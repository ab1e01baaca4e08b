"""MLPF of another detector from scratch and from the shipped weights: the table of docs/mlpf.md.

ptmiss simulate qcd -n 1450 --seed 901 --pileup 1 --set solenoid=2 --set hcal_scale=0.8 --set hcal_stochastic=1.6 \
    --set hadronic_response=0.45 --elements -1 --output other.root
python docs/finetuning.py other.root out/finetuning 30 100 300 1000
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import numpy as np
import torch

from ptmiss import bootstrap, events, tables
from ptmiss import candidates as pf_candidates
from ptmiss.jets import cluster, responses
from ptmiss.models.mlpf import dataset, monitoring
from ptmiss.models.mlpf.dataset import Dataset
from ptmiss.models.mlpf.monitoring import Particles
from ptmiss.models.mlpf.network import Network
from ptmiss.models.mlpf.recipe import Recipe, true
from ptmiss.models.mlpf.reconstruction import MLPF, load
from ptmiss.segments import sum_by_event
from ptmiss.typing import Array

VALIDATION, TEST = slice(0, 50), slice(50, 450)
RECIPE = Recipe(budget=3000, average=0.9)
METHODS = {
    "from scratch": RECIPE,
    "fine-tuned": RECIPE.model_copy(update={"start_from": Path("mlpf"), "rate": 1e-3}),
}
SEEN, LEAST, MOST = 6000, 6, 60
"""Events that a training sees in all, and bounds to its epochs: few events are not few steps as well."""
BINS = ((20, 60), (60, 200))
COLUMNS = [*(f"{what} of {low} to {high}" for low, high in BINS for what in ("jets", "median")), "half width"]


def train(every: Dataset, method: str, n: int, directory: Path) -> Network:
    """A network of the first n events; a training that is in the directory goes on from there."""
    directory.mkdir(parents=True, exist_ok=True)
    recipe = METHODS[method].model_copy(update={"epochs": int(np.clip(SEEN / n, LEAST, MOST))})
    training_events = every.select(np.r_[TEST.stop : TEST.stop + n])
    network, training = recipe.train(training_events, every.select(np.r_[VALIDATION]), directory, [])
    print(method, n, training.run().to_string(), sep="\n", flush=True)
    return network


def of_network(network: Network, test: Dataset) -> Particles:
    """The particles that a network finds."""
    found = MLPF(network, "trained")(test.elements)
    return Particles.of(found.pt, found.eta, found.phi, np.zeros_like(found.pt), test.offsets)


def of_file(path: str) -> Particles:
    """The candidates of the file's own particle flow in the test events."""
    c = pf_candidates.read(events.inspect(path).events(TEST.start, TEST.stop), ("pt", "eta", "phi", "mass"))
    return Particles.of(c["pt"], c["eta"], c["phi"], np.hypot(c["pt"] * np.cosh(c["eta"]), c["mass"]), c.offsets)


def measure(found: Particles, truth: Particles) -> dict[str, Array]:
    """IQR/median and median of jets, and half width of pTmiss about the truth (GeV), each (1 + replicas,)."""
    n = len(truth.offsets) - 1
    drawn = bootstrap.draws(n)
    residual = sum_by_event(found.momentum[:, :2], found.offsets) - sum_by_event(truth.momentum[:, :2], truth.offsets)
    jets = cluster(truth.momentum, truth.offsets, min(low for low, _ in BINS))
    ratio = responses(jets, cluster(found.momentum, found.offsets, monitoring.LEAST_PT), monitoring.MATCH)
    event = np.repeat(np.arange(n), jets.counts)
    numbers = {}
    for low, high in BINS:
        inside = (jets.pt >= low) & (jets.pt < high) & np.isfinite(ratio)
        of_bin = bootstrap.response(ratio[inside], drawn, event[inside])
        numbers |= {f"jets of {low} to {high}": of_bin.resolution, f"median of {low} to {high}": of_bin.median}
    return numbers | {"half width": bootstrap.half_width(residual.ravel(), drawn, np.repeat(np.arange(n), 2))}


def main(path: str, directory: str, *sizes: str) -> None:
    """Train what is not trained yet, and print the table."""
    torch.set_num_threads(1)
    every = dataset.read([path])
    test = every.select(np.r_[TEST])
    truth = true(test)
    found = {"PF": of_file(path), "shipped": of_network(load("mlpf").network, test)}
    for n, method in product(map(int, sizes), METHODS):
        network = train(every, method, n, Path(directory) / f"{method.replace(' ', '_')}_{n}")
        found[f"{method}, {n}"] = of_network(network, test)
    measured = {name: measure(one, truth) for name, one in found.items()}
    lines = [[name, *(cell(of[key]) for key in COLUMNS)] for name, of in measured.items()]
    ratios = [[name, *(cell(of[key] / measured["shipped"][key]) for key in COLUMNS)] for name, of in measured.items()]
    print(tables.markdown(["", *COLUMNS], lines), tables.markdown(["to shipped", *COLUMNS], ratios), sep="\n\n")


def cell(replicas: Array) -> str:
    """A number with its error."""
    return tables.with_error(bootstrap.with_error("x", replicas), "x", 3)


if __name__ == "__main__":
    main(*sys.argv[1:])
