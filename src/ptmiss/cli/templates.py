"""The verb ``templates``."""

from __future__ import annotations

from pathlib import Path

import click

from ptmiss.cli.completion import Words
from ptmiss.cli.completion import estimators as estimators_known
from ptmiss.cli.options import PATH, Verb, cli, names, number, pairs


@cli.command(
    "templates",
    cls=Verb,
    short_help="Inputs for fits in Combine and pyhf.",
    epilog="""
  ptmiss templates out/w_run --observable mT --estimators deepmet \\
      --signal wmunu --lnn lumi=1.016 --lnn top_rate:ttbar=1.06 \\
      --output out/templates
  ptmiss templates skim/ --observable mT --channel wmunu --output out/tables
""",
)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=PATH)
@click.option("--observable", required=True, type=Words("mT|met|met_phi|u_par|u_perp"))
@click.option(
    "-o", "--output", type=PATH, required=True, help="Directory of the ROOT file, the cards and the workspaces."
)
@click.option(
    "-e",
    "--estimators",
    callback=names,
    default="",
    type=Words("A,B,…", estimators_known, several=True),
    help="Whose pTmiss. [default: all that are there]",
)
@click.option(
    "--channel", metavar="zmumu|wmunu|…", help="Of a table: whose events count. [default: the one of its selection]"
)
@click.option("--signal", callback=names, default="", metavar="A,B,…", help="Processes that the fit scales.")
@click.option("--luminosity", type=float, help="Where there are no data, fb^-1.")
@click.option("--lnn", callback=pairs, multiple=True, metavar="NAME[:PROCESS]=FACTOR", help="Log-normal uncertainty.")
@click.option("--minimum", type=float, default=10.0, show_default=True, help="Least effective events in a bin.")
@click.option("--label", default="", help="Text above the figures.")
@click.option("--force", is_flag=True, help="Replace templates that are there.")
def templates(
    sources: tuple[Path, ...],
    observable: str,
    output: Path,
    estimators: list[str],
    channel: str | None,
    signal: list[str],
    luminosity: float | None,
    lnn: dict[str, str],
    minimum: float,
    label: str,
    force: bool,
) -> None:
    """Write histograms for fits: each process and its variations at the data's luminosity.

    SOURCE is a run, or a recoil table: a file of parquet, a folder of such, or several of these.

    There are a ROOT file and cards for Combine, and for each region a HistFactory workspace for pyhf, a figure and a
    table.
    """
    from ptmiss import verbs

    norms = {name: number(f"--lnn {name}", value) for name, value in lnn.items()}
    source = sources[0] if len(sources) == 1 else sources
    regions = verbs.templates(
        source, observable, output, estimators, channel=channel, signal=signal, luminosity=luminosity, norms=norms,
        minimum=minimum, label=label, force=force,
    )  # fmt: skip
    for region in regions:
        click.echo(f"{region.name}: {len(region.data)} bins, {', '.join(region.processes)}")
        for note in region.notes:
            click.echo(f"  {note}")
    click.echo(output)
