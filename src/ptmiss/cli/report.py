"""The verb ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ptmiss.cli.options import PATH, Verb, cli


@cli.command(
    "report",
    cls=Verb,
    short_help="One page of HTML: figures and tables of results.",
    epilog="""
  ptmiss report dy=recoil.parquet out/w_run out/calibration deepmet \\
      --output report.html
""",
)
@click.argument("sources", nargs=-1, required=True, metavar="[NAME=]PATH...")
@click.option("-o", "--output", type=PATH, required=True, help="The page, a .html file.")
@click.option("--title", default="pTmiss and recoil", show_default=True)
@click.option(
    "--correction",
    type=click.Choice(["none", "plateau", "bin"]),
    default="bin",
    show_default=True,
    help="Correction of the response, before widths are measured.",
)
@click.option("--label", default="", help="Text above the figures.")
@click.option(
    "--published",
    multiple=True,
    metavar="QUANTITY=FILE",
    help="Published numbers beside ours: mt, met, response, rms_par, … of a CSV or HEPData YAML file.",
)
@click.option("--force", is_flag=True, help="Replace a page that is there.")
def report(sources: tuple[str, ...], output: Path, force: bool, **words: Any) -> None:
    """Write a page of HTML about recoil tables, runs, calibrations, evaluations and models.

    It shows figures, tables, and how they were made. Figures are inline, so the page works offline. Every table can be
    saved as CSV and as YAML for HEPData.
    """
    from ptmiss import verbs
    from ptmiss.progress import progress_bar, progress_callback

    with progress_bar() as bar:
        path = verbs.report(sources, output, force=force, progress=progress_callback(bar), **words)
    click.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
