"""The verb ``convert``."""

from __future__ import annotations

from pathlib import Path

import click

from ptmiss.cli.options import PATH, Verb, cli


@cli.command(
    "convert",
    cls=Verb,
    short_help="Recoil corrections in ROOT as correctionlib JSON.",
    epilog="""
  ptmiss convert Type1_PuppiMET_2018.root --order LO \\
      --systematics PuppiMETSys_2018.root --output recoil.json.gz
""",
)
@click.argument("file", type=PATH)
@click.option("--systematics", type=PATH, help="The ROOT file of their uncertainties.")
@click.option("--order", default="any", show_default=True, help="Key of the corrections in the file.")
@click.option("-o", "--output", type=PATH, required=True, help="A .json or .gz file.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def convert(file: Path, systematics: Path | None, order: str, output: Path, force: bool) -> None:
    """Convert a ROOT FILE of recoil corrections of CMS's HTT group into what load_published reads."""
    from ptmiss import verbs

    verbs.convert(file, output, systematics, order=order, force=force)
    click.echo(output)
