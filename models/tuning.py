"""A search for settings of a recipe with Optuna (extra tune): pruned, and resumed where it was stopped.

Each trial is a training of its own, and its value the least validation loss. So settings are in a space only if they
leave the loss as it is. The value that wins is the least of many on the same events, and so too good: test on others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from ptmiss import results, tables
from ptmiss.errors import OptionError, TrainingError, needs_optuna
from ptmiss.files import write_atomically

from .task import Task
from .training import CHECKPOINT, LOG, Progress, canonical

if TYPE_CHECKING:
    import optuna

STUDY, TABLE, MARKDOWN, TRIALS = "study.db", "study.csv", "study.md", "trials"
WRITTEN = (STUDY, TABLE, MARKDOWN)
CONFIGURATION = "configuration"
STARTUP = 5  # trials that are drawn at random and never pruned


class Range(NamedTuple):
    """Numbers from low to high, uniform or in the logarithm."""

    low: float
    high: float
    logarithmic: bool = True

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """A number for a trial."""
        return trial.suggest_float(name, self.low, self.high, log=self.logarithmic)

    def holds(self, value: Any) -> bool:
        """Whether a trial may have a value."""
        return value is not None and self.low <= value <= self.high


class Choice(NamedTuple):
    """One of some values."""

    values: tuple[Any, ...]

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """A value for a trial."""
        return trial.suggest_categorical(name, self.values)

    def holds(self, value: Any) -> bool:
        """Whether a trial may have a value."""
        return value in self.values


Space = Mapping[str, Range | Choice]


@dataclass(frozen=True)
class Search:
    """A search for settings of a recipe, in a directory; one that is there already continues.

    space: of the settings that the user did not fix. events: to train on, and to validate on; sources: what they are.
    output: directory of ``study.db``, ``study.csv``, ``study.md`` and the trainings in ``trials``.
    """

    recipe: Task
    space: Space
    events: tuple[Any, Any]
    sources: Any
    output: Path

    def run(self, trials: int, progress: Progress | None = None) -> str:
        """Search until so many trials are finished; returns the best settings in words."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = optuna.storages.RDBStorage(f"sqlite:///{self.output / STUDY}")
        try:
            study = self.open_study(storage)
            while (done := finished(study)) < trials:
                trial = self.ask(study, done)
                if progress:
                    progress(f"trial {done + 1} of {trials}", done, trials)
                self.train(study, trial)
                self.write(study)
            table = self.write(study)
        finally:
            storage.remove_session()
            storage.engine.dispose()
        if progress:
            progress("trials", trials, trials)
        return summary(table, self.space, self.output)

    def open_study(self, storage: optuna.storages.RDBStorage) -> optuna.Study:
        """The study of the directory; OptionError if it is of another recipe, other events or another space.

        A new one begins with the recipe's own settings. A trial that was stopped half way is queued again.
        """
        import optuna

        pruner = optuna.pruners.MedianPruner(STARTUP, n_warmup_steps=1)
        study = optuna.create_study(
            storage=storage, study_name="tune", pruner=pruner, direction="minimize", load_if_exists=True
        )
        if study.user_attrs.setdefault(CONFIGURATION, self.about) != self.about:
            raise OptionError(
                f"{self.output / STUDY} is a search of another training; choose another directory, or --force"
            )
        study.set_user_attr(CONFIGURATION, self.about)
        if not study.trials:
            study.enqueue_trial(self.first)
        for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
        return study

    def write(self, study: optuna.Study) -> pd.DataFrame:
        """Write the table of all trials so far; returns it."""
        table = tabulate(study)
        write_atomically(self.output / TABLE, table.to_csv(index=False))
        write_atomically(self.output / MARKDOWN, markdown(table) + "\n")
        return table

    @property
    def first(self) -> dict[str, Any]:
        """The recipe's own settings, as far as they are in the space."""
        own = self.recipe.settings()
        return {name: own[name] for name, part in self.space.items() if part.holds(own[name])}

    @property
    def about(self) -> str:
        """Everything that the losses of the trials depend on."""
        space = {name: list(part) for name, part in self.space.items()}
        return canonical({**self.recipe.describe(self.sources), "space": space})

    def ask(self, study: optuna.Study, done: int) -> optuna.Trial:
        """The settings to try next. Each trial has draws of its own, by the seed and the number of those done."""
        import optuna

        study.sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=self.recipe.seed + 1000 * done)
        trial = study.ask()
        for name, part in self.space.items():
            part.suggest(trial, name)
        return trial

    def train(self, study: optuna.Study, trial: optuna.Trial) -> None:
        """Train with the settings of a trial. If its loss is no finite number, it counts as pruned."""
        import optuna

        recipe = type(self.recipe)(**{**self.recipe.model_dump(), **trial.params})
        _, run = recipe.train(*self.events, self.output / TRIALS / f"{trial.number:03d}", self.sources)
        run.validate = watch(trial, run.validate)
        try:
            study.tell(trial, float(run.run()["loss"].min()))
        except (optuna.TrialPruned, TrainingError):
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)


