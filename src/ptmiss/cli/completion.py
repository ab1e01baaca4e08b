"""Values that the shell completes. Whether one is right is decided where it is used, with the nearest in the error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


class Words(click.ParamType):
    """A word, or several with commas, of some that are known.

    text: what the help shows, ``a|b|c``. known: the words if the text is another, looked up when the shell asks.
    """

    def __init__(self, text: str, known: Callable[[], Iterable[str]] | None = None, several: bool = False):
        self.name = text
        self.known = known or (lambda: (word for word in text.split("|") if word != "…"))
        self.several = several

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """What the help shows in place of the value."""
        return self.name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The words that begin like what was typed; of several, like the last."""
        before, comma, last = incomplete.rpartition(",") if self.several else ("", "", incomplete)
        return [CompletionItem(f"{before}{comma}{word}") for word in self.known() if word.startswith(last)]


def models() -> list[str]:
    """Names of the models of the package, without importing what runs them."""
    shipped = Path(__file__).parents[1] / "models" / "shipped"
    return sorted(path.parent.name for path in shipped.glob("*/*.safetensors"))


NO_ESTIMATORS = ("superclusters",)
"""Models that make no pTmiss."""


def estimators() -> list[str]:
    """Names of estimators; that of a stored MET is begun."""
    return [
        "pf",
        "puppi",
        "track",
        "stored.",
        "mlpf_puppi",
        "deepmet_mlpf",
        *(name for name in models() if name not in NO_ESTIMATORS),
    ]


def processors() -> list[str]:
    """Names of processors."""
    return sorted(point.name for point in entry_points(group="ptmiss.processors"))


def processes() -> list[str]:
    """Names of simulated processes."""
    from ptmiss.simulation import PROCESSES

    return list(PROCESSES)
