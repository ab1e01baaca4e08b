"""``python -m ptmiss`` is the command ``ptmiss``."""

from ptmiss.cli import main

main()
