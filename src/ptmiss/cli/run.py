"""The verbs ``run``, ``status`` and ``skim``, which read events."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptmiss.cli.completion import Words, processors
from ptmiss.cli.options import PATH, Verb, cli, json_or_text, note, pairs, plural, with_estimators, with_pool
from ptmiss.errors import OptionError

if TYPE_CHECKING:
    from ptmiss.estimators import Estimator
    from ptmiss.runs.directory import Status
    from ptmiss.runs.fileset import Fileset


@cli.command(
    "run",
    cls=Verb,
    kept="finished chunks are kept; the same command with --resume continues",
    short_help="A coffea processor over a fileset.",
    epilog="""
  ptmiss run zmumu --fileset dy.json --estimators stored.MET,stored.PuppiMET \\
      --executor futures --workers 2 --output out/dy
  ptmiss status out/dy     # from another terminal, or after it was stopped
""",
)
@click.argument("processor", type=Words("PROCESSOR", processors))
@click.option("--fileset", "fileset_path", type=PATH, required=True, help="Coffea's fileset JSON.")
@click.option("-o", "--output", type=PATH, required=True, help="Directory for the results.")
@click.option("--force", is_flag=True, help="Replace results that are there.")
@click.option("--corrections", type=PATH, help="A file of ptmiss calibrate, for corrected pTmiss and its variations.")
@click.option(
    "--option", "own", callback=pairs, multiple=True, metavar="NAME=JSON", help="An option of your own processor."
)
@with_estimators
@with_pool
def run(
    processor: str,
    fileset_path: Path,
    output: Path,
    force: bool,
    corrections: Path | None,
    own: Mapping[str, str],
    estimators: list[Estimator],
    selection: str | None,
    vertex: str,
    how: Mapping[str, Any],
    resume: bool,
) -> None:
    """Run a coffea processor over a fileset.

    zmumu, zee, gammajet, wmunu, wenu, validation, FILE.py or FILE.py:Class.
    """
    from ptmiss import verbs
    from ptmiss.runs import fileset as filesets

    given = {name: json_or_text(name, value) for name, value in own.items()}
    made = verbs.run(
        processor,
        filesets.read(fileset_path),
        output,
        estimators,
        selection=selection,
        vertex=vertex,
        corrections=corrections,
        options=given,
        resume=resume,
        force=force,
        **how,
    )
    for name, dataset in made.manifest["datasets"].items():
        _tell_cutflow(name, dataset.get("cutflow"))
        _tell_notes(dataset.get("notes", {}))
    _tell_work(made.manifest)
    click.echo(f"{made.manifest['metrics']['entries']} events -> {output}")


@cli.command(
    "status",
    cls=Verb,
    short_help="How far a run has come.",
    epilog="""
  ptmiss status out/dy
""",
)
@click.argument("directory", type=PATH)
def status(directory: Path) -> None:
    """Show the progress of the run in DIRECTORY: what is done, missing and failed."""
    from ptmiss import results
    from ptmiss.runs import directory as run_directory

    found = run_directory.status(directory)
    for name, (events, listed) in found.events.items():
        click.echo(f"{name}: {found.done[name]} of {found.total[name]} chunks, {events} of {listed} events")
    for entry in found.skipped:
        click.echo(entry)
    click.echo(_state(found, (directory / results.MANIFEST).is_file()))


def _state(found: Status, results: bool) -> str:
    """The state of a run in one line."""
    if found.worker:
        return f"running: {found.worker}"
    if found.last.get("event") == "end" and results:
        return "finished" + (
            f", without {len(found.skipped)} parts: --resume tries them again" if found.missing else ""
        )
    reason = f" ({found.last['reason']})" if "reason" in found.last else ""
    return f"stopped{reason}: the same command with --resume continues the run"


@cli.command(
    "skim",
    cls=Verb,
    kept="finished chunks are kept; the same command with --resume continues",
    short_help="The recoil table of event files: one row an event.",
    epilog="""
  ptmiss skim nano_*.root --estimators pf,puppi,deepmet --output recoil.parquet
  ptmiss skim nano_*.root --estimators stored.PuppiMET --output stored.parquet
  ptmiss skim nano_*.root --friend friends --output recoil.parquet
  ptmiss skim --fileset fileset.json --luminosity 60 --output recoil/
