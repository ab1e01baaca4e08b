import numpy as np
import pandas as pd
import pytest

from ptmiss import plots


def table(estimators=("pf", "puppi", "stored.MET")):
    rows = [
        {
            "estimator": name,
            "correction": "bin",
            "region": "inclusive",
            "axis": axis,
            "low": low,
            "high": low + 10,
            "n_eff": 100 if low else 2,
            **{q: 10.0 + low + i for q in plots.QUANTITIES for _ in [0]},
            **{f"{q}_error": 0.5 for q in plots.QUANTITIES},
        }
        for i, name in enumerate(estimators)
        for axis in plots.AXES
        for low in (0, 10, 20)
    ]
    return pd.DataFrame(rows)


def test_a_figure_shows_the_numbers_of_its_table():
    figure = plots.panels(table(), [("rms_perp", "qt")], label="here")
    (ax,) = figure.axes
    lines = [container.lines[0] for container in ax.containers]
    assert [line.get_ydata().tolist() for line in lines] == [[20, 30], [21, 31], [22, 32]]  # two events are too few
    assert [line.get_xdata().tolist() for line in lines] == [[15, 25]] * 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["PF", "PUPPI", "MET"]
    assert ax.get_legend().get_title().get_text() == "response corrected in bins"
    assert ax.get_ylabel() == plots.QUANTITIES["rms_perp"]


def test_an_estimator_has_one_colour_in_every_figure():
    assert plots.colour_of("pf", ["pf"]) == plots.colour_of("pf", ["puppi", "pf"])
    others = ["mine", "yours"]
    assert len({plots.colour_of(name, others) for name in others}) == 2
    assert len(set(plots.COLOURS.values())) == len(plots.COLOURS)


def test_an_estimator_without_points_is_left_out_of_the_legend():
    frame = table()
    frame.loc[frame["estimator"] == "puppi", "n_eff"] = 0
    (ax,) = plots.panels(frame, [("response", "qt")]).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["PF", "MET"]


@pytest.mark.parametrize("form", ["png", "pdf", "svg"])
def test_files_of_every_format(tmp_path, form):
    paths = plots.resolution_figures(table(("pf",)), tmp_path, [form], "label")
    assert paths[0] == tmp_path / f"overview.{form}"
    assert len(paths) == 1 + 1 + 2 * 4
    assert all(path.stat().st_size > 1000 for path in paths)


def test_points_that_are_not_numbers_raise_no_warning():
    frame = table()
    frame["rms_par"] = np.nan
    frame["rms_par_error"] = np.nan
    plots.panels(frame, [("rms_par", "npv")])


def test_a_figure_without_points_says_why():
    frame = table()
    frame["n_eff"] = 3
    (ax,) = plots.panels(frame, [("rms_par", "qt")]).axes
    assert [text.get_text() for text in ax.texts] == ["no bin has 10 events"]
    assert ax.get_legend() is None
