"""The style of all figures: colours, markers, names of estimators and quantities, labels, files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import mplhep
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mplhep.label import exp_label

COLOURS = {
    "pf": "#000000",
    "puppi": "#d55e00",
    "track": "#999999",
    "deepmet": "#0072b2",
    "deepmet_response": "#56b4e9",
    "deepmet_v2": "#004d80",
    "deepmet_local": "#aa3377",
    "linear": "#e69f00",
    "mlpf": "#009e73",
    "mlpf_puppi": "#cc79a7",
    "deepmet_mlpf": "#332288",
    "deepmet_particles_mlpf": "#661100",
    "deepmet_particles_response_mlpf": "#dd7788",
    "deepmet_latent_mlpf": "#117733",
    "deepmet_latent_response_mlpf": "#88ccaa",
    "elements": "#a6761d",
    "elements_puppi": "#d9a55b",
    "oracle": "#882255",
    "targets": "#7570b3",
    "targets_puppi": "#b3a2d9",
}
"""Mostly the palette of Okabe and Ito, which colour-blind readers can tell apart too."""
OTHERS = ("#8c564b", "#7b3294", "#5e5e5e", "#b2182b", "#4d9221")
MARKERS = {
    "pf": "o",
    "puppi": "s",
    "track": "v",
    "deepmet": "^",
    "deepmet_response": "<",
    "deepmet_v2": ">",
    "deepmet_local": "8",
    "linear": "D",
    "mlpf": "P",
    "mlpf_puppi": "X",
    "deepmet_mlpf": "*",
    "deepmet_particles_mlpf": "4",
    "deepmet_particles_response_mlpf": "3",
    "deepmet_latent_mlpf": "2",
    "deepmet_latent_response_mlpf": "+",
    "elements": "p",
    "elements_puppi": "h",
    "oracle": "1",
    "targets": "d",
    "targets_puppi": "H",
}
TYPE_COLOURS = {1: "#0072b2", 4: "#d55e00", 5: "#009e73", 8: "#e69f00", 9: "#7b3294"}  # of PF elements
OTHER_MARKERS = ("8", "P", "v", "d", "X")
NAMES = {
    "pf": "PF",
    "puppi": "PUPPI",
    "track": "Track",
    "deepmet": "DeepMET",
    "deepmet_response": "DeepMET response",
    "deepmet_v2": "DeepMET v2",
    "deepmet_local": "DeepMET with neighbours",
    "linear": "Linear, 64 weights",
    "mlpf": "MLPF",
    "mlpf_puppi": "MLPF + PUPPI",
    "deepmet_mlpf": "DeepMET on MLPF",
    "deepmet_particles_mlpf": "DeepMET trained on MLPF",
    "deepmet_particles_response_mlpf": "Trained on MLPF, response",
    "deepmet_latent_mlpf": "DeepMET with MLPF's latents",
    "deepmet_latent_response_mlpf": "MLPF's latents, response",
    "elements": "Elements",
    "elements_puppi": "Elements + PUPPI",
    "oracle": "Perfect association",
    "targets": "Ideal targets",
    "targets_puppi": "Ideal targets + PUPPI",
    "generated": "Generated",
}
AXES = {"qt": r"$q_\mathrm{T}$ (GeV)", "npv": "Number of primary vertices"}
QUANTITIES = {
    "response": r"Response $\langle u_\parallel\rangle / \langle q_\mathrm{T}\rangle$",
    "rms_par": r"RMS of $u_\parallel - q_\mathrm{T}$ (GeV)",
    "rms_perp": r"RMS of $u_\perp$ (GeV)",
    "half_width_par": r"Half width of $u_\parallel - q_\mathrm{T}$ (GeV)",
    "half_width_perp": r"Half width of $u_\perp$ (GeV)",
}
PLAIN = {
    "response": "Response",
    "rms_par": "RMS of u∥ - qT",
    "rms_perp": "RMS of u⊥",
    "half_width_par": "Half width of u∥ - qT",
    "half_width_perp": "Half width of u⊥",
    "qt": "qT",
    "npv": "vertices",
}
"""The same in plain text, for titles."""
STYLE = {**mplhep.style.CMS, "mathtext.cal": "sans", "svg.hashsalt": "ptmiss"}
WIDTH, HEIGHT, RATIO = 9.0, 8.0, 2.2  # of a panel and of the ratio below it, inches
MARGINS = {"left": 0.14, "right": 0.96, "bottom": 0.11, "top": 0.94, "hspace": 0.06}
"""Margins of figures with one column. Fixed ones halve the time to draw a page."""
RATIO_RANGE = (0.55, 1.45)  # of data over simulation
LINE, BORDER = 0.062, 0.05  # of a panel's height: a line of its legend, and what is around them
LETTERS = 40  # that fit into the two columns of a panel's legend
GENERATED = "generated"
MIN_EVENTS = 10  # effective events: a point with fewer is in the table but not in the figure
UNITS = {"fb": 1.0, "pb": 1e-3, "nb": 1e-6, "µb": 1e-9}
"""Units of luminosity, their inverses in fb^-1."""
LEAST_NUMBER = 0.1  # in front of such a unit


def label_of(estimator: str) -> str:
    """An estimator's name in a legend."""
    return NAMES.get(estimator, estimator.removeprefix("stored.").replace("$", r"\$"))


