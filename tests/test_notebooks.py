"""The notebooks run from top to bottom, on copies, and are kept without outputs."""

import json
import os
import shutil
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
NEEDS = {
    "02_train_a_small_deepmet": "torch",
    "06_from_events_to_a_fit": "pyhf",
    "07_one_flow": "zuko",
    "08_explanations": "torch",
}
TIMEOUT = 600  # s for a cell, on a busy machine


def test_there_are_eight():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06", "07", "08"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped(path):
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    nb_run = pytest.importorskip("nbmake.nb_run")
    pytest.importorskip(NEEDS.get(path.stem, "ptmiss"))
    copy = Path(shutil.copy(path, tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    done = nb_run.NotebookRun(copy, TIMEOUT).execute()
    assert done.error is None, f"{done.error.summary}\n{done.error.trace}"
    shown = {kind for cell in done.nb.cells for out in cell.get("outputs", []) for kind in out.get("data", {})}
    assert "image/png" in shown
