"""The rules of the house: who imports whom, and that benchmarks still find what they measure."""

import ast
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import ptmiss

ROOT = Path(ptmiss.__file__).parent
MODULES = {
    ".".join(("ptmiss", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for folder in (ROOT, *(path for path in ROOT.iterdir() if path.is_symlink()))
    for path in folder.rglob("*.py")
}

BENCHMARKS = sorted((Path(__file__).parent / "benchmarks").glob("bench_*.py"))


def imported(name, path):
    """Modules of the package that a file imports, in functions and for types too."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{module}.{alias.name}" if f"{module}.{alias.name}" in MODULES else module


def test_all_modules_are_seen():
    assert {"ptmiss.recoil", "ptmiss.runs.runner", "ptmiss.models.training", "ptmiss.calibration.fits"} <= set(MODULES)
    assert "ptmiss.estimators.servers" in set(imported("ptmiss.estimators.triton", ROOT / "estimators" / "triton.py"))


def test_no_import_runs_in_a_circle():
    graph = {name: {other for other in imported(name, path) if other in MODULES} for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parent / "benchmarks").glob("bench_*.py")), ids=lambda p: p.stem
)
def test_a_benchmark_finds_what_it_measures(path):
    module = import_module(f"tests.benchmarks.{path.stem}")
    for _, owner, name in getattr(module, "STEPS", ()):
        assert callable(getattr(owner, name))
