"""A flow and its uncertainties, derived from the samples of a calibration, and taught to dense networks.

* ``nominal``: the flow of all events
* ``stat_<i>``: flows of other seeds on bootstrap draws of all samples. Each is moved so that the quadratic sum of all
  shifts is the variance of the ensemble, as everywhere in this package
* ``background_up``, ``background_down``: 20 % more or less background; the nominal flow is trained on with each, and
  with the same events as they are, and what differs between the two is the shift
* ``context``: qT alone, without the rest of the context
* ``method``: the double Gaussians of one component at a time in place of the flow
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ptmiss.calibration import calibrate
from ptmiss.calibration.calibrate import Calibration
from ptmiss.calibration.quantile_corrections import BACKGROUND
from ptmiss.calibration.sources import Background, Sample
from ptmiss.errors import needs_flow
from ptmiss.histograms import COMPONENTS
from ptmiss.progress import Callback, log
from ptmiss.typing import Array

from . import samples
from .backgrounds import NEGATIVE, check
from .maps import JointMap

if TYPE_CHECKING:
    from ptmiss.models.recoilflow.events import Events
    from ptmiss.models.recoilflow.recipe import Recipe
    from ptmiss.models.recoilflow.weights import RecoilFlow

HELD_OUT = 7  # every so many-th event chooses the epoch
MORE_EPOCHS, MORE_RATE = 3, 5e-4  # of a flow that is trained on with another background
TAUGHT, VARIED = (64, 64), (16, 16)  # hidden layers of the networks of the nominal map and of a variation
TEACHING, VARYING = 120, 12  # epochs
VARIED_ROWS = 40_000


@dataclass(frozen=True)
class Options:
    """What a derivation depends on besides the samples.

    context: names, see samples.COLUMNS; members: of the ensemble; recipe: what to change in that of the flow; training:
    directory of checkpoints, from which a derivation that was stopped goes on; None for none. subtraction: how
    backgrounds are taken off the data, see backgrounds.WAYS.
    """

    context: tuple[str, ...] = samples.CONTEXT
    members: int = 8
    recipe: Mapping[str, Any] | None = None
    training: Path | None = None
    subtraction: str = NEGATIVE


@dataclass(frozen=True)
class FlowCalibration(Calibration):
    """A calibration whose maps are those of a flow, beside the double Gaussians of the same samples.

    joint: the maps; flow: the nominal one; log: of its training; accuracy: how well the networks learnt its map;
    recipe: of the training.
    """

    joint: JointMap
    flow: RecoilFlow
    log: pd.DataFrame
    accuracy: pd.DataFrame
    recipe: Mapping[str, Any]


def derive(
    data: Sample,
    mc: Sample,
    backgrounds: Sequence[Background],
    estimators: Sequence[str],
    options: Options,
    *,
    minimum: float,
    pileup: bool = True,
    progress: Callback = lambda *_: None,
) -> FlowCalibration:
    """Derive double Gaussians first, then a flow after the same XY lines and pile-up weights; its map, its errors."""
    with needs_flow("--method flow"):
        from ptmiss.models.recoilflow.recipe import Recipe
        from ptmiss.models.workflow import make_recipe
    check(options.subtraction)
    samples.check_context(options.context, [data, mc, *(b.source for b in backgrounds)])
    recipe = make_recipe(Recipe, options.recipe or {})
    base = calibrate.derive(data, mc, backgrounds, estimators, minimum=minimum, pileup=pileup, progress=progress)

    def events(factor: float = 1.0) -> Events:
        given = data, mc, backgrounds, base.preparation, estimators, options.context
        return samples.events_of(*given, factor, options.subtraction)

    nominal = events()
    scaled = {name: events(factor) for name, factor in BACKGROUND.items()} if backgrounds else {}
    with _directory(options.training) as directory:
        trainer = Trainer(nominal, recipe, directory, tuple(estimators), options, progress, 3 + options.members)
        flow, curve = trainer.train("nominal", nominal, recipe)
        lesson = lesson_of(flow, nominal)
        joint = teach(lesson, variations(trainer, flow, scaled, base, lesson), tuple(estimators), options.context)
    of_flow = {"context": list(options.context), "members": options.members, "subtraction": options.subtraction}
    made = {**base.made, **of_flow}
    first = base.preparation, base.responses, base.derivations
    return FlowCalibration(
        *first, made, joint, flow, curve, accuracy(joint, flow, nominal), recipe.model_dump(mode="json")
    )


def _directory(training: Path | None) -> Any:
    """Where trainings keep their checkpoints."""
    from contextlib import nullcontext

    if training is None:
        return TemporaryDirectory()
    training.mkdir(parents=True, exist_ok=True)
    return nullcontext(training)


@dataclass
class Trainer:
    """Trains flows of the same shape on variants of the same events."""

    events: Events
    recipe: Recipe
    directory: Any
    estimators: tuple[str, ...]
    options: Options
    progress: Callback
    total: int
    done: int = 0

    def train(
        self, name: str, events: Events, recipe: Recipe, start: RecoilFlow | None = None
    ) -> tuple[RecoilFlow, pd.DataFrame]:
        """A flow on some events, and its log; start: a flow to begin with, whose share of differences is kept."""
        from ptmiss.files import digest
        from ptmiss.models.recoilflow.recipe import finish, fit_difference
        from ptmiss.models.recoilflow.weights import RecoilFlow, Shape

        held = np.arange(len(events)) % HELD_OUT == 0
        source = digest(np.ascontiguousarray(np.column_stack([events.u, events.context, events.weights])).tobytes())
        place = Path(self.directory) / name
        network, run = recipe.train(events.select(~held), events.select(held), place, source)
        if start is not None:
            run.start = lambda net: net.load_state_dict(start.network.state_dict())
        curve = run.run()
        if start is None:
            finish(network, events, events.select(held))
        else:
            fit_difference(network, events)
        self.done += 1
        log.info("flow %s: %d epochs, loss %.4f", name, len(curve), curve["loss"].min())
        self.progress(f"flows: {name}", self.done, self.total)
        names = tuple(samples.features(self.estimators)), self.options.context
        return RecoilFlow(Shape(*names, recipe.hidden, recipe.bins, recipe.splines), network), curve


class Lesson(NamedTuple):
    """Residuals (rows, features) of simulation, their context, and what the nominal flow makes of them, GeV."""

    u: Array
    context: Array
    target: Array


def lesson_of(flow: RecoilFlow, events: Events, rows: int | None = None, seed: int = 1) -> Lesson:
    """What networks are taught with."""
    from ptmiss.models.recoilflow import students

    simulated = events.select(~events.data)
    given = np.clip(simulated.context, *flow.network.ranges.numpy())
    u, context = students.sample(simulated.u, given, rows or students.ROWS, seed)
    return Lesson(u, context, flow.correct(u, context))


def variations(
    trainer: Trainer, flow: RecoilFlow, scaled: Mapping[str, Events], base: Calibration, lesson: Lesson
) -> Iterator[tuple[str, Array]]:
    """Names of variations, and by how much each moves the first rows of a lesson, (rows, features) GeV."""
    recipe, events, names = trainer.recipe, trainer.events, trainer.options.context
    u, context, target = (part[:VARIED_ROWS] for part in lesson)
    many = range(trainer.options.members)
    members = [trainer.train(f"stat_{i}", drawn(events, i), _seeded(recipe, i))[0].correct(u, context) for i in many]
    for i, moved in enumerate(members):
        yield f"stat_{i}", (moved - np.mean(members, axis=0)) / np.sqrt(max(len(members) - 1, 1))
    again = recipe.model_copy(update={"epochs": MORE_EPOCHS, "rate": MORE_RATE, "patience": None})
    if scaled:
        same = trainer.train("background", events, again, flow)[0].correct(u, context)
        for name, other in scaled.items():
            yield name, trainer.train(name, other, again, flow)[0].correct(u, context) - same
    alone, _ = trainer.train("context", of_qt_alone(events, names), recipe)
    yield "context", alone.correct(u, context) - target
    yield "method", marginal(base, trainer.estimators, u, context, names) - target


def drawn(events: Events, number: int) -> Events:
    """A bootstrap draw: each event counts as often as a Poisson number of mean one says."""
    times = np.random.default_rng([7, number]).poisson(1.0, len(events))
    return replace(events, weights=events.weights * times).select(times > 0)


def of_qt_alone(events: Events, context: Sequence[str]) -> Events:
    """The same events without any other column of the context: it has the same value in all."""
    return replace(events, context=np.where(np.array(context) == "qt", events.context, events.context.mean(axis=0)))


def _seeded(recipe: Recipe, number: int) -> Recipe:
    return recipe.model_copy(update={"seed": recipe.seed + 1 + number})


def marginal(base: Calibration, estimators: Sequence[str], u: Array, context: Array, names: Sequence[str]) -> Array:
    """(events, features) residuals mapped by the double Gaussians of one component at a time, GeV.

    context: (events, columns) with these names.
    """
    qt, njets = (context[:, list(names).index(each)] if each in names else np.zeros(len(u)) for each in ("qt", "njets"))
    out = np.empty_like(u)
    for k, (estimator, component) in enumerate((e, c) for e in estimators for c in COMPONENTS):
        derivation = base.derivations[f"{estimator}_u_{component}"]
        jets = np.searchsorted(derivation.njets_edges[1:-1], njets)
        out[:, k] = derivation.nominal(qt, jets, u[:, k])
    return out


def teach(
    lesson: Lesson, moved: Iterator[tuple[str, Array]], estimators: tuple[str, ...], context: tuple[str, ...]
) -> JointMap:
    """Networks of the nominal map and of its variations."""
    from ptmiss.models.recoilflow import students

    u, given, target = lesson
    nominal = [students.teach(part, TAUGHT, TEACHING) for part in students.lessons(u, target, given)]
    varied = {}
    for name, shift in moved:
        few = slice(len(shift))
        parts = students.lessons(u[few], target[few] + shift, given[few], target[few])
        varied[name] = [students.teach(part, VARIED, VARYING) for part in parts]
    return JointMap(estimators, context, nominal, varied)


def accuracy(joint: JointMap, flow: RecoilFlow, events: Events) -> pd.DataFrame:
    """How far the networks are from the flow, GeV, in the core and near five widths, and the least slope of each."""
    from ptmiss.models.recoilflow.students import CORE, FAR

    u, context, target = lesson_of(flow, events, VARIED_ROWS, 2)
    away = joint(u, context) - target
    known = events.u[~events.data]
    pulls = np.abs(u - known.mean(axis=0)) / known.std(axis=0)
    rows = []
    for k, name in enumerate(joint.features):
        core = (pulls[:, : k + 1] < CORE).all(axis=1)
        far = (np.abs(pulls[:, k] - FAR) < 1) & (pulls[:, :k] < CORE).all(axis=1)
        inputs = np.column_stack([context, u[:, : k + 1]])
        row: dict[str, Any] = {"component": name, "parameters": joint.nominal[k].parameters}
        for where, mask in (("core", core), ("far", far)):
            error = np.abs(away[mask, k]) if mask.any() else np.array([np.nan])
            row |= {f"rms_{where}": np.sqrt(np.mean(error**2)), f"q95_{where}": np.quantile(error, 0.95)}
        rows.append(row | {"least_slope": joint.nominal[k].slope(inputs).min()})
    return pd.DataFrame(rows)
