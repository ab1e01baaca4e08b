"""The verb ``ptmiss train mlpf``: from event files to a model in a directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ptmiss import candidates as pf_candidates
from ptmiss import sample
from ptmiss.events import expand, inspect
from ptmiss.files import AnyPath, as_path
from ptmiss.models import tuning
from ptmiss.models.cards import ship
from ptmiss.models.mlpf import dataset, monitoring, reconstruction
from ptmiss.models.mlpf.dataset import Dataset
from ptmiss.models.mlpf.monitoring import Particles
from ptmiss.models.mlpf.recipe import FRESH, SPACE, Recipe, check_start, true, validate
from ptmiss.models.mlpf.reconstruction import MLPF
from ptmiss.models.sources import Sources
from ptmiss.models.training import Progress, check_device
from ptmiss.models.workflow import begin, check_output, describe_training, hold_out, make_recipe, summary

EMBEDDED = ("ttbar", "zmumu")
QUANTITIES_DRAWN = {
    "met_rms": r"RMS of $p_\mathrm{T}^\mathrm{miss}$ residual (GeV)",
    "jet_width_20": "IQR / median, jets of 20 to 60 GeV",
    "jet_width_60": "IQR / median, jets of 60 to 200 GeV",
}


def train_files(
    events: Sources,
    validation: Sources,
    output: AnyPath,
    name: str,
    recipe: Mapping[str, Any],
    *,
    max_events: int | None = None,
    tune: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> str:
    """Train an MLPF on event files with elements and targets.

    Args:
        events: files, and the number of events from each; None for all. Without files, the embedded events.
        validation: the same for the events that choose the epoch. Without files, a tenth of all events.
        output: directory of weights, card, log and checkpoint. A training in it continues from its checkpoint.
        name: the model's name.
        recipe: options, see ptmiss.models.mlpf.recipe.Recipe.
        max_events: most events from each file.
        tune: number of trials of a search for better settings, in place of one training; see ptmiss.models.tuning.
        force: begin again.
        progress: called with what is done (events read, warm start, training and its loss), how many, and of how many.

    Returns:
        A summary of the result in a few lines.

    Raises:
        OptionError: an option has a wrong value.
        ColumnError: a file has no elements or targets.
    """
    output = as_path(output)
    (tuning.check_output if tune else check_output)(output, force)
    events = limit_events(events or {str(sample.events(kind)): None for kind in EMBEDDED}, max_events)
    chosen = make_recipe(build_recipe, recipe, "preset")
    check_device(chosen.device)
    check_start(chosen)
    training = read(events, progress)
    training, held_out = (training, read(validation, progress)) if validation else hold_out(training, chosen.seed)
    about = describe_training(events, validation, chosen.seed)
    if tune:
        tuning.begin(output, force)
        space = tuning.free(SPACE, recipe, FRESH)
        search = tuning.Search(chosen, space, (training, held_out), about["events"], output)
        return search.run(tune, progress)
    begin(output, force, chosen.start_from)
    network, run = chosen.train(training, held_out, output, about["events"], progress)
    log = run.run()
    numbers = validate(network, held_out, chosen) | measure_particle_flow(validation)
    about |= {"recipe": chosen.model_dump(mode="json"), "seconds": round(float(log["seconds"].sum()))}
    ship(MLPF(network, name), output, about, numbers, reconstruction.save)
    return summary(log, numbers, output, name, QUANTITIES_DRAWN)


def limit_events(sources: Sources, limit: int | None) -> Sources:
    """The same files, with at most ``limit`` events from each."""
    return {path: min(n or limit, limit) if limit else n for path, n in sources.items()}


def build_recipe(**options: Any) -> Recipe:
    """A recipe from options; a ValidationError if its network cannot be made."""
    chosen = Recipe(**options)
    chosen.configuration()
    return chosen


def read(sources: Sources, progress: Progress | None) -> Dataset:
    """The events of files; sources: number of events from each."""
    return Dataset.concatenate([dataset.read([path], n, progress) for path, n in sources.items()])


def measure_particle_flow(sources: Sources) -> dict[str, float]:
    """The same numbers for the files' own particle flow on the validation events, as ``pf_…``; empty without files."""
    columns, truth = ("pt", "eta", "phi", "mass"), []
    found = []
    for pattern, n in sources.items():
        for path in expand([pattern]):
            source = inspect(path)
            if pf_candidates.collection(source.branches) is None:
                return {}
            events = source.events(0, min(n or source.entries, source.entries))
            c = pf_candidates.read(events, columns)
            energy = np.hypot(c["pt"] * np.cosh(c["eta"]), c["mass"])
            found.append(Particles.of(c["pt"], c["eta"], c["phi"], energy, c.offsets))
            truth.append(true(dataset.of_events(events)))
    if not found or any(len(a.offsets) != len(b.offsets) for a, b in zip(found, truth, strict=True)):
        return {}
    numbers = monitoring.measure(monitoring.concatenate(found), monitoring.concatenate(truth))
    return {f"pf_{name}": value for name, value in numbers.items()}
