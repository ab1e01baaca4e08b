from ptmiss import results
from ptmiss.reports import sections
from ptmiss.reports.sources import ReportSource

from .test_stacks import run


def test_a_run_with_data_and_simulation(tmp_path):
    made = run()
    results.save(tmp_path, made.manifest, made.histograms)
    found = sections.section(ReportSource("run", tmp_path, "both"), "none", "CMS-like simulation")
    assert [part.title for part in found] == [
        "both: run_a",
        "both: run_b",
        "both: dy",
        "both: top",
        "both: data and simulation",
    ]
    assert [one.title for one in found[-1].exhibits] == [
        "PF: pTmiss in data and simulation",
        "PUPPI: pTmiss in data and simulation",
        "PF: azimuth of pTmiss in data and simulation",
        "PUPPI: azimuth of pTmiss in data and simulation",
    ]
    rows = found[-1].exhibits[0].table
    assert {"data", "dy", "top", "simulation", "systematic", "ratio"} <= set(rows)
    assert rows["data"].sum() > 900
