"""Verbs that train: deepmet, mlpf, study."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ptmiss.cli.options import PATH, Verb, cli, pairs
from ptmiss.errors import OptionError


@cli.group()
def train() -> None:
    """Train networks (needs the extra train)."""


def sources(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, int | None]:
    """Event files, each with =N for its first N events; a file's own name may have a =."""
    found: dict[str, int | None] = {}
    for value in values:
        path, mark, n = value.rpartition("=")
        if not mark or Path(value).exists() or not (n.isdigit() or Path(path).exists()):
            found[value] = None
        elif n.isdigit() and int(n):
            found[path] = int(n)
        else:
            raise click.ClickException(f"expected FILE or FILE=N with N events, not {value!r}")
    return found


def processes(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Files by process, from PROCESS=FILE."""
    for value in values:
        if not all(value.partition("=")):
            raise click.ClickException(f"expected PROCESS=FILE, not {value!r}")
    return {process: path for process, _, path in (value.partition("=") for value in values)}


@train.command(
    "deepmet",
    cls=Verb,
    short_help="DeepMET, or the linear baseline.",
    epilog="""
  ptmiss simulate zmumu -n 20000 --seed 1 --output zmumu.root
  ptmiss simulate ttbar_dilepton -n 10000 --seed 2 --output ttbar.root
  ptmiss train deepmet zmumu.root ttbar.root --epochs 12 --output out/deepmet

Without files it trains on the few embedded events, to see how it goes.
""",
)
@click.argument("events", nargs=-1, callback=sources, metavar="[FILE[=N]]...")
@click.option("--validation", multiple=True, callback=sources, metavar="FILE[=N]", help="Else a tenth of the events.")
@click.option("--output", type=PATH, required=True, help="Directory of weights, card, log and checkpoint.")
@click.option("--name", help="What the model calls itself.  [default: deepmet, or linear]")
@click.option("--network", default="cmssw-v1", show_default=True, metavar="cmssw-v1|jme-24-001|…|linear")
@click.option("--epochs", type=int, default=12, show_default=True)
@click.option("--batch", type=int, default=16, show_default=True, help="Events in a batch.")
@click.option("--rate", type=float, default=1.5e-3, show_default=True, help="Highest learning rate.")
@click.option("--schedule", default="cosine", show_default=True, metavar="cosine|cyclic|constant")
@click.option("--patience", type=int, help="Stop after so many epochs without a better validation loss.")
@click.option("--loss", default="squared", show_default=True, metavar="squared|huber|weighted")
@click.option("--balance", type=float, default=0.0, show_default=True, help="Weight C of the response term.")
@click.option("--form", default="unbiased", show_default=True, metavar="unbiased|published", help="Of that term.")
@click.option("--puppi/--no-puppi", default=True, show_default=True, help="PUPPI weights as a feature.")
@click.option("--biases/--no-biases", default=True, show_default=True, help="Bias terms beside the weights.")
@click.option("--remove-leptons/--keep-leptons", default=True, show_default=True, help="Leading leptons, at random.")
@click.option("--start-from", type=str, metavar="MODEL", help="Weights to begin from, in place of PUPPI's.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda")
@click.option("--force", is_flag=True, help="Begin again where a training is; else it goes on from its checkpoint.")
def train_deepmet(
    events: dict[str, int | None],
    validation: dict[str, int | None],
    output: Path,
    name: str | None,
    force: bool,
    **recipe: Any,
) -> None:
    """Train DeepMET, or the linear baseline, on simulated events with all candidates and truth."""
    from ptmiss.progress import progress_bar, shown_by

    training = _training("ptmiss.models.deepmet.train")
    with progress_bar("batches") as bar:
        log = training.train_files(events, validation, output, name, recipe, force=force, progress=shown_by(bar))
    click.echo(log)


@train.command(
    "mlpf",
    cls=Verb,
    short_help="MLPF, on events with elements and targets.",
    epilog="""
  ptmiss simulate ttbar -n 4000 --pileup 5 --elements -1 --output train.root
  ptmiss simulate qcd -n 500 --seed 2 --pileup 5 --elements -1 --output val.root
  ptmiss train mlpf train.root --validation val.root --output out/mlpf
  ptmiss train mlpf busy.root --validation other.root --init out/mlpf \\
      --rate 5e-4 --output out/mlpf35

Without files it trains on the few embedded events: to see how it goes.
""",
)
@click.argument("events", nargs=-1, callback=sources, metavar="[FILE[=N]]...")
@click.option("--validation", multiple=True, callback=sources, metavar="FILE[=N]", help="Else a tenth of the events.")
@click.option("--output", type=PATH, required=True, help="Directory of weights, card, log and checkpoint.")
@click.option("--name", default="mlpf", show_default=True, help="What the model calls itself.")
@click.option(
    "--preset", default="compact", show_default=True, metavar="compact|exact|lsh|gnn-lsh-2021|cms-v220", help="Network."
)
@click.option("--inputs", metavar="compact|cms|clic", help="Features.  [default: the preset's, as below]")
@click.option("--width", type=int, help="Of what an element carries through the layers.")
@click.option("--layers", type=int, help="How many.")
@click.option("--heads", type=int, help="Of the attention.")
@click.option("--hidden", type=int, help="Width inside of the feed-forward parts.")
@click.option("--window", type=int, help="Elements that see each other, or of a bin.")
@click.option("--attention", metavar="window|exact", help="Exact: all elements of an event see each other.")
@click.option("--epochs", type=int, default=10, show_default=True)
@click.option("--budget", type=int, default=6000, show_default=True, help="Elements in a batch.")
@click.option("--parts", type=int, default=1, show_default=True, help="Epochs that together see every event once.")
@click.option("--rate", type=float, default=2e-3, show_default=True, help="Highest learning rate.")
@click.option("--decay", type=float, default=0.01, show_default=True, help="Of the weights (AdamW).")
@click.option("--warm-up", type=float, default=0.03, show_default=True, help="Share of steps in which the rate rises.")
@click.option("--average", type=float, default=0.998, show_default=True, help="Of the weights over steps; 0 for none.")
@click.option("--patience", type=int, help="Stop after so many epochs without a better validation loss.")
@click.option("--loss", default="ours", show_default=True, metavar="ours|focal|2021|v2.2.0")
@click.option(
    "--term",
    callback=pairs,
    multiple=True,
    metavar="NAME=WEIGHT",
    help="Of the loss: classes, pt, energy, angles, expected, local, missing; 0 leaves it out.",
)
@click.option("--init", type=str, metavar="MODEL", help="Weights to go on from.")
@click.option("--limit-events", "limit", type=click.IntRange(1), help="Of each file.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda")
@click.option("--precision", default="float32", show_default=True, metavar="float32|bfloat16")
@click.option("--force", is_flag=True, help="Begin again where a training is; else it goes on from its checkpoint.")
def train_mlpf(
    events: dict[str, int | None],
    validation: dict[str, int | None],
    output: Path,
    name: str,
    limit: int | None,
    force: bool,
    **recipe: Any,
) -> None:
    """Train MLPF on simulated events with particle-flow elements and their truth."""
    from ptmiss.progress import progress_bar, shown_by

    training = _training("ptmiss.models.mlpf.train")
    with progress_bar("batches") as bar:
        log = training.train_files(
            events, validation, output, name, recipe, limit=limit, force=force, progress=shown_by(bar)
        )
    click.echo(log)


@train.command(
    "study",
    cls=Verb,
    short_help="What a choice of the training is worth.",
    epilog="""
  ptmiss train study balance --training zmumu=zmumu.root \\
      --training zmumu_boosted=boosted.root --training ttbar_dilepton=tt.root \\
      --test other.root --output out/studies
  ptmiss train study all … --events 4000 --epochs 4 --output out/studies

Each study trains the base, the base with two other seeds, and its variants, 36
trainings for all. A training that is in the output already, of the same
configuration and events, is not repeated.
""",
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--training", multiple=True, callback=processes, metavar="PROCESS=FILE", help="Events of each process.")
@click.option("--test", "tests", multiple=True, required=True, metavar="FILE", help="Events to compare on, each once.")
@click.option("--output", type=PATH, required=True, help="Directory of tables, figures and trainings.")
@click.option("--events", type=click.IntRange(10), default=4000, show_default=True, help="That the base is trained on.")
@click.option("--epochs", type=int, default=4, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda")
def train_study(
    names: tuple[str, ...],
    training: dict[str, str],
    tests: tuple[str, ...],
    output: Path,
    events: int,
    **recipe: Any,
) -> None:
    """What a choice of the training is worth: NAME is seeds, balance, ttbar, size, network, puppi, leptons, biases,
    better, continued, or all."""
    from ptmiss.progress import progress_bar, shown_by

    studies, recipes = (_training(f"ptmiss.models.deepmet.{module}") for module in ("studies", "recipe"))
    chosen = _training("ptmiss.models.workflow").checked(recipes.Recipe, recipe)
    wanted = list(studies.STUDIES) if "all" in names else list(names)
    with progress_bar("batches") as bar:
        found = dict(studies.study(wanted, training, tests, output, events, chosen, shown_by(bar)))
    for name, table in found.items():
        studies.study_tables.show(name, table)
    click.echo(f"tables and figures -> {output}")


def _training(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise OptionError("training needs torch, the extra train: pip install 'ptmiss[train]'") from error