""",
)
@click.argument("files", nargs=-1)
@click.option(
    "--fileset", "fileset_path", type=PATH, help="A fileset in place of FILES, for triggers and certified data."
)
@click.option("-o", "--output", type=PATH, required=True, help="The table: a .parquet file, or a directory.")
@click.option("--corrections", type=PATH, help="A file of ptmiss calibrate, for columns of corrected pTmiss.")
@click.option("--friend", type=PATH, metavar="DIRECTORY", help="Also a ROOT tree for each file, to read beside it.")
@click.option("--force", is_flag=True, help="Replace a table, and friend trees, that are there.")
@click.option("--luminosity", type=float, metavar="L", help="Scale weights of simulation to this luminosity, fb^-1.")
@click.option("--raw-weights", is_flag=True, help="Do not scale weights, even with several datasets.")
@click.option("--rescale", is_flag=True, help="If events were skipped: scale what was read up to the whole.")
@with_estimators
@with_pool
def skim(
    files: tuple[str, ...],
    fileset_path: Path | None,
    output: Path,
    corrections: Path | None,
    friend: Path | None,
    force: bool,
    luminosity: float | None,
    raw_weights: bool,
    rescale: bool,
    estimators: list[Estimator],
    selection: str | None,
    vertex: str,
    how: Mapping[str, Any],
    resume: bool,
) -> None:
    """Write the recoil table of event FILES (ROOT or parquet; paths, globs, URLs): one row per event.

    A directory gets one table for each of the FILES; other verbs read them as one.
    """
    from ptmiss.runs.options import RunOptions
    from ptmiss.runs.skim import Weighting, check_startable
    from ptmiss.runs.skim import skim as write

    check_startable(output, resume, force, friend)
    fileset = _fileset(files, fileset_path)
    given: dict[str, Any] = {
        "selection": selection or "default",
        "vertex": vertex,
        "weighting": Weighting(luminosity, raw_weights, rescale),
        "corrections": corrections,
        "friend": friend,
    }
    with RunOptions(**how).open() as opened:
        made = write(fileset, estimators, output, resume=resume, **given, **opened)
    _tell_notes(made["notes"])
    _tell_ledger(made["datasets"])
    also = f", friend trees -> {friend}" if friend else ""
    click.echo(f"{made['metrics']['entries']} events -> {output}{also}")


def _fileset(files: tuple[str, ...], path: Path | None) -> Fileset:
    from ptmiss.runs import fileset as filesets

    if bool(files) == bool(path):
        raise OptionError("expected either event files or --fileset")
    return filesets.read(path) if path else filesets.parse({"events": list(files)})


def _tell_cutflow(dataset: str, cutflow: Mapping[str, Any] | None) -> None:
    """Print how many events each cut leaves, of those that take some."""
    if cutflow:
        counts = list(cutflow["events"].items())
        taken = [counts[0], *(after for before, after in pairwise(counts) if after[1] != before[1])]
        steps = ", ".join(f"{name} {count}" for name, count in taken)
        click.echo(f"{dataset}: {steps}")


def _tell_work(details: Mapping[str, Any]) -> None:
    """Print what a run read, its time in all and by stage, and what it left out."""
    metrics, chunks, seconds = details["metrics"], details["chunks"], details["seconds"]
    total = sum(seconds.values())
    stages = ", ".join(f"{stage} {time:.1f} s" for stage, time in seconds.items() if time >= 0.05)
    resumed = f", {chunks['resumed']} of them from before" if chunks["resumed"] else ""
    done = plural(metrics["chunks"], "chunk")
    each = metrics["bytesread"] / 1e3 / max(metrics["entries"], 1)
    click.echo(f"{done}{resumed}, {metrics['bytesread'] / 1e6:.1f} MB read ({each:.1f} kB an event)")
    click.echo(f"{total:.1f} s, {metrics['entries'] / max(total, 1e-9):.3g} events per second: {stages}")
    if details["changed"]:
        note(f"{', '.join(details['changed'])} changed since the last run: all chunks were redone")
    _tell_ledger(details["datasets"])


def _tell_ledger(datasets: Mapping[str, Any]) -> None:
    """Print what was skipped, what occurs twice, and weights that differ from those that the files state."""
    from ptmiss.normalisation import Skipped, duplicates_line, warning
    from ptmiss.runs import monitoring

    for name, dataset in datasets.items():
        for entry in dataset["ledger"]["skipped"]:
            note(str(Skipped(**entry)))
        if duplicates := dataset["ledger"]["duplicates"]:
            note(f"dataset {name!r}: {duplicates_line(duplicates)}")
        if told := warning(dataset):
            note(f"dataset {name!r}: {told}")
        for drifted in monitoring.warnings(dataset):
            note(f"dataset {name!r}: {drifted}")


def _tell_notes(notes: Mapping[str, int]) -> None:
    for what, count in notes.items():
        note(f"{what}: {count}")
