"""The verbs of ``ptmiss train``: deepmet, mlpf, superclusters, study."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ptmiss.cli.completion import Words
from ptmiss.cli.options import PATH, Verb, cli, max_events_option, pairs, training_events, training_options
from ptmiss.errors import needs_torch


@cli.group()
def train() -> None:
    """Train networks (needs the extra train)."""


class RecipeVerb(Verb):
    """A verb with options of a recipe. The recipe has their defaults, which the help shows."""

    def __init__(self, *args: Any, recipe: str, **options: Any):
        super().__init__(*args, **options)
        self.recipe = recipe

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options with the recipe's defaults; without any if torch is missing, which recipes import."""
        try:
            fields = import_module(self.recipe).Recipe.model_fields
        except ModuleNotFoundError:
            fields = {}
        shown = copy(self)
        shown.params = [copy(parameter) for parameter in self.params]
        for option in shown.params:
            if isinstance(option, click.Option) and option.name in fields:
                option.default, option.show_default = fields[option.name].default, not option.multiple
        super(RecipeVerb, shown).format_options(ctx, formatter)


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options on the command line; the recipe has defaults for the others."""
    return {name: value for name, value in options.items() if value not in (None, {})}


def processes(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Options of the form PROCESS=FILE as files by process."""
    for value in values:
        if not all(value.partition("=")):
            raise click.ClickException(f"expected PROCESS=FILE, not {value!r}")
    return {process: path for process, _, path in (value.partition("=") for value in values)}


@train.command(
    "deepmet",
    cls=RecipeVerb,
    kept="finished epochs are kept in {output}; the same command continues",
    recipe="ptmiss.models.deepmet.recipe",
    short_help="DeepMET, or the linear baseline.",
    epilog="""
  ptmiss simulate zmumu -n 20000 --seed 1 --output zmumu.root
  ptmiss simulate ttbar_dilepton -n 10000 --seed 2 --output ttbar.root
  ptmiss train deepmet zmumu.root ttbar.root --epochs 12 --output out/deepmet
  ptmiss train deepmet elements.root --candidates mlpf --network neighbours \\
      --start-from deepmet_local --output out/particles
  ptmiss train deepmet elements.root --candidates mlpf --network latents \\
      --start-from deepmet_particles --output out/latents
  ptmiss train deepmet zmumu.root --epochs 3 --tune 30 --output out/search

Without files it trains on the few embedded events, as a trial.
""",
)
@training_events
@click.option("--name", help="Name of the model.  [default: deepmet, or linear]")
@click.option(
    "--candidates",
    default="pf",
    show_default=True,
    type=Words("pf|mlpf|elements|targets|…"),
    help="Candidates to train on: the files', or those made of the files' elements; also the weights of an MLPF.",
)
@click.option("--network", type=Words("cmssw-v1|jme-24-001|neighbours|latents|attention|…|linear"))
@click.option("--batch", type=int, help="Events in a batch.")
@click.option("--schedule", type=Words("cosine|cyclic|constant"))
@click.option("--warm", type=int, help="Steps towards PUPPI weights before the first epoch.")
@click.option("--choice", type=Words("best|last"), help="Epoch that is kept: least validation loss, or the last.")
@click.option("--loss", type=Words("squared|huber|weighted"))
@click.option("--balance", type=float, help="Weight C of the response term.")
@click.option("--form", type=Words("unbiased|published"), help="Form of that term.")
@click.option("--puppi/--no-puppi", default=None, help="PUPPI weights as a feature.")
@click.option("--biases/--no-biases", default=None, help="Bias terms beside the weights.")
@click.option("--remove-leptons/--keep-leptons", default=None, help="Remove leading leptons at random.")
@training_options
def train_deepmet(
    events: dict[str, int | None],
    validation: dict[str, int | None],
    output: Path,
    name: str | None,
    candidates: str,
    tune: int | None,
    force: bool,
    **recipe: Any,
) -> None:
    """Train DeepMET, or the linear baseline, on simulated events with all candidates and truth."""
    from ptmiss.progress import progress_bar, progress_callback

    with needs_torch("training"):
        from ptmiss.models.deepmet.train import train_files
    with progress_bar() as bar:
        how: dict[str, Any] = {
            "candidates": candidates,
            "tune": tune,
            "force": force,
            "progress": progress_callback(bar),
        }
        log = train_files(events, validation, output, name, given(recipe), **how)
    click.echo(log)


