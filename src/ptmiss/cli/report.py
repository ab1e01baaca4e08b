"""The verb report."""

from __future__ import annotations

from pathlib import Path

import click

from ptmiss.cli.options import PATH, Verb, cli


@cli.command(
    "report",
    cls=Verb,
    short_help="One page of HTML: figures and tables of results.",
    epilog="""
  ptmiss report dy=recoil.parquet out/w_run out/calibration deepmet --output report.html
""",
)
@click.argument("sources", nargs=-1, required=True, metavar="[NAME=]PATH...")
@click.option("--output", type=PATH, required=True, help="The page, a .html file.")
@click.option("--title", default="pTmiss and recoil", show_default=True)
@click.option(
    "--correction",
    type=click.Choice(["none", "plateau", "bin"]),
    default="bin",
    show_default=True,
    help="Of the response, before widths are measured.",
)
@click.option("--label", default="", help="Text above the figures.")
@click.option("--force", is_flag=True, help="Replace a page that is there.")
def report(sources: tuple[str, ...], output: Path, title: str, correction: str, label: str, force: bool) -> None:
    """One page of HTML of recoil tables, runs, calibrations, evaluations and models: figures, tables, how they were made.

    It needs no network; figures are inline, every table can be taken away as CSV and as HEPData's YAML.
    """
    from ptmiss import reports
    from ptmiss.errors import OptionError
    from ptmiss.progress import progress_bar, shown_by

    if output.exists() and not force:
        raise OptionError(f"--output {output} is there already (--force replaces it)")
    with progress_bar("sources") as bar:
        path = reports.report(sources, output, title=title, correction=correction, label=label, progress=shown_by(bar))
    click.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
