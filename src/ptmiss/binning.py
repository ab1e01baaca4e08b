"""Edges of the bins of qT and of the number of vertices: those of CMS-JME-24-001 and its public analysis code."""

from __future__ import annotations

QT_EDGES = (0, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100, 120, 140, 170, 200, 230, 260, 290, 350)
"""GeV."""
NPV_EDGES = (4.5, 7.5, 9.5, 11.5, 13.5, 15.5, 17.5, 19.5, 21.5, 23.5, 27.5, 31.5, 35.5, 40.6, 50.5, 60.5, 80.5, 100.5)
"""Published up to 40.6; continued to the range of today's pile-up."""
PLATEAU = (150, 1000)
"""GeV: where the response is flat."""
