"""What a training's choices are worth: variants that differ in one thing, trained and compared on the same test events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ptmiss import comparison, fileset, table
from ptmiss.errors import OptionError, UnknownName
from ptmiss.estimators import build
from ptmiss.model import WEIGHTS, save_model
from ptmiss.skim import skim

from ..training import Progress
from .dataset import Dataset, read
from .recipe import Recipe, train

BASE = "base"
SHARES = {"zmumu": 0.4, "zmumu_boosted": 0.3, "ttbar_dilepton": 0.3}
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Variant:
    """One training of a study.

    recipe: what differs from the base recipe; shares: of the processes among the events, if they differ; events: how
    many, as a fraction of the base's; after: the variant whose weights it begins from.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)
    events: float = 1.0
    after: str | None = None


def share_of_top(share: float) -> Variant:
    """A training with this share of top pairs; the others keep their ratio."""
    rest = (1 - share) / (1 - SHARES["ttbar_dilepton"])
    return Variant(shares={name: share if name == "ttbar_dilepton" else rest * value for name, value in SHARES.items()})


def balanced(c: float, form: str) -> Variant:
    """The response term with weight C, from the base's weights; batches large enough to measure a response."""
    return Variant({"balance": c, "form": form, "batch": 64, "rate": 5e-4, "warm": 0}, after=BASE)


STUDIES: dict[str, dict[str, Variant]] = {
    "seeds": {f"seed {seed}": Variant({"seed": seed}) for seed in SEEDS},
    "puppi": {"without PUPPI": Variant({"puppi": False, "warm": 0})},
    "biases": {"without biases": Variant({"biases": False})},
    "network": {"jme-24-001": Variant({"network": "jme-24-001"}), "Huber": Variant({"loss": "huber"})},
    "leptons": {"leptons never removed": Variant({"remove_leptons": False})},
    "ttbar": {f"{100 * share:.0f} % top pairs": share_of_top(share) for share in (0.0, 0.2, 0.35, 0.5)},
    "size": {f"{fraction:g} of the events": Variant(events=fraction) for fraction in (0.1, 0.3, 2.0)},
    "balance": {f"C = {c:g}, {form}": balanced(c, form) for form in ("published", "unbiased") for c in (2, 10, 200)},
}


def study(
    name: str,
    training: Mapping[str, str],
    validation: Mapping[str, str],
    test: list[str],
    output: Path,
    events: int,
    recipe: Recipe,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train the base and a study's variants, compare them on test events, and write ``<name>.csv``.

    training, validation: event files by process; test: event files. Trainings that are there are not repeated.
    """
    if name not in STUDIES:
        raise UnknownName("study", name, STUDIES)
    variants = {BASE: Variant()} | STUDIES[name]
    missing = {process for variant in variants.values() for process in variant.shares} - training.keys()
    if missing:
        raise OptionError(f"study {name!r} needs training events of {', '.join(sorted(missing))}")
    weights = trained(variants, training, validation, output, events, recipe, progress)
    recoil = output / f"{name}.parquet"
    skim(fileset.parse({"test": test}), build(["pf", "puppi", *weights], weights), recoil)
    found = comparison.of_table(table.read(recoil), ["pf", "puppi", BASE])
    found.to_csv(output / f"{name}.csv", index=False, float_format="%.5g")
    return found


def trained(
    variants: Mapping[str, Variant],
    training: Mapping[str, str],
    validation: Mapping[str, str],
    output: Path,
    events: int,
    recipe: Recipe,
    progress: Progress | None,
) -> dict[str, Path]:
    """Weights file of each variant."""
    weights = {name: output / name.replace(" ", "_") / WEIGHTS for name in variants}
    todo = {name: variant for name, variant in variants.items() if not weights[name].exists()}
    if not todo:
        return weights
    counts = {name: {p: int(v.events * s * events) for p, s in v.shares.items()} for name, v in todo.items()}
    most = {process: max(c.get(process, 0) for c in counts.values()) for process in training}
    pool = {process: read([training[process]], n, progress) for process, n in most.items() if n}
    held_out = Dataset.joined([read([path], max(events // 5, 1), progress) for path in validation.values()])
    for name, variant in todo.items():
        chosen = Dataset.joined([pool[process].first(n) for process, n in counts[name].items() if n])
        start = {"start_from": weights[variant.after]} if variant.after else {}
        own = recipe.model_copy(update={**variant.recipe, **start})
        network, run = train(chosen, held_out, own, weights[name].parent, counts[name], progress)
        run.run()
        save_model(network.model(name), weights[name], provenance=own.model_dump_json())
    return weights
