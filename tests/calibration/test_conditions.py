import numpy as np
import pytest

from ptmiss import corrections
from ptmiss.calibration import closure, conditions, sources

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table(correction_file, tables):
    data, mc = (sources.read(str(tables[name])) for name in ("data", "mc"))
    return conditions.tabulate(closure.compare(data, mc, [], corrections.load(correction_file)))


def test_counts_are_those_of_the_tables(table, tables):
    data = sources.read(str(tables["data"]))
    (events,) = data.batches(["npv", "weight"])
    along = table[table["axis"] == "npv"]
    edges = np.append(along["low"], along["high"].iloc[-1])
    expected = np.histogram(events["npv"], edges, weights=events["weight"])[0]
    np.testing.assert_allclose(along["data"], expected, rtol=1e-6)
    np.testing.assert_allclose(along["data_error"], np.sqrt(expected), rtol=1e-6)


def test_simulation_has_as_many_events_and_the_vertices_of_data(table):
    for _, along in table.groupby("axis"):
        for name in conditions.WEIGHED:
            assert along[name].sum() == pytest.approx(along["data"].sum())
    along = table[(table["axis"] == "npv") & (table["data"] > 100)]
    away = {name: np.abs(along[f"ratio_{name}"] - 1).mean() for name in conditions.WEIGHED}
    assert away["matched"] < 0.3 * away["before"]


def test_its_figure(table):
    drawn = conditions.figure(table)
    assert [ax.get_xlabel() for ax in drawn.axes[2:]] == list(conditions.AXES.values())
