"""Studies of a training's choices: variants that differ in one choice, compared on the same events.

Every test event counts once. A difference has two errors: a paired bootstrap over test events, and the spread of the
base between seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ptmiss.errors import OptionError, UnknownName
from ptmiss.events import inspect
from ptmiss.files import AnyPath, as_path, digest, write_atomically
from ptmiss.networks.registry import WEIGHTS, save_model

from .. import sources as event_files
from ..training import Progress, canonical
from . import study_tables
from .dataset import Dataset, plain, read
from .network import Network, parameters
from .recipe import VALIDATION_BATCH, Recipe, answers
from .study_tables import BASE, Answers

SHARES = {"zmumu": 0.4, "zmumu_boosted": 0.3, "ttbar_dilepton": 0.3}
HELD_OUT = 0.1  # additional events that choose the epoch, as a share of the base's
SEEDS = (2, 3)


@dataclass(frozen=True)
class Variant:
    """One training of a study.

    recipe: changes to the base recipe. shares: shares of the processes among the events. events: their number, as a
    fraction of the base's. longer: epochs, as a multiple of the base's. after: the variant whose weights it begins
    with.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)
    events: float = 1.0
    longer: int = 1
    after: str | None = None

    def counts(self, events: int) -> dict[str, int]:
        """Training events of each process."""
        return {process: int(self.events * share * events) for process, share in self.shares.items() if share}

    def recipe_of(self, base: Recipe) -> Recipe:
        """The recipe of this variant of a base."""
        return base.model_copy(update={"epochs": self.longer * base.epochs, **self.recipe})


def with_top_share(share: float) -> Variant:
    """A variant with this share of top pairs; the other processes keep their ratio."""
    rest = (1 - share) / (1 - SHARES["ttbar_dilepton"])
    return Variant(shares={name: share if name == "ttbar_dilepton" else rest * value for name, value in SHARES.items()})


def with_balance(c: float, form: str) -> Variant:
    """A variant with weight C of the response term, from the base's weights, in batches that can measure a response."""
    return Variant({"balance": c, "form": form, "batch": 64, "rate": 5e-4, "warm": 0}, after=BASE)


def with_network(name: str) -> Variant:
    """A variant with another network."""
    return Variant({"network": name})


def with_more_epochs(**recipe: Any) -> Variant:
    """A variant that continues the training of the package's network; parts that it does not have begin at zero."""
    return Variant({"start_from": "deepmet", "rate": 5e-4, **recipe})


REPEATS = {f"seed {seed}": Variant({"seed": seed}) for seed in SEEDS}
"""The base with other seeds, which is part of every study."""

STUDIES: dict[str, dict[str, Variant]] = {
    "seeds": {},
    "balance": {"C = 0, continued": with_balance(0, "unbiased")}
    | {f"C = {c:g}, {form}": with_balance(c, form) for form in ("published", "unbiased") for c in (2, 10, 200)},
    "ttbar": {f"{100 * share:.0f} % top pairs": with_top_share(share) for share in (0.0, 0.2, 0.35, 0.5)},
    "size": {
        f"{fraction:g} of the events": Variant(events=fraction, longer=longer)
        for fraction, longer in ((0.1, 10), (0.3, 3), (2.0, 1))
    },
    "network": {"jme-24-001": with_network("jme-24-001"), "Huber": Variant({"loss": "huber"})},
    "puppi": {"without PUPPI": Variant({"puppi": False})},
    "leptons": {"leptons never removed": Variant({"remove_leptons": False})},
    "biases": {"without biases": Variant({"biases": False})},
    "better": {
        "event sums": with_network("event-sums"),
        "event sums and recoil": with_network("event-recoil"),
        "128-64-32": with_network("128-64-32"),
        "96-48-24": with_network("96-48-24"),
        "SiLU": with_network("silu"),
        "ReLU": with_network("relu"),
        "standardised": with_network("standardised"),
        "weighted events": Variant({"loss": "weighted"}),
        "twice as long": Variant(longer=2),
    },
    "continued": {
        "shipped": Variant({"start_from": "deepmet"}, longer=0),
        "longer": with_more_epochs(),
        "longer, other seed": with_more_epochs(seed=2),
        "longer with event sums": with_more_epochs(network="event-sums"),
        "longer with event sums and recoil": with_more_epochs(network="event-recoil"),
        "longer with weighted events": with_more_epochs(loss="weighted"),
    },
}

REFERENCES = {"continued": "shipped"}
"""The reference of studies whose variants are not compared with the base."""


