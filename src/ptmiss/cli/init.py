"""The verb ``init``."""

from __future__ import annotations

from pathlib import Path

import click

from ptmiss.cli.options import PATH, Verb, cli


@cli.command(
    "init",
    cls=Verb,
    short_help="A project to begin with: a fileset and a Makefile.",
    epilog="""
  ptmiss init first                      # of the embedded sample
  ptmiss init dy 'nano_*.root' && make -C dy
""",
)
@click.argument("directory", type=PATH)
@click.argument("files", nargs=-1)
@click.option("--force", is_flag=True, help="Replace a project that is there.")
def init(directory: Path, files: tuple[str, ...], force: bool) -> None:
    """Write a fileset of event FILES and a commented Makefile into a DIRECTORY.

    `make` in it then leads to a recoil table, resolutions and a page of results. The estimators are those that the
    first file has what it takes for.
    """
    from ptmiss import project

    chosen = project.begin(directory, files, force=force)
    click.echo(f"{directory / project.FILESET}: fill in what is null, or remove it")
    click.echo(f"{directory / project.MAKEFILE}: with {', '.join(chosen)}; next: make -C {directory}")
