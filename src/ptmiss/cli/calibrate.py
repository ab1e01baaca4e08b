"""The verb ``calibrate``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ptmiss.cli.completion import Words
from ptmiss.cli.options import PATH, Verb, cli, estimators_option, names, note
from ptmiss.errors import Interrupted

CONTEXT = ["qt", "njets", "npv", "boson_rapidity"]


@contextmanager
def kept_flows(output: Path, method: str) -> Iterator[None]:
    """Say after Ctrl-C how flows go on."""
    try:
        yield
    except KeyboardInterrupt:
        if method != "flow":
            raise
        raise Interrupted(f"finished epochs are kept in {output}; the same command with --resume goes on") from None


@cli.command(
    "calibrate",
    cls=Verb,
    short_help="Corrections of simulation to data, for correctionlib.",
    epilog="""
  ptmiss calibrate --data data.parquet --mc dy.parquet \\
      --background ttbar.parquet=0.1775 --estimators puppi --output out/calib
""",
)
@click.option(
    "--data",
    required=True,
    metavar="SOURCE",
    help="Data: recoil table, or DIRECTORY[:DATASET] of a run.",
)
@click.option("--mc", required=True, metavar="SOURCE", help="The simulated signal, in the same form.")
@click.option(
    "--background",
    "backgrounds",
    multiple=True,
    metavar="SOURCE[=FACTOR]",
    help="A simulated background, and a factor for its weights. [default: from metadata]",
)
@estimators_option("-e", "--estimators", help="Those to calibrate.")
@click.option("-o", "--output", type=PATH, required=True, help="Directory for corrections, tables and figures.")
@click.option(
    "--minimum", type=float, default=300, show_default=True, help="Least effective events in a class of nJets."
)
@click.option(
    "--pileup/--no-pileup", default=True, show_default=True, help="Reweight simulated tables to the data's vertices."
)
@click.option(
    "--method",
    type=click.Choice(["gaussians", "flow"]),
    default="gaussians",
    show_default=True,
    help="A map for each component, or one flow for all estimators.",
)
@click.option(
    "--context",
    callback=names,
    default="qt,njets,npv",
    show_default=True,
    type=Words("A,B,…", lambda: CONTEXT, several=True),
    help="What a flow depends on, boson_rapidity too if tables have it.",
)
@click.option(
    "--subtraction",
    type=click.Choice(["negative", "share"]),
    default="negative",
    show_default=True,
    help="Backgrounds of a flow: events of negative weight, or weights of data.",
)
@click.option("--members", type=click.IntRange(2), default=8, show_default=True, help="Flows of the ensemble.")
@click.option("--epochs", type=click.IntRange(1), default=None, help="Longest training of a flow.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the flows.")
@click.option("--resume", is_flag=True, help="Go on with the flows of a calibration that was stopped.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that fit Gaussians and draw."
)
@click.option("--closure", is_flag=True, help="Also derive corrections on half of the events, and test on the rest.")
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
    method: str,
    context: list[str],
    subtraction: str,
    members: int,
    epochs: int | None,
    seed: int,
    resume: bool,
    workers: int,
    closure: bool,
    era: str,
    order: str,
    label: str,
    force: bool,
) -> None:
    """Calibrate the recoil of simulation to data: corrections for correctionlib, with uncertainties."""
    from ptmiss import verbs
    from ptmiss.progress import progress_bar, progress_callback

    options: dict[str, Any] = {
        "minimum": minimum,
        "pileup": pileup,
        "workers": workers,
        "test": closure,
        "era": era,
        "order": order,
        "label": label,
    }
    if method == "flow":
        recipe = {"seed": seed} | ({} if epochs is None else {"epochs": epochs})
        options["flow"] = {"context": tuple(context), "members": members, "subtraction": subtraction, "recipe": recipe}
    options |= {"method": method, "resume": resume, "force": force}
    with progress_bar() as bar:
        show = progress_callback(bar)
        with kept_flows(output, method):
            made = verbs.calibrate(data, mc, output, estimators, backgrounds, progress=show, **options)
    click.echo(made.path)
    if not made.maps:
        note(
            "XY lines and pile-up weights alone, since these runs were filled without; "
            f"next: ptmiss run … --corrections {made.path}, then ptmiss calibrate of those runs"
        )
