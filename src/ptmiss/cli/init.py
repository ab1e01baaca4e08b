"""The verb ``init``."""

from __future__ import annotations

from pathlib import Path

import click

from ptmiss.cli.options import PATH, Verb, cli


@cli.command(
    "init",
    cls=Verb,
    short_help="A project to begin with: fileset, cuts, Makefile.",
    epilog="""
  ptmiss init first                      # of the embedded sample
  ptmiss init dy 'nano_*.root' && make -C dy
  ptmiss init z 'dy_*.root' 'data_*.root'   # also calibrates simulation to data
""",
)
@click.argument("directory", type=PATH)
@click.argument("files", nargs=-1)
@click.option("--force", is_flag=True, help="Replace a project that is there.")
def init(directory: Path, files: tuple[str, ...], force: bool) -> None:
    """Write a fileset of event FILES, a selection and a commented Makefile into a DIRECTORY.

    `make` in it then leads to a recoil table, resolutions and a page of results. Files of simulation and of data
    together make two datasets, and simulation is calibrated to data. The estimators are those that the first files have
    what it takes for.
    """
    from ptmiss import project

    chosen = project.begin(directory, files, force=force)
    click.echo(f"{directory / project.FILESET}: fill in what is null, or remove it")
    click.echo(f"{directory / project.SELECTION}: cuts on muons and jets")
    click.echo(f"{directory / project.MAKEFILE}: with {', '.join(chosen)}; next: make -C {directory}")
