import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from ptmiss import plots
from ptmiss.plots import style


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
    ax, _ = figure.axes
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


def test_an_estimator_has_one_marker_in_every_figure():
    assert plots.marker_of("pf", ["pf"]) == plots.marker_of("pf", ["puppi", "pf"])
    assert len({plots.marker_of(name, ["mine", "yours"]) for name in ("mine", "yours")}) == 2
    assert len(set(plots.MARKERS.values())) == len(plots.MARKERS)
    assert plots.MARKERS.keys() == plots.COLOURS.keys()


def test_one_bad_estimator_leaves_the_frame_and_an_arrow():
    """Five of widths near 20 GeV and one of 200 GeV: the frame ends at 1.5 times the median of their largest."""
    frame = table(("pf", "puppi", "deepmet", "linear", "track"))
    bad = frame["estimator"] == "track"
    frame["rms_par"] = np.where(bad, 200.0, 20.0)
    ax, below = plots.panels(frame, [("rms_par", "qt")]).axes
    within = plots.frame(frame[frame["axis"] == "qt"], ["rms_par"])
    assert within.y == (0, pytest.approx(1.05 * plots.MOST * 20))
    assert within.ratio == (pytest.approx(0.92), pytest.approx(plots.MOST + 0.08))
    assert ax.get_ylim()[1] == pytest.approx((1 + plots.room(4)) * within.y[1])
    for axes, limit in ((ax, within.y[1]), (below, within.ratio[1])):
        up = [line for line in axes.lines if line.get_marker() == "^" and line.get_linestyle() == "None"]
        up = [line for line in up if line.get_color() == plots.COLOURS["track"] and len(line.get_xdata())]
        assert [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in up] == [([15.0, 25.0], [limit] * 2)]
    assert "Track" not in [text.get_text() for text in ax.get_legend().get_texts()]


def test_an_arrow_stays_inside_of_the_axis():
    ax = Figure().subplots()
    ax.set_xlim(0, 10)
    plots.arrows(ax, np.array([-1.0, 5.0, 11.0]), np.array([3.0, 3.0, -3.0]), (-1, 1), "black")
    assert [line.get_xdata().tolist() for line in ax.lines] == [[5.0]]


def test_a_ratio_of_few_events_is_drawn_and_an_arrow_only_if_it_is_known():
    ax = Figure().subplots()
    values, errors = np.array([1.5, 9.0, 9.0, 0.5, np.nan]), np.array([0.7, 5.0, 0.4, 0.2, np.nan])
    plots.ratios(ax, np.arange(5.0), values, errors, (0, 2), "black")
    assert ax.containers[0].lines[0].get_xdata().tolist() == [0, 2, 3]
    arrows = [line for line in ax.lines if line.get_marker() == "^"]
    assert [line.get_xdata().tolist() for line in arrows] == [[2]]


def test_a_legend_of_more_lines_has_more_room():
    rooms = [plots.room(lines) for lines in range(1, 7)]
    assert rooms == sorted(rooms)
    assert plots.room(4) == pytest.approx(0.42, abs=0.01)


def test_the_ratio_is_to_pf_with_the_errors_of_each():
    frame = table(("puppi", "pf"))
    rows = frame[frame["axis"] == "qt"].assign(rms_perp=[8.0, 9, 10, 16, 20, 20])
    ratios = plots.ratio_to(rows, "rms_perp")
    assert ratios["ratio"].tolist() == [0.5, 0.45, 0.5, 1, 1, 1]
    assert ratios["ratio_error"].tolist() == pytest.approx([0.5 / 16, 0.5 / 20, 0.5 / 20] * 2)
    assert plots.reference_of(["puppi", "deepmet"]) == "puppi"
    assert plots.ratio_to(rows[:0], "rms_perp").empty


def test_what_the_events_are_is_above_the_axes():
    ax = plots.panels(table(("pf",)), [("response", "qt")], "CMS-like simulation (13 TeV)").axes[0]
    words = {text.get_text().strip() for text in ax.texts}
    assert {"CMS-like simulation", "13 TeV"} <= words
    ax = Figure().subplots()
    plots.mark(ax, "A label (13 TeV)", "59.7 fb$^{-1}$")
    assert {"A label", "59.7 fb$^{-1}$ (13 TeV)"} <= {text.get_text().strip() for text in ax.texts}
    ax = Figure().subplots()
    plots.mark(ax, "")
    assert not ax.texts


def spectra(**events):
    edges = np.array([0.0, 4, 8, 16])
    rows = [{"low": edges[:-1], "high": edges[1:], "events": n, "events_error": np.sqrt(n)} for n in events.values()]
    names = [pd.DataFrame({"estimator": name, "axis": "mt", **row}) for name, row in zip(events, rows, strict=True)]
    return pd.concat(names, ignore_index=True)


