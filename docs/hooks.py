"""What mkdocs does beside: one tree of the package's sources, and pages made of the command line and of tables."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click
from mkdocs.plugins import event_priority

from ptmiss import errors
from ptmiss.cli import cli
from ptmiss.fileset import Metadata
from ptmiss.simulation import schema

ROOT = Path(__file__).resolve().parents[1]
WINGS = ("processors", "models", "calibration")
MARK = re.compile(r"^\{\{ (\w+)(?: (\S+))? \}\}$", re.MULTILINE)
LINK = re.compile(r"\]\((?:docs/)?(\w+)\.md")
PAGES = {"ARCHITECTURE": "architecture", "CONTRIBUTING": "contributing", "CHANGELOG": "changes", "README": "index"}
WIDTH = 80
TREE = Path(tempfile.gettempdir()) / f"ptmiss-docs-{os.getpid()}"
SOURCES_ONLY = shutil.ignore_patterns("__pycache__", "data", "shipped")


@event_priority(100)  # before mkdocstrings reads it
def on_config(config: Any) -> Any:
    """Give the reference one tree with the wings inside the package, as it is when installed."""
    shutil.rmtree(TREE, ignore_errors=True)
    for source in (ROOT / "src" / "ptmiss", *(ROOT / wing for wing in WINGS)):
        under = "ptmiss" if source.name == "ptmiss" else f"ptmiss/{source.name}"
        shutil.copytree(source, TREE / under, ignore=SOURCES_ONLY)
    config.plugins["mkdocstrings"].config["handlers"]["python"]["paths"] = [str(TREE)]
    return config


def on_post_build(**_: Any) -> None:
    """Remove that tree."""
    shutil.rmtree(TREE, ignore_errors=True)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what a mark like ``{{ cli }}`` stands for in its place."""
    return MARK.sub(lambda mark: MADE[mark[1]](*filter(None, mark.groups()[1:])), markdown)


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


def data_card() -> str:
    """The card of the embedded sample, below a heading of the page."""
    return (ROOT / "src" / "ptmiss" / "data" / "README.md").read_text().replace("# The embedded", "## The embedded")


def metadata_keys() -> str:
    """What a fileset may say of a dataset, as a table."""
    rows = [f"| `{name}` | {field.description} | {field.default!r} |" for name, field in Metadata.model_fields.items()]
    return "\n".join(["| key | what | default |", "| --- | --- | --- |", *rows])


def error_tree() -> str:
    """The tree of errors."""
    return f"```text\n{(errors.__doc__ or '').partition(chr(10) * 2)[2].strip()}\n```"


MADE = {
    "cli": command_line,
    "branches": schema.describe,
    "repository": repository,
    "sample": data_card,
    "metadata": metadata_keys,
    "errors": error_tree,
}
