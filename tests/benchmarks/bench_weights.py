"""What ten weights with variations cost a skim and a run: python -m tests.benchmarks.bench_weights prints both."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from ptmiss.estimators import make_estimators
from ptmiss.events import inspect
from ptmiss.processors.base import CorrectedProcessor
from ptmiss.processors.boson import Zmumu
from ptmiss.processors.skim import Skim
from ptmiss.selections import load_selection

from ..invented import write_events
from ..selections.weights.events import factor_file

EVENTS = 2000
FACTOR = """
[weights.id{0}]
kind = "correction"
file = "sf.json"
correction = "ID"
objects = "muons"
clamp = true
inputs = {{year = "2022", variation = "sf", pt = "pt"}}
up = {{variation = "sfup"}}
"""
FORMULA = """
[weights.f{0}]
kind = "formula"
formula = "1 + 0.001 * PV_npvs"
up = "1 + 0.002 * PV_npvs"
down = "1"
"""


def seconds(processor: CorrectedProcessor, path: Path) -> float:
    """The processor time of one pass over a file of events."""
    source = inspect(str(path)).events()
    began = time.process_time()
    processor.process(source)
    return time.process_time() - began


def main() -> None:
    """Print the least times without and with ten weights, of runs in turn, after one that reads the models."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        factor_file(folder / "sf.json")
        write_events(folder / "events.root", EVENTS)
        (folder / "s.toml").write_text("".join(text.format(i) for i in range(5) for text in (FACTOR, FORMULA)))
        estimators = make_estimators(["pf", "puppi", "deepmet"])
        for cls in (Skim, Zmumu):
            both = [cls(estimators, load_selection(selection)) for selection in ("default", folder / "s.toml")]
            times = [[seconds(processor, folder / "events.root") for processor in both] for _ in range(4)]
            without, ten = (min(column) for column in zip(*times[1:], strict=True))
            change = f"{100 * (ten / without - 1):+.1f} %"
            print(f"{cls.__name__}, {EVENTS} events: without {without:.3f} s, ten weights {ten:.3f} s: {change}")


if __name__ == "__main__":
    main()