def test_a_spectrum_is_per_gev_and_its_ratio_has_errors_where_it_is_known():
    rows = plots.per_gev(spectra(puppi=[200.0, 80.0, 1.0], pf=[100.0, 100.0, 3.0]))
    assert rows["density"].tolist() == [50, 20, 0.125, 25, 25, 0.375]
    assert rows["ratio"].iloc[:2].tolist() == [2, 0.8]
    assert rows["ratio_error"].iloc[0] == pytest.approx(np.sqrt(200) / 100)
    assert rows["ratio"].iloc[[2, 5]].isna().all()  # three events of PF say little
    main, below = plots.spectrum(spectra(pf=[100.0, 50, 4], generated=[90.0, 60, 4]), "x").axes
    assert main.get_ylabel() == "Events / GeV"
    assert [text.get_text() for text in main.get_legend().get_texts()] == ["PF", "Generated"]
    assert below.get_ylabel() == "Ratio to PF"
    weighted = spectra(pf=[100.0, 50, 4]).assign(events_error=3.0)
    assert plots.spectrum(weighted, "x").axes[0].get_ylabel() == "Sum of weights / GeV"


def test_a_spectrum_is_shown_where_its_events_are():
    assert plots.shown_range(spectra(pf=[0.0, 1e6, 1])) == (4, 8)
    assert plots.shown_range(spectra(pf=[0.0, 0, 0])) == (0, 16)


def test_a_flat_spectrum_is_shown_to_its_last_bin():
    edges = np.linspace(-np.pi, np.pi, 17)
    assert plots.filled_range(edges, np.full(16, 100.0)) == (edges[0], edges[-1])


@pytest.mark.parametrize(
    ("luminosity", "text"),
    [
        (59.7, "59.7 fb"),
        (3000.0, "3000 fb"),
        (0.5, "0.5 fb"),
        (0.036, "36 pb"),
        (2.47e-5, "24.7 nb"),
        (1e-12, "0.001 µb"),
    ],
)
def test_a_luminosity_has_the_unit_that_makes_a_number(luminosity, text):
    assert plots.luminosity_text(luminosity) == f"{text}$^{{-1}}$"


def test_an_estimator_without_points_is_left_out_of_the_legend():
    frame = table()
    frame.loc[frame["estimator"] == "puppi", "n_eff"] = 0
    ax, _ = plots.panels(frame, [("response", "qt")]).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["PF", "MET"]


def test_files_of_every_format(tmp_path):
    figure = plots.panels(table(("pf",)), [("response", "qt")])
    paths = plots.save(figure, tmp_path / "response.vs", ["png", "pdf", "svg"])
    assert [path.name for path in paths] == ["response.vs.png", "response.vs.pdf", "response.vs.svg"]
    assert [path.read_bytes()[:5] for path in paths] == [b"\x89PNG\r", b"%PDF-", b"<?xml"]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_every_resolution_has_a_figure_of_its_own(tmp_path, monkeypatch):
    saved = {}

    def keep(figure, stem, formats):
        saved[stem.name] = [ax.get_ylabel() for ax in figure.axes]
        return [stem.with_suffix(f".{form}") for form in formats]

    monkeypatch.setattr(plots.resolution, "save", keep)
    paths = plots.resolution_figures(table(("pf",)), tmp_path, ["svg"], "label")
    assert paths[0] == tmp_path / "overview.svg"
    assert len(paths) == len(saved) == 1 + 1 + 2 * 4
    assert len(saved.pop("overview")) == len(plots.OVERVIEW)
    for name, labels in saved.items():
        assert labels == [plots.QUANTITIES[name.partition("_vs_")[0]]]


def test_points_that_are_not_numbers_raise_no_warning():
    frame = table()
    frame["rms_par"] = np.nan
    frame["rms_par_error"] = np.nan
    plots.panels(frame, [("rms_par", "npv")])


def test_a_figure_without_points_says_why():
    frame = table()
    frame["n_eff"] = 3
    ax, _ = plots.panels(frame, [("rms_par", "qt")]).axes
    assert [text.get_text() for text in ax.texts] == ["no bin has 10 events"]
    assert not [*ax.get_xticks(), *ax.get_yticks(), *ax.get_xticks(minor=True)]
    assert ax.get_legend() is None


def test_what_is_common_to_all_bins_is_a_band():
    """As high as twice the common error, at each point; the legend says what it is."""
    rows = table(("pf",)).assign(rms_par_common=-0.5)
    ax = plots.panels(rows, [("rms_par", "qt")]).axes[0]
    shown = rows[(rows["axis"] == "qt") & (rows["n_eff"] >= plots.MIN_EVENTS)]
    assert [bar.get_height() for bar in ax.patches] == [1.0] * len(shown)
    assert [bar.get_y() + 0.5 for bar in ax.patches] == pytest.approx(shown["rms_par"].tolist())
    assert plots.COMMON in ax.get_legend().get_title().get_text()
    without = plots.panels(rows.assign(rms_par_common=0.0), [("rms_par", "qt")]).axes[0]
    assert not without.patches


def test_letters_of_a_legend_are_smaller_where_names_are_long():
    """Two columns: with short names as ever, with twice the letters that fit of half the size."""
    short = style.letter_size(["PF", "PUPPI", "DeepMET"])
    assert short == style.letter_size(["PF"]) == style.letter_size(["a" * style.LETTERS])
    assert style.letter_size(["a" * style.LETTERS, "b", "b" * style.LETTERS]) == pytest.approx(short / 2)