def colour_of(estimator: str, among: Sequence[str]) -> str:
    """An estimator's colour: its own, or the next free one for an estimator of the user."""
    return COLOURS.get(estimator) or OTHERS[_number(estimator, among) % len(OTHERS)]


def marker_of(estimator: str, among: Sequence[str]) -> str:
    """An estimator's marker: its own, or the next free one for an estimator of the user."""
    return MARKERS.get(estimator) or OTHER_MARKERS[_number(estimator, among) % len(OTHER_MARKERS)]


def _number(estimator: str, among: Sequence[str]) -> int:
    return [name for name in among if name not in COLOURS].index(estimator)


def reference_of(estimators: Sequence[str]) -> str:
    """What the others are divided by: PF, or else the first."""
    return "pf" if "pf" in estimators else estimators[0]


def mark(ax: Axes, label: str, luminosity: str = "") -> None:
    """What the events are, above the axes: ``CMS-like simulation (13 TeV)``, with the luminosity to the right."""
    text, _, energy = label.partition(" (")
    right = " ".join(filter(None, [luminosity, f"({energy}" if energy and luminosity else energy.removesuffix(")")]))
    if text or right:
        exp_label(exp="", text=text, data=True, rlabel=right, loc=0, ax=ax, fontsize=20, scilocator_adjust=False)


def luminosity_text(luminosity: float) -> str:
    """A luminosity, given in fb^-1, in the unit that makes a readable number: ``24.7 nb$^{-1}$``."""
    unit = next((name for name, size in UNITS.items() if luminosity >= LEAST_NUMBER * size), "µb")
    value = luminosity / UNITS[unit]
    return f"{value:.3g} {unit}$^{{-1}}$" if value < 1000 else f"{value:.0f} {unit}$^{{-1}}$"


def explain(ax: Axes, title: str) -> None:
    """The legend, or why there is none."""
    if names := ax.get_legend_handles_labels()[1]:
        ax.legend(title=title, fontsize=letter_size(names), title_fontsize="x-small", loc="upper left", ncols=2)
    else:
        ax.text(0.5, 0.5, f"no bin has {MIN_EVENTS} events", transform=ax.transAxes, ha="center")


def letter_size(names: Sequence[str]) -> float:
    """Points of the letters of a legend of two columns: as of ``x-small``, and smaller if these names are too long."""
    half = (len(names) + 1) // 2
    letters = sum(max(map(len, column), default=0) for column in (names[:half], names[half:]))
    normal = mpl.rcParams["font.size"] * mpl.font_manager.font_scalings["x-small"]
    return float(normal * min(1, LETTERS / letters))


def whole(ax: Axes) -> Figure:
    """The figure of axes."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


@contextmanager
def laid_out(figure: Figure, dpi: float) -> Iterator[None]:
    """In the block a figure keeps the layout that it gets here: each savefig would make it again, and draw for it."""
    engine, before = figure.get_layout_engine(), figure.get_dpi()
    if engine is None:
        yield
        return
    figure.set_dpi(dpi)
    engine.execute(figure)
    figure.set_layout_engine(None)
    try:
        yield
    finally:
        figure.set_layout_engine(engine)
        figure.set_dpi(before)


def save(figure: Figure, stem: Path, formats: Iterable[str], dpi: float = 120) -> list[Path]:
    """Save a figure in each format; return the files."""
    paths = [stem.with_name(f"{stem.name}.{form}") for form in formats]
    with mpl.rc_context(STYLE), laid_out(figure, dpi):
        for path in paths:
            figure.savefig(path, dpi=dpi)
    return paths
