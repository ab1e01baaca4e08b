"""One page of HTML from results: what was measured, how, and how it was made, without a network or a second file.

``sources`` says what a path is, ``sections`` makes figures and tables of each kind with the functions that measure,
``svg`` and ``hepdata`` write them, ``html`` puts them together.
"""

from ptmiss.reports.html import report

__all__ = ["report"]
