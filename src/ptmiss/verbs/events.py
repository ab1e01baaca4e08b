"""Events simulated, read into recoil tables, and run over by processors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coffea.processor import ProcessorABC

from ptmiss import corrections as correction_files
from ptmiss import results
from ptmiss.files import AnyPath, as_path, check_file
from ptmiss.files.provenance import provenance
from ptmiss.networks.sketches import SKETCHES
from ptmiss.results import RunResult
from ptmiss.runs import directory as run_directory
from ptmiss.runs import runner
from ptmiss.runs import skim as skimming
from ptmiss.runs.monitoring import MONITORING, monitor
from ptmiss.runs.options import RunOptions
from ptmiss.selections import Selection, load_selection
from ptmiss.table import RecoilTable, StoredTable, open_table
from ptmiss.table import read as read_table

from .inputs import Estimators, Files, estimators_of, fileset_of


def skim(
    files: Files,
    output: AnyPath,
    estimators: Estimators = ("pf", "puppi"),
    *,
    selection: Selection | AnyPath = "default",
    vertex: str = "default",
    corrections: AnyPath | None = None,
    luminosity: float | None = None,
    raw_weights: bool = False,
    rescale: bool = False,
    friend: AnyPath | None = None,
    resume: bool = False,
    force: bool = False,
    **how: Any,
) -> RecoilTable | StoredTable:
    """Write the recoil table of event files, one row an event, and read it.

    A directory is not read into memory, but opened, as by ``open_table``.

    Args:
        files: event files (ROOT or parquet; paths, globs, URLs), or a fileset.
        output: the table, a parquet file; or a directory, without an ending, for one file for each file of events.
        estimators: names or estimators.
        selection: a Selection, the name of a preset, or a file.
        vertex: whose candidates, ``default`` or ``lepton``.
        corrections: a file that ``calibrate`` wrote, for columns of corrected pTmiss beside the others.
        luminosity: scale the weights of simulation to it, fb^-1.
        raw_weights: leave weights as they are, also of several datasets.
        rescale: take what was read for the whole, if something was skipped.
        friend: a directory for friend trees, ROOT files with pTmiss of every event of each file.
        resume: go on with what an earlier skim left.
        force: replace a table that is there, or what an earlier skim left.
        **how: executor, workers, chunksize, …: see ptmiss.runs.options.RunOptions.

    Returns:
        The table: vectors in GeV, ``(events, 2)``.

    Raises:
        ColumnError: a file lacks what an estimator or the selection needs; before any event is read.
    """
    made, place = estimators_of(estimators), skimming.check_startable(output, resume, force, friend)
    weighting = skimming.Weighting(luminosity, raw_weights, rescale)
    chosen: dict[str, Any] = {"selection": selection, "vertex": vertex, "weighting": weighting, "friend": friend}
    with RunOptions(**how).open() as opened:
        skimming.skim(fileset_of(files), made, place, corrections=corrections, resume=resume, **chosen, **opened)
    return open_table(place) if place.is_dir() else read_table(place)


def run(
    processor: str,
    files: Files,
    output: AnyPath,
    estimators: Estimators = ("pf", "puppi"),
    *,
    selection: Selection | AnyPath | None = None,
    vertex: str = "default",
    corrections: AnyPath | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    force: bool = False,
    **how: Any,
) -> RunResult:
    """Run a coffea processor over a fileset and keep its histograms.

    Args:
        processor: ``zmumu``, ``zee``, ``gammajet``, ``wmunu``, ``wenu``, ``validation``,
             ``FILE.py`` or ``FILE.py:Class``.
        files: a fileset, or event files.
        output: directory of the results.
        estimators: names or estimators.
        selection: a Selection, the name of a preset, or a file; None for that of the processor.
        vertex: whose candidates, ``default`` or ``lepton``.
        corrections: a file that ``calibrate`` wrote.
        options: the processor's own.
        resume: go on with what an earlier run left.
        force: replace results that are there.
        **how: executor, workers, chunksize, …: see ptmiss.runs.options.RunOptions.

    Returns:
        Manifest and histograms by dataset.

    Raises:
        ChunkError: a worker failed; what is done is kept.
    """
    place, path = as_path(output), None if corrections is None else as_path(corrections)
    run_directory.check_startable(place, (results.MANIFEST,), resume, force)
    fileset, made = fileset_of(files), estimators_of(estimators)
    asked = {} if selection is None else {"selection": load_selection(selection)}
    chosen = {"estimators": made, **asked, "vertex": vertex, "corrections": path, **(options or {})}
    instance = _processor(processor, chosen)
    with RunOptions(**how).open() as opened, run_directory.open_directory(place, resume) as directory:
        outputs, details = runner.run(fileset, instance, directory=directory, **opened)
        for out in outputs.values():
            if seen := out.pop(SKETCHES, None):
                out[MONITORING] = monitor(seen, made)
        manifest = provenance(
            processor=processor,
            estimators=[estimator.manifest_entry() for estimator in made],
            selection=_selection(instance),
            vertex=vertex,
            options=dict(options or {}),
            corrections=path and correction_files.load(path).record,
            **details,
        )
        return results.save(place, manifest, outputs)


def _selection(processor: ProcessorABC) -> dict[str, Any] | None:
    """The selection of a processor, every key of it; None if it has none."""
    selection = getattr(processor, "selection", None)
    return selection.model_dump(mode="json") if isinstance(selection, Selection) else None


def _processor(name: str, chosen: Mapping[str, Any]) -> ProcessorABC:
    """A processor with what was chosen for it; estimators, selection and the default vertex are for those that ask."""
    cls = runner.find_processor(name)
    asked = inspect.signature(cls).parameters
    optional = {"estimators", "selection"} | ({"vertex"} if chosen["vertex"] == "default" else set())
    return runner.make_processor(
        cls, {key: value for key, value in chosen.items() if key in asked or key not in optional}
    )


def simulate(process: str, n: int, output: AnyPath, seed: int = 1, *, force: bool = False, **options: Any) -> Path:
    """Simulate events in a CMS-like detector, with pile-up and truth (needs the extra ``simulation``).

    Args:
        process: one of ptmiss.simulation.PROCESSES.
        n: how many events.
        output: the event file.
        seed: the same seed gives the same file.
        force: replace a file that is there.
        **options: profile, pileup_mean, overrides, elements, shower_weights, workers, file_format,
            progress.

    Returns:
        The event file's path.

    Raises:
        UnknownName: no process has this name.
        OptionError: the file is there already, or is no ``.root`` file.
    """
    from ptmiss import simulation

    return simulation.simulate(process, n, seed, check_file(output, (".root",), force), **options).path
