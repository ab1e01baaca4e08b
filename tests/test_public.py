"""What the package names, and how little it imports before it is used."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ptmiss
from ptmiss.networks import registry

HEAVY = ("numpy", "awkward", "coffea", "numba", "torch", "matplotlib", "pandas", "uproot", "pydantic", "rich")
ROOT = Path(__file__).parents[1]


def test_the_public_surface():
    assert ptmiss.__all__ == ["__version__", "load_model"]
    assert ptmiss.load_model is registry.load_model
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = ptmiss.nonsense


def test_the_version_is_kept_in_one_place():
    assert importlib.metadata.version("ptmiss") == ptmiss.__version__
    found = [p for p in ROOT.glob("*.toml") if re.search(r'^version = "', p.read_text(), re.MULTILINE)]
    assert found == []


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["models", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        f"import sys; sys.argv = ['ptmiss', *{arguments!r}]\n"
        "from ptmiss.cli import cli\n"
        "try:\n    cli()\nexcept SystemExit:\n    pass\n"
        f"sys.exit(', '.join(set({HEAVY!r}) & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_the_library_imports_no_wing():
    wings = re.compile(r"^\s*(from|import) ptmiss\.(processors|models|calibration)\b", re.MULTILINE)
    for path in (ROOT / "src" / "ptmiss").rglob("*.py"):
        assert not wings.search(path.read_text()), path


def test_inference_needs_no_training_code():
    code = "import sys, ptmiss.estimators, ptmiss.runs.runner, ptmiss.runs.skim; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
