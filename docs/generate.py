"""What the site shows of the command line, of schemas and of the top of the repository, written into docs/generated."""

from __future__ import annotations

import re
from pathlib import Path

import click

from ptmiss.cli import cli
from ptmiss.runs.fileset import Metadata
from ptmiss.simulation import schema

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\((?:docs/)?(\w+)\.md")
PAGES = {"ARCHITECTURE": "architecture", "CONTRIBUTING": "contributing", "CHANGELOG": "changes", "README": "index"}
WIDTH = 80


def command_line() -> str:
    """The help of every verb."""
    return "\n\n".join(f"## {name}\n\n```text\n{text}\n```" for name, text in helps(cli, "ptmiss"))


def helps(command: click.Command, name: str, parent: click.Context | None = None) -> list[tuple[str, str]]:
    """Names and help texts of a command and of those below it."""
    context = click.Context(command, parent=parent, info_name=name.split()[-1], terminal_width=WIDTH)
    found = [(name, command.get_help(context).rstrip())]
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found += helps(command.commands[below], f"{name} {below}", context)
    return found


def repository(name: str) -> str:
    """A file from the top of the repository, its links made those of the site."""
    text = (ROOT / name).read_text()
    return LINK.sub(lambda link: f"]({PAGES.get(link[1], link[1])}.md", text)


def metadata_keys() -> str:
    """What a fileset may say of a dataset, as a table."""
    rows = [
        f"| `{name}` | {field.description} | `{field.default!r}` |" for name, field in Metadata.model_fields.items()
    ]
    return "\n".join(["| key | what | default |", "| --- | --- | --- |", *rows])


def write(directory: Path) -> None:
    """All of it, a file each."""
    directory.mkdir(exist_ok=True)
    made = {
        "cli": command_line(),
        "metadata": metadata_keys(),
        "branches": schema.describe(),
        "architecture": repository("ARCHITECTURE.md"),
        "contributing": repository("CONTRIBUTING.md"),
    }
    for name, text in made.items():
        (directory / f"{name}.md").write_text(f"{text}\n")


if __name__ == "__main__":
    write(ROOT / "docs" / "generated")
