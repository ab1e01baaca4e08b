"""Verbs that read events: run, status, skim."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptmiss.cli.options import PATH, Verb, cli, json_or_text, pairs, with_estimators, with_pool
from ptmiss.errors import OptionError

if TYPE_CHECKING:
    from ptmiss.estimators import Estimator
    from ptmiss.runs.directory import Status
    from ptmiss.runs.fileset import Fileset


@cli.command(
    "run",
    cls=Verb,
    short_help="A coffea processor over a fileset.",
    epilog="""
  ptmiss run zmumu --fileset dy.json --estimators stored.MET,stored.PuppiMET \\
      --executor futures --workers 2 --output out/dy
  ptmiss status out/dy     # from another terminal, or after it was stopped
""",
)
@click.argument("processor")
@click.option("--fileset", "fileset_path", type=PATH, required=True, help="Coffea's fileset JSON.")
@click.option("--output", type=PATH, required=True, help="Directory for the results.")
@click.option("--force", is_flag=True, help="Replace results that are there.")
@click.option("--corrections", type=PATH, help="File of ptmiss calibrate: corrected pTmiss, nominal and varied.")
@click.option(
    "--option", "own", callback=pairs, multiple=True, metavar="NAME=JSON", help="Option of your own processor."
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
    selection: str,
    vertex: str,
    how: Mapping[str, Any],
    resume: bool,
) -> None:
    """Run a coffea processor over a fileset: zmumu, wjets, validation, FILE.py or FILE.py:Class."""
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
    """How far the run in DIRECTORY has come: what is done, missing and failed."""
    from ptmiss import results
    from ptmiss.runs import directory as run_directory

    found = run_directory.status(directory)
    for name, (events, listed) in found.events.items():
        click.echo(f"{name}: {found.done[name]} of {found.total[name]} chunks, {events} of {listed} events")
    for entry in found.skipped:
        click.echo(entry)
    click.echo(_state(found, (directory / results.MANIFEST).is_file()))


def _state(found: Status, results: bool) -> str:
    """What goes on in a run's directory, in one line."""
    if found.worker:
        return f"running: {found.worker}"
    if found.last.get("event") == "end" and results:
        return "finished" + (
            f", without {len(found.skipped)} parts: --resume tries them again" if found.missing else ""
        )
    reason = f" ({found.last['reason']})" if "reason" in found.last else ""
    return f"stopped{reason}: the same command with --resume goes on"


@cli.command(
    "skim",
    cls=Verb,
    short_help="The recoil table of event files: one row an event.",
    epilog="""
  ptmiss skim nano_*.root --estimators pf,puppi,deepmet --output recoil.parquet
  ptmiss skim nano_*.root --estimators stored.PuppiMET --output stored.parquet
""",
)
@click.argument("files", nargs=-1)
@click.option(
    "--fileset", "fileset_path", type=PATH, help="A fileset in place of files: for triggers and certified data."
)
@click.option("--output", type=PATH, required=True, help="The table, a parquet file.")
@with_estimators
@with_pool
def skim(
    files: tuple[str, ...],
    fileset_path: Path | None,
    output: Path,
    estimators: list[Estimator],
    selection: str,
    vertex: str,
    how: Mapping[str, Any],
    resume: bool,
) -> None:
    """Write the recoil table of event FILES (ROOT or parquet; paths, globs, URLs): one row an event."""
    from ptmiss.runs.options import RunOptions
    from ptmiss.runs.skim import skim as write

    fileset = _fileset(files, fileset_path)
    with RunOptions(**how).opened() as opened:
        made = write(fileset, estimators, output, selection=selection, vertex=vertex, resume=resume, **opened)
    _tell_notes(made["notes"])
    _tell_ledger(made["datasets"])
    click.echo(f"{made['metrics']['entries']} events -> {output}")


def _fileset(files: tuple[str, ...], path: Path | None) -> Fileset:
    from ptmiss.runs import fileset as filesets

    if bool(files) == bool(path):
        raise OptionError("expected event files, or --fileset, and not both")
    return filesets.read(path) if path else filesets.parse({"events": list(files)})


def _tell_cutflow(dataset: str, cutflow: Mapping[str, Any] | None) -> None:
    if cutflow:
        steps = ", ".join(f"{name} {count}" for name, count in cutflow["events"].items())
        click.echo(f"{dataset}: {steps}")


def _tell_work(details: Mapping[str, Any]) -> None:
    """What a run took, in all and by stage, and what it went without."""
    metrics, chunks, seconds = details["metrics"], details["chunks"], details["seconds"]
    total = sum(seconds.values())
    stages = ", ".join(f"{stage} {time:.1f} s" for stage, time in seconds.items())
    resumed = f", {chunks['resumed']} of them from before" if chunks["resumed"] else ""
    click.echo(
        f"{metrics['chunks']} chunks{resumed}, {metrics['bytesread'] / 1e6:.1f} MB, {total:.1f} s: {stages}; "
        f"{metrics['entries'] / max(total, 1e-9):.3g} events a second"
    )
    if details["changed"]:
        click.echo(f"note: other {', '.join(details['changed'])} than before: nothing of before was used", err=True)
    _tell_ledger(details["datasets"])


def _tell_ledger(datasets: Mapping[str, Any]) -> None:
    """What was skipped, and what was there twice."""
    from ptmiss.normalisation import Skipped, duplicates_line

    for name, dataset in datasets.items():
        for entry in dataset["ledger"]["skipped"]:
            click.echo(f"note: {Skipped(**entry)}", err=True)
        if duplicates := dataset["ledger"]["duplicates"]:
            click.echo(f"note: dataset {name!r}: {duplicates_line(duplicates)}", err=True)


def _tell_notes(notes: Mapping[str, int]) -> None:
    for what, count in notes.items():
        click.echo(f"note: {what}: {count}", err=True)