@train.command(
    "mlpf",
    cls=RecipeVerb,
    kept="finished epochs are kept in {output}; the same command continues",
    recipe="ptmiss.models.mlpf.recipe",
    short_help="MLPF, on events with elements and targets.",
    epilog="""
  ptmiss simulate ttbar -n 4000 --pileup 5 --elements -1 --output train.root
  ptmiss simulate qcd -n 500 --seed 2 --pileup 5 --elements -1 --output val.root
  ptmiss train mlpf train.root --validation val.root --output out/mlpf
  ptmiss train mlpf busy.root --validation other.root --start-from out/mlpf \\
      --rate 5e-4 --output out/mlpf35
  ptmiss train mlpf other.root --start-from mlpf --inputs cms --output out/other

Without files it trains on the few embedded events, as a trial.
""",
)
@training_events
@click.option("--name", default="mlpf", show_default=True, help="Name of the model.")
@click.option("--network", "preset", type=Words("compact|exact|lsh|gnn-lsh-2021|cms-v220|clic|cld"), help="Network.")
@click.option(
    "--inputs",
    type=Words("compact|gsf|cms|clic"),
    help="Features; with --start-from a new encoder.  [default: the preset's, as for the next six]",
)
@click.option("--width", type=int, help="Number of values of an element between the layers.")
@click.option("--layers", type=int, help="Number of layers.")
@click.option("--heads", type=int, help="Number of heads of the attention.")
@click.option("--hidden", type=int, help="Width inside the feed-forward parts.")
@click.option("--window", type=int, help="Number of elements in a window or bin, which see each other.")
@click.option("--attention", type=Words("window|exact"), help="Exact: all elements of an event see each other.")
@click.option("--budget", type=int, help="Most elements in a batch.")
@click.option("--parts", type=int, help="Number of epochs to go once through all events.")
@click.option("--decay", type=float, help="Decay of the weights (AdamW).")
@click.option("--warm-up", type=float, help="Share of steps in which the rate rises.")
@click.option("--loss", type=Words("ours|focal|2021|v2.2.0"))
@click.option(
    "--term",
    callback=pairs,
    multiple=True,
    metavar="NAME=WEIGHT",
    help="Weight of a term of the loss: classes, pt, energy, angles, expected, local, missing; 0 leaves it out.",
)
@max_events_option
@click.option("--precision", type=Words("float32|bfloat16"))
@training_options
def train_mlpf(
    events: dict[str, int | None],
    validation: dict[str, int | None],
    output: Path,
    name: str,
    max_events: int | None,
    tune: int | None,
    force: bool,
    **recipe: Any,
) -> None:
    """Train MLPF on simulated events with particle-flow elements and their truth."""
    from ptmiss.progress import progress_bar, progress_callback

    with needs_torch("training"):
        from ptmiss.models.mlpf.train import train_files
    with progress_bar() as bar:
        log = train_files(
            events,
            validation,
            output,
            name,
            given(recipe),
            max_events=max_events,
            tune=tune,
            force=force,
            progress=progress_callback(bar),
        )
    click.echo(log)


@train.command(
    "superclusters",
    cls=RecipeVerb,
    kept="finished epochs are kept in {output}; the same command continues",
    recipe="ptmiss.models.superclusters.recipe",
    short_help="Which ECAL clusters are of one electron or photon.",
    epilog="""
  ptmiss simulate zee_fiducial -n 2000 --set material=1 --elements -1 \\
      --output zee.root
  ptmiss train superclusters zee.root --output out/superclusters
""",
)
@training_events
@click.option("--name", default="superclusters", show_default=True, help="Name of the model.")
@click.option("--width", type=int, help="Number of values of a cluster between the layers.")
@click.option("--layers", type=int, help="Number of layers.")
@click.option("--batch", type=int, help="Windows in a batch.")
@click.option("--energy", type=float, help="Weight of the energy in the loss.")
@click.option("--epochs", type=int)
@click.option("--rate", type=float, help="Highest learning rate.")
@click.option("--patience", type=int, help="Epochs without a better validation loss after which to stop.")
@click.option("--seed", type=int)
@click.option("--force", is_flag=True, help="Begin again; else a training in the output continues from its checkpoint.")
def train_superclusters(
    events: dict[str, int | None],
    validation: dict[str, int | None],
    output: Path,
    name: str,
    force: bool,
    **recipe: Any,
) -> None:
    """Train the network of superclusters on simulated events with material in the tracker."""
    from ptmiss.progress import progress_bar, progress_callback

    with needs_torch("training"):
        from ptmiss.models.superclusters.train import train_files
    with progress_bar() as bar:
        how: dict[str, Any] = {"force": force, "progress": progress_callback(bar)}
        log = train_files(events, validation, output, name, given(recipe), **how)
    click.echo(log)


@train.command(
    "study",
    cls=Verb,
    kept="finished trainings are kept in {output}; the same command continues",
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
@click.option("--test", "tests", multiple=True, required=True, metavar="FILE", help="Events to compare on, unweighted.")
@click.option("-o", "--output", type=PATH, required=True, help="Directory of tables, figures and trainings.")
@click.option("--events", type=click.IntRange(10), default=4000, show_default=True, help="Training events of the base.")
@click.option("--epochs", type=int, default=4, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True, type=Words("cpu|cuda"))
def train_study(
    names: tuple[str, ...],
    training: dict[str, str],
    tests: tuple[str, ...],
    output: Path,
    events: int,
    **recipe: Any,
) -> None:
    """Measure what choices of the training are worth.

    NAME is seeds, balance, ttbar, size, network, puppi, leptons, biases, better, continued, or all.
    """
    from ptmiss.progress import progress_bar, progress_callback

    with needs_torch("training"):
        from ptmiss.models import workflow
        from ptmiss.models.deepmet import studies, study_tables
        from ptmiss.models.deepmet.recipe import Recipe
    chosen = workflow.make_recipe(Recipe, recipe)
    wanted = list(studies.STUDIES) if "all" in names else list(names)
    with progress_bar() as bar:
        found = dict(studies.study(wanted, training, tests, output, events, chosen, progress_callback(bar)))
    for name, table in found.items():
        study_tables.show(name, table)
    click.echo(f"tables and figures -> {output}")
