"""The command line: every verb reads its options here and calls one function of the library.

Nothing heavy is imported before a verb runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

from . import calibrate, measure, models, report, run, simulate, train
from .options import cli

__all__ = ["calibrate", "cli", "main", "measure", "models", "report", "run", "runner", "simulate", "train"]


def main() -> None:
    """Entry point of ``ptmiss``."""
    cli(prog_name="ptmiss")


def runner() -> None:
    """Entry point of ``runner``: the same as ``ptmiss run``."""
    run.run(prog_name="runner")
