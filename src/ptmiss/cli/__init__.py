"""The command line: every verb reads its options here and calls one function of the library.

Nothing heavy is imported before a verb runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

from . import calibrating, measuring, models, reporting, running, simulating, training
from .options import cli

__all__ = [
    "calibrating",
    "cli",
    "main",
    "measuring",
    "models",
    "reporting",
    "runner",
    "running",
    "simulating",
    "training",
]


def main() -> None:
    """Entry point of ``ptmiss``."""
    cli(prog_name="ptmiss")


def runner() -> None:
    """Entry point of ``runner``: the same as ``ptmiss run``."""
    running.run(prog_name="runner")