def study(
    names: Sequence[str],
    training: Mapping[str, str],
    test: Sequence[str],
    output: AnyPath,
    events: int,
    recipe: Recipe,
    progress: Progress | None = None,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Train base and variants of each study, compare them on the test events, and write ``<name>.csv`` with figures.

    A training in the output with the same configuration and events is not repeated.

    Args:
        names: names in STUDIES.
        training: event file of each process in SHARES.
        test: event files for the comparison.
        output: directory of tables, figures and trainings.
        events: number of training events of the base.
        recipe: that of the base.
        progress: called with what is done (events read, warm start, training and its loss), how many, and of how many.

    Yields:
        Name and table of each study when it is complete; see study_tables.compare.

    Raises:
        UnknownName: there is no such study.
        OptionError: the files lack a process, or have too few events.
    """
    output = as_path(output)
    for name in names:
        if name not in STUDIES:
            raise UnknownName("study", name, STUDIES)
    missing = SHARES.keys() - training.keys()
    if missing:
        raise OptionError(
            f"studies need training events of {', '.join(sorted(SHARES))}; "
            f"there are none of {', '.join(sorted(missing))}"
        )
    bench = Bench.of(names, training, test, output, events, recipe, progress)
    for name in names:
        found = study_tables.compare({v: bench.answers(v) for v in variants([name])}, REFERENCES.get(name, BASE))
        found.insert(1, "parameters", [bench.parameters[variant] for variant in found["variant"]])
        write_atomically(output / f"{name}.csv", found.to_csv(index=False, float_format="%.5g"))
        study_tables.draw({name: found}, output / name)
        yield name, found


def variants(names: Sequence[str]) -> dict[str, Variant]:
    """The base, its repeats and the variants of studies."""
    return {BASE: Variant()} | REPEATS | {label: v for name in names for label, v in STUDIES[name].items()}


@dataclass
class Bench:
    """Trains and tests variants, each once.

    pool: training events by process. held_out: events that choose the epoch. test: events of the comparison.
    """

    variants: Mapping[str, Variant]
    sources: Mapping[str, Any]
    pool: Mapping[str, Dataset]
    held_out: Dataset
    test: Dataset
    output: Path
    events: int
    recipe: Recipe
    progress: Progress | None
    done: dict[str, Answers] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def of(
        names: Sequence[str],
        training: Mapping[str, str],
        test: Sequence[str],
        output: Path,
        events: int,
        recipe: Recipe,
        progress: Progress | None,
    ) -> Bench:
        """A bench with the events of files: first those to train on, then those that choose the epoch."""
        wanted = variants(names)
        counts = [variant.counts(events) for variant in wanted.values()]
        most = {process: max(c.get(process, 0) for c in counts) for process in SHARES}
        aside = {process: max(int(HELD_OUT * share * events), 1) for process, share in SHARES.items()}
        used = {process: most[process] + aside[process] for process in SHARES}
        for process, n in used.items():
            there = inspect(training[process]).entries
            if there < n:
                raise OptionError(f"the studies need {n} events of {process}; {training[process]} has {there}")
        read_events = {process: read([training[process]], n, progress) for process, n in used.items()}
        return Bench(
            wanted,
            {
                "files": {process: event_files.describe({training[process]: None}) for process in SHARES},
                "held out": {process: [most[process], used[process]] for process in SHARES},
            },
            {process: found.first(most[process]) for process, found in read_events.items()},
            Dataset.concatenate([found.last(aside[process]) for process, found in read_events.items()]),
            read(test, None, progress),
            output,
            events,
            recipe,
            progress,
        )

    def answers(self, name: str) -> Answers:
        """The predictions of a variant for the test events, and the truth."""
        if name not in self.done:
            trained = self.train(name)
            self.parameters[name] = parameters(trained)
            self.done[name] = Answers(*answers(trained, plain(self.test, VALIDATION_BATCH), self.recipe.device))
        return self.done[name]

    def train(self, name: str) -> Network:
        """Train the network of a variant, and write its weights file if inference can run it."""
        variant = self.variants[name]
        recipe = variant.recipe_of(self.recipe)
        if variant.after:
            recipe = recipe.model_copy(update={"start_from": self.weights(variant.after)})
        counts = variant.counts(self.events)
        sources = {**self.sources, "events": counts}
        directory = self.directory(name, recipe.describe(sources))
        chosen = Dataset.concatenate([self.pool[process].first(n) for process, n in counts.items()])
        network, run = recipe.train(chosen, self.held_out, directory, sources, self.progress)
        run.run()
        if network.layout.is_deepmet:
            save_model(network.model(name), directory / WEIGHTS, provenance=recipe.model_dump_json())
        return network

    def weights(self, name: str) -> Path:
        """The weights file of a variant, which is trained if it was not."""
        self.answers(name)
        variant = self.variants[name]
        sources = {**self.sources, "events": variant.counts(self.events)}
        return self.directory(name, variant.recipe_of(self.recipe).describe(sources)) / WEIGHTS

    def directory(self, name: str, made: Mapping[str, Any]) -> Path:
        """The directory of a variant with this configuration."""
        key = digest(canonical(made).encode())[:8]
        return self.output / "trainings" / f"{name.replace(' ', '_').replace('%', 'percent')}-{key}"
