"""The verb ``explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ptmiss.cli.completion import Words
from ptmiss.cli.completion import models as models_of_the_package
from ptmiss.cli.options import PATH, Verb, boson_options, cli, estimators_option, figure_options


@cli.command(
    "explain",
    cls=Verb,
    short_help="Why a network answers as it does.",
    epilog="""
  ptmiss explain deepmet zmumu.root --output out/explained
  ptmiss explain mlpf zmumu.root --output out/elements
  ptmiss report out/explained out/elements --output out/explained.html
""",
)
@click.argument("model", type=Words("MODEL", models_of_the_package))
@click.argument("files", nargs=-1, required=True)
@click.option("-o", "--output", type=PATH, help="Directory for tables and figures; without it tables are printed.")
@estimators_option("--against", help="Estimators whose recoil is taken apart beside it.")
@boson_options(replicas=200)
@click.option("--seed", type=int, default=1, show_default=True, help="Of what is shuffled and drawn.")
@figure_options()
def explain(model: str, files: tuple[str, ...], output: Path | None, **options: Any) -> None:
    """Explain a MODEL on event FILES.

    Of a network that weighs candidates, on events with a boson: the recoil is taken apart into sums over kinds,
    regions, vertices and pT; each input of the network is turned and shuffled; integrated gradients are a check.

    Of an MLPF, on events with elements: which elements made its candidates, the first 100 events if --max-events is
    not given. --against, --selection and --replicas are not for it.
    """
    from ptmiss import explanation, verbs
    from ptmiss.events import expand
    from ptmiss.progress import progress_bar, progress_callback

    with progress_bar() as bar:
        found = verbs.explain(model, expand(files), output, progress=progress_callback(bar), **options)
    explanation.show(found)
    if output is not None:
        click.echo(output)
