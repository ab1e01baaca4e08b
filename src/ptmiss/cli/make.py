"""The verb ``make``: it runs other verbs with the options that a project's configuration has for them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptmiss.cli.options import PATH, Stopped, Verb, cli, quiet
from ptmiss.errors import FileError

if TYPE_CHECKING:
    from ptmiss.project import Step

OWN = ("force", "resume", "verbose", "quiet", "help")  # options that are for this verb to decide


@cli.command(
    "make",
    cls=Verb,
    kept="finished steps, and chunks of this one, are kept; the same command continues",
    short_help="Run what is missing or out of date in a project.",
    epilog="""
  ptmiss init first 'nano_*.root' && ptmiss make -C first
  ptmiss make --dry-run       # the commands, here
  ptmiss make calibrate       # this step, and those that it needs
""",
)
@click.argument("names", nargs=-1, metavar="[STEP]...")
@click.option("-C", "--directory", type=PATH, default=Path(), help="Where the project is.  [default: here]")
@click.option("-n", "--dry-run", is_flag=True, help="Print the commands, and run none.")
@click.option("--force", is_flag=True, help="Run all steps again, and replace what is there.")
def make(names: tuple[str, ...], directory: Path, dry_run: bool, force: bool) -> None:
    """Run the STEPs of ptmiss.toml, or all of them, that are missing or out of date, and those that they need.

    A section of the file is a verb, [skim], or one of several steps of it, [resolution.dy]; its keys are the verb's
    options, and names of its arguments. A list is given for each time, or with commas. Keys above all sections are for
    every verb that has such an option. A step is out of date if its options or files that they name are others than
    when it ran.
    """
    from ptmiss import project

    if not directory.is_dir():
        raise FileError(f"no such directory: {directory}")
    with chdir(directory):
        steps = project.read({verb: options_of(command) for verb, command in verbs().items()}).chosen(names)
        parsed = {step.name: arguments(step) for step in steps.steps}
        for step in steps.steps:
            _parse(step, parsed[step.name])
        todo = list(steps.steps) if force else steps.outdated()
        if not todo:
            click.echo("all is up to date")
        for step in todo:
            click.echo(shlex.join(["ptmiss", step.verb, *parsed[step.name]]))
            if not dry_run:
                _run(step, parsed[step.name], force)


def verbs() -> dict[str, click.Command]:
    """The verbs that write something."""
    return {name: verb for name, verb in cli.commands.items() if "output" in options_of(verb)}


def options_of(command: click.Command) -> dict[str, click.Parameter]:
    """Options by their long names without dashes, and arguments by theirs."""
    found = {_name(parameter): parameter for parameter in command.params}
    return {name: parameter for name, parameter in found.items() if name not in OWN}


def _name(parameter: click.Parameter) -> str:
    """What a configuration calls a parameter."""
    if isinstance(parameter, click.Argument):
        return str(parameter.name)
    return max(parameter.opts, key=len).lstrip("-")


def arguments(step: Step) -> list[str]:
    """The arguments of a step's command."""
    parameters = options_of(cli.commands[step.verb])
    positional: list[str] = []
    options: list[str] = []
    for name, value in step.options.items():
        parameter = parameters[name]
        texts = [f"{value}"] if isinstance(value, str | int | float) else list(_texts(value))
        if isinstance(parameter, click.Argument):
            positional += texts
        else:
            options += _option(parameter, value, texts)
    return [*positional, *options]


def _texts(value: Sequence[Any] | Mapping[str, Any]) -> Iterator[str]:
    """The words of a list, or ``NAME=VALUE`` of a table."""
    if isinstance(value, Mapping):
        yield from (f"{name}={each}" for name, each in value.items())
    else:
        yield from map(str, value)


def _option(option: click.Parameter, value: Any, texts: list[str]) -> list[str]:
    """An option with its value, as often as it takes one; a switch if the value is true."""
    long = max(option.opts, key=len)
    if isinstance(value, bool):
        return [long] if value else option.secondary_opts[-1:]
    if option.multiple:
        return [word for text in texts for word in (long, text)]
    return [long, ",".join(texts)] if texts and texts != [""] else []


def _parse(step: Step, given: list[str]) -> click.Context:
    """The command of a step, ready to run; an error names the section."""
    try:
        return cli.commands[step.verb].make_context(step.verb, list(given))
    except click.UsageError as error:
        raise click.ClickException(f"[{step.name}] {error.format_message()}") from error


def _run(step: Step, given: list[str], force: bool) -> None:
    """Run a step: it continues what was stopped, and replaces what it made before."""
    from ptmiss.project import steps

    made_of = step.made_of()
    with _parse(step, [*given, *_over(step, force), *(["--quiet"] if quiet() else [])]) as context:
        try:
            context.command.invoke(context)
        except Stopped as error:
            raise Stopped(make.kept) from error  # type: ignore[attr-defined]
    steps.keep(step, made_of)


def _over(step: Step, force: bool) -> list[str]:
    """What to do about what is there: go on where a run was stopped, replace what this step made."""
    from ptmiss import results
    from ptmiss.project import steps
    from ptmiss.runs.skim import parts_of

    output = Path(step.output)
    finished = output.is_file() or (output / results.MANIFEST).is_file()
    resumes = any(parameter.name == "resume" for parameter in cli.commands[step.verb].params)
    if not force and resumes and (not finished or parts_of(output).is_dir()):
        return ["--resume"]
    return ["--force"] if force or step.name in steps.load() else []
