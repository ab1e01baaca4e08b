"""Progress bars on a terminal; nothing where the output is piped."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Rate(ProgressColumn):
    """Events a second."""

    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        return Text(f"{task.speed:.3g}/s" if task.speed else "")


class Read(ProgressColumn):
    """Bytes read from files."""

    def render(self, task: Task) -> Text:
        """The sum so far, once there is one."""
        count = task.fields.get("bytesread", 0)
        return Text(f"{count / 1e6:.0f} MB read" if count else "")


def progress_bar(unit: str = "events") -> Progress:
    """A bar with the units done, their rate, the bytes read and the time left, on a terminal; nothing elsewhere."""
    left = (Read(), TextColumn("left"), TimeRemainingColumn())
    return Progress(
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit), Rate(), *left),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


def shown_by(bar: Progress) -> Callable[[str, int, int], None]:
    """What to call with a name, the events done and all events: each name gets a line of the bar."""
    tasks: dict[str, TaskID] = {}

    def show(name: str, done: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name)
        bar.update(tasks[name], completed=done, total=total)

    return show
