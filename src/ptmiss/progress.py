"""Progress on a terminal, nothing where the output is piped; and the log, which tells the same in lines.

``logging.getLogger("ptmiss")`` has every step at level INFO. The command line prints it with ``--verbose``; a notebook
shows it after ``logging.basicConfig(level="INFO")``.
"""

from __future__ import annotations

import logging
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

UNITS = {"training": "batches", "warm start": "batches", "fit": "batches"}
UNITS |= {name: name for name in ("fits", "sources", "tables", "figures")}
"""What is counted by the name of the work; events elsewhere."""

log = logging.getLogger("ptmiss")

Callback = Callable[[str, int, int], None]
"""Called with the name of the work, the units done, and all units."""


class Rate(ProgressColumn):
    """Events per second."""

    def render(self, task: Task) -> Text:
        """The rate as text; empty before the first update."""
        return Text(f"{task.speed:.3g}/s" if task.speed else "")


class BytesRead(ProgressColumn):
    """Bytes read from files."""

    def render(self, task: Task) -> Text:
        """The sum so far as text; empty while it is zero."""
        count = task.fields.get("bytesread", 0)
        return Text(f"{count / 1e6:.0f} MB read" if count else "")


def progress_bar() -> Progress:
    """A bar with the units done, their rate, the bytes read and the time left; silent if there is no terminal."""
    done = (TextColumn("{task.description}"), BarColumn(10), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"))
    return Progress(
        *(*done, Rate(), BytesRead(), TextColumn("left"), TimeRemainingColumn()),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty() or log.level > logging.WARNING,
        transient=True,
    )


def progress_callback(bar: Progress) -> Callback:
    """A function of a name, the units done and all units, which shows them: each name has a line of the bar.

    What follows a colon in the name may change: ``training: loss 0.12``.
    """
    tasks: dict[str, TaskID] = {}

    def show(name: str, done: int, total: int) -> None:
        work = name.partition(":")[0]
        if work not in tasks:
            tasks[work] = bar.add_task(name, unit=UNITS.get(work, "events"))
        bar.update(tasks[work], description=name, completed=done, total=total)

    return show
