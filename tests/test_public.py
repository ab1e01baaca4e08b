"""What the package names, and how little it imports before it is used."""

import ast
import importlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ptmiss
from ptmiss import corrections, recoil, selections, table
from ptmiss.cli import cli
from ptmiss.corrections import published

HEAVY = ("numpy", "awkward", "coffea", "numba", "torch", "matplotlib", "pandas", "uproot", "pydantic", "rich")
ROOT = Path(__file__).parents[1]


EXPORTED = {
    "verbs": [
        "calibrate",
        "compare",
        "convert",
        "explain",
        "profile",
        "report",
        "resolution",
        "run",
        "simulate",
        "skim",
        "templates",
    ],
    "estimators": ["Estimator", "evaluate", "make_estimators"],
    "networks.registry": ["load_model"],
    "table": ["RecoilTable", "open_table"],
}


def test_the_public_surface():
    names = [name for names in EXPORTED.values() for name in names]
    assert sorted(ptmiss.__all__) == sorted(
        [*names, "__version__", "load_corrections", "load_published", "load_selection", "read_table", "recoil"]
    )
    assert dir(ptmiss) == sorted(ptmiss.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = ptmiss.nonsense


@pytest.mark.parametrize(("home", "name"), [(home, name) for home, names in EXPORTED.items() for name in names])
def test_a_name_is_what_its_module_defines(home, name):
    assert getattr(ptmiss, name) is getattr(importlib.import_module(f"ptmiss.{home}"), name)


def test_names_that_are_others_in_their_modules():
    assert ptmiss.load_corrections is corrections.load
    assert ptmiss.load_published is published.load
    assert ptmiss.load_selection is selections.load_selection
    assert ptmiss.read_table is table.read
    assert ptmiss.recoil is recoil


@pytest.mark.parametrize("name", [name for name in ptmiss.__all__ if inspect.isfunction(getattr(ptmiss, name))])
def test_a_public_function_says_what_it_takes_gives_and_raises(name):
    function = getattr(ptmiss, name)
    words = inspect.getdoc(function)
    assert re.findall(r"^(Args|Returns|Raises):$", words, re.MULTILINE) == ["Args", "Returns", "Raises"]
    described = re.findall(r"^    [*]*(\w+): ", words.partition("Args:")[2].partition("Returns:")[0], re.MULTILINE)
    assert described == list(inspect.signature(function).parameters)


def test_every_verb_of_the_command_line_has_a_function():
    by_another_name = {"status", "demo", "selection", "init", "make", "evaluate", "models", "train"}
    assert set(cli.commands) - by_another_name == set(EXPORTED["verbs"])


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


def imported_at_once(path):
    """What a module imports as it is read itself; not what its functions, or its type hints, import."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (f"{getattr(node, 'module', '')}.{name.name}".lstrip(".") for name in node.names)


def test_a_wing_is_imported_where_it_is_used():
    modules = [path for path in (ROOT / "src" / "ptmiss").rglob("*.py") if path.resolve().is_relative_to(ROOT / "src")]
    assert len(modules) > 50
    for path in modules:
        assert not [
            name for name in imported_at_once(path) if re.match(r"ptmiss\.(processors|models|calibration)\b", name)
        ]


@pytest.mark.slow
def test_inference_needs_no_training_code():
    code = "import sys, ptmiss.estimators, ptmiss.runs.runner, ptmiss.runs.skim; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
