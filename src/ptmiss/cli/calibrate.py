"""The verb calibrate."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from ptmiss.cli.options import PATH, Verb, cli, names


@cli.command(
    "calibrate",
    cls=Verb,
    short_help="Corrections of simulation to data, for correctionlib.",
    epilog="""
  ptmiss calibrate --data data.parquet --mc dy.parquet \\
      --background ttbar.parquet=0.1775 --estimators puppi --output out/calib
""",
)
@click.option("--data", required=True, metavar="SOURCE", help="Recoil table, or DIRECTORY[:DATASET] of a run.")
@click.option("--mc", required=True, metavar="SOURCE", help="The same of the simulated signal.")
@click.option(
    "--background",
    "backgrounds",
    multiple=True,
    metavar="SOURCE[=FACTOR]",
    help="Simulated background and what its weights are multiplied by. [default: from metadata]",
)
@click.option(
    "--estimators", callback=names, default="pf,puppi", show_default=True, metavar="A,B,…", help="What to calibrate."
)
@click.option("--output", type=PATH, required=True, help="Directory for corrections, tables and figures.")
@click.option("--minimum", type=float, default=300, show_default=True, help="Effective events of a bin of the fits.")
@click.option(
    "--pileup/--no-pileup", default=True, show_default=True, help="Weigh simulated tables to the data's vertices."
)
@click.option("--closure", is_flag=True, help="Also derive on half of the events and test on the other half.")
@click.option("--era", default="all", show_default=True, help="Key of the files in CMS's layout.")
@click.option("--order", default="any", show_default=True, help="Key of the files in CMS's layout.")
@click.option("--label", default="", help="Text above the figures.")
@click.option("--force", is_flag=True, help="Replace results that are there.")
def calibrate(
    data: str,
    mc: str,
    backgrounds: tuple[str, ...],
    estimators: list[str],
    output: Path,
    minimum: float,
    pileup: bool,
    closure: bool,
    era: str,
    order: str,
    label: str,
    force: bool,
) -> None:
    """Calibrate the recoil of simulation to data: corrections for correctionlib, with uncertainties."""
    from ptmiss import results

    results.check_writable(output, force)
    derive = import_module("ptmiss.calibration.report").calibrate
    path = derive(
        data,
        mc,
        backgrounds,
        estimators,
        output,
        minimum=minimum,
        pileup=pileup,
        test=closure,
        era=era,
        order=order,
        label=label,
    )
    click.echo(path)