def watch(trial: optuna.Trial, validate: Callable[[Any], dict[str, float]]) -> Callable[[Any], dict[str, float]]:
    """The same validation, which tells a trial the loss of each epoch, and ends it if others were better by then."""
    import optuna

    epochs = iter(range(1, 1 << 30))

    def measured(network: Any) -> dict[str, float]:
        numbers = validate(network)
        trial.report(numbers["loss"], epoch := next(epochs))
        trial.set_user_attr("epochs", epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
        return numbers

    return measured


def free(space: Space, given: Mapping[str, Any], fresh: tuple[str, ...] = ()) -> Space:
    """The part of a space that a user's options leave free; OptionError if they fix all of it.

    fresh: what has no effect on a network that begins with the weights of another, ``start_from``.
    """
    fixed = {*given, *(fresh if given.get("start_from") else ())}
    if left := {name: part for name, part in space.items() if name not in fixed}:
        return left
    raise OptionError(f"--tune: nothing is left to search, since {', '.join(space)} are given")


def finished(study: optuna.Study) -> int:
    """Number of trials that came to their end or were pruned."""
    states = [trial.state.name for trial in study.trials]
    return states.count("COMPLETE") + states.count("PRUNED")


def tabulate(study: optuna.Study) -> pd.DataFrame:
    """A row for each trial, the best first: its state, loss (least, or last if pruned), epochs, seconds, settings."""
    rows = [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "loss": trial.value,
            "epochs": trial.user_attrs.get("epochs", 0),
            "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else None,
            **trial.params,
        }
        for trial in study.trials
        if trial.state.name not in ("WAITING", "RUNNING")
    ]
    frame = pd.DataFrame(rows)
    order = frame["state"].map({"complete": 0, "pruned": 1}).fillna(2)
    return frame.assign(order=order).sort_values(["order", "loss"]).drop(columns="order").reset_index(drop=True)


def markdown(table: pd.DataFrame) -> str:
    """The table in Markdown."""
    lines = [[f"{value:.4g}" if isinstance(value, float) else str(value) for value in row] for row in table.to_numpy()]
    return tables.markdown(list(table.columns), lines)


def summary(table: pd.DataFrame, space: Space, output: Path) -> str:
    """The best settings as options of the command line."""
    best = table.iloc[0]
    options = " ".join(f"--{name.replace('_', '-')} {short(best[name])}" for name in space)
    states = table["state"].value_counts().to_dict()
    counts = ", ".join(f"{number} {state}" for state, number in states.items())
    return f"{counts}\nbest of them, trial {best['trial']} with loss {best['loss']:.4g}: {options}\n{output / MARKDOWN}"


def short(value: Any) -> str:
    """A setting as on a command line."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def check_output(output: Path, force: bool) -> None:
    """Raise OptionError unless a search may begin in a directory, or go on there, and Optuna is installed."""
    with needs_optuna("--tune"):
        import optuna  # noqa: F401
    if not (output / STUDY).is_file():
        results.check_writable(output, force)


def begin(output: Path, force: bool) -> None:
    """Make the directory of a search, and with ``force`` remove an earlier one."""
    if (output / STUDY).is_file() and not force:
        return
    for name in (CHECKPOINT, LOG):
        for path in (output / TRIALS).glob(f"*/{name}"):
            path.unlink()
    results.claim(output, WRITTEN)
