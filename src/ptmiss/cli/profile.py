"""The verb ``profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ptmiss.cli.completion import Words
from ptmiss.cli.completion import models as models_of_the_package
from ptmiss.cli.options import PATH, Verb, cli, figure_options, whole_numbers


@cli.command(
    "profile",
    cls=Verb,
    short_help="Where a network spends its time.",
    epilog="""
  ptmiss profile deepmet --output out/profile
  ptmiss profile mlpf --sizes 500,2000,5000 --threads 1,2
""",
)
@click.argument("model", type=Words("MODEL", models_of_the_package))
@click.option("-o", "--output", type=PATH, help="Directory for table and figure; without it tables are printed.")
@click.option(
    "--sizes",
    callback=whole_numbers,
    default="100,300,1000,3000,10000",
    show_default=True,
    metavar="N,…",
    help="Candidates, or elements of an MLPF, of an event.",
)
@click.option(
    "--threads",
    callback=whole_numbers,
    default="1",
    show_default=True,
    metavar="N,…",
    help="Of an MLPF; a DeepMET always runs in one.",
)
@click.option("--repeats", type=click.IntRange(1), default=7, show_default=True, help="Repetitions; the best counts.")
@figure_options(what="figure")
def profile(model: str, output: Path | None, force: bool, **options: Any) -> None:
    """Profile a MODEL: time, operations and memory of each layer against the number of candidates or elements."""
    from ptmiss import verbs
    from ptmiss.explanation import profiles

    profiles.show(verbs.profile(model, output, force=force, **options))
    if output is not None:
        click.echo(output)
