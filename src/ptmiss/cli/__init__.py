"""The command line: every verb reads its options and calls one function of the library.

Heavy packages are imported when a verb runs and not before, so that ``--help`` answers at once.
"""

from __future__ import annotations

from . import (
    calibrate,
    convert,
    explain,
    init,
    make,
    measure,
    models,
    profile,
    report,
    run,
    selection,
    simulate,
    templates,
    train,
)
from .options import cli

__all__ = [
    "calibrate",
    "cli",
    "convert",
    "explain",
    "init",
    "main",
    "make",
    "measure",
    "models",
    "profile",
    "report",
    "run",
    "runner",
    "selection",
    "simulate",
    "templates",
    "train",
]


def main() -> None:
    """Entry point of ``ptmiss``."""
    cli(prog_name="ptmiss")


def runner() -> None:
    """Entry point of ``runner``, which is ``ptmiss run``."""
    run.run(prog_name="runner", help_option_names=["-h", "--help"])
