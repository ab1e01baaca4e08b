"""The verb ``init``."""

from __future__ import annotations

from pathlib import Path

import click

from ptmiss.cli.options import PATH, Verb, cli, note


@cli.command(
    "init",
    cls=Verb,
    short_help="A project to begin with: fileset, cuts, steps.",
    epilog="""
  ptmiss init first                      # of the embedded sample
  ptmiss init dy 'nano_*.root' && ptmiss make -C dy
  ptmiss init z 'dy_*.root' 'data_*.root'   # also calibrates simulation to data
""",
)
@click.argument("directory", type=PATH)
@click.argument("files", nargs=-1)
@click.option("--force", is_flag=True, help="Replace a project that is there.")
def init(directory: Path, files: tuple[str, ...], force: bool) -> None:
    """Write a fileset of event FILES, a selection and the steps to a page of results into a DIRECTORY.

    `ptmiss make` runs the steps, which are verbs with their options in ptmiss.toml: a recoil table, resolutions, with
    files of simulation and of data a calibration, a page. What the first files and their first events allow decides
    about estimators, channel and steps.

    All simulation is one dataset: where there are several processes, give each its own in fileset.json.
    """
    from ptmiss import project

    begun = project.begin(directory, files, force=force)
    click.echo(f"{directory / project.FILESET}: fill in what is null, or remove it")
    for dataset, look in begun.looks.items():
        click.echo(f"{directory / project.SELECTION}: {dataset}, {look}")
        if look.against is None:
            note(f"no resolution: no event of {dataset} has a boson that is seen, nor is it simulation")
    if len(begun.looks) > 1 and "calibrate" not in begun.steps:
        note("no calibration: it takes data and simulation with a boson that is seen")
    click.echo(f"{directory / project.CONFIGURATION}: {', '.join(begun.steps)} with {', '.join(begun.estimators)}")
    click.echo(f"next: ptmiss make -C {directory}")
