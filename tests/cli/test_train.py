import click
import pytest
from click.testing import CliRunner

from ptmiss.cli import cli
from ptmiss.cli import train as verbs

pytest.importorskip("torch")

from ptmiss.models.deepmet.recipe import Recipe as DeepmetRecipe
from ptmiss.models.mlpf.recipe import Recipe as MlpfRecipe
from ptmiss.models.workflow import make_recipe

OF_NO_RECIPE = {
    "events",
    "validation",
    "output",
    "name",
    "max_events",
    "tune",
    "force",
    "verbose",
    "quiet",
    "candidates",
}
KINDS = pytest.mark.parametrize(("kind", "recipe"), [("deepmet", DeepmetRecipe), ("mlpf", MlpfRecipe)])


def command(kind):
    return cli.commands["train"].commands[kind]


@KINDS
def test_what_is_not_given_is_the_recipes(kind, recipe):
    context = command(kind).make_context(kind, ["--output", "out"])
    options = {name: value for name, value in context.params.items() if name not in OF_NO_RECIPE}
    assert verbs.given(options) == {}
    assert make_recipe(recipe, verbs.given(options)) == recipe()


@KINDS
def test_help_shows_the_recipes_defaults(kind, recipe):
    text = " ".join(CliRunner().invoke(cli, ["train", kind, "--help"], terminal_width=300).output.split())
    for option in command(kind).params:
        if option.name in OF_NO_RECIPE:
            continue
        default = recipe.model_fields[option.name].default
        if isinstance(default, bool):
            default = option.opts[0].removeprefix("--")
        if isinstance(default, int | float | str):
            assert f"[default: {default}]" in text


def test_what_is_given_overrides_the_recipe():
    arguments = ["--output", "out", "--epochs", "3", "--average", "0", "--term", "missing=0.5"]
    options = command("mlpf").make_context("mlpf", arguments).params
    chosen = make_recipe(MlpfRecipe, verbs.given({k: v for k, v in options.items() if k not in OF_NO_RECIPE}))
    assert (chosen.epochs, chosen.average, chosen.term.missing, chosen.term.pt) == (3, 0, 0.5, 1)
    options = command("deepmet").make_context("deepmet", ["--output", "out", "--no-puppi"]).params
    assert (options["puppi"], options["biases"]) == (False, None)


def test_without_torch_help_has_no_defaults(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(verbs, "import_module", missing)
    shown = CliRunner().invoke(command("deepmet"), ["--help"])
    assert shown.exit_code == 0
    assert isinstance(command("deepmet"), click.Command)
    assert "--balance FLOAT" in shown.output
