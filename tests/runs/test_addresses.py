import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.metadata import requires

import numpy as np
import pytest
from coffea.processor import ProcessorABC
from packaging.requirements import Requirement

from ptmiss.estimators import make_estimators
from ptmiss.files import provenance
from ptmiss.files.provenance import PACKAGES
from ptmiss.networks.registry import save_model
from ptmiss.processors.boson import Zmumu
from ptmiss.runs import addresses, dependencies, fileset
from ptmiss.runs.addresses import address, changes, describe, recipe
from ptmiss.runs.inputs import inspect_files

from ..helpers import random_model


class Cut(ProcessorABC):
    def __init__(self, cut=1):
        self.cut = cut

    def process(self, events):
        return {}

    def postprocess(self, accumulator):
        return accumulator


@pytest.fixture
def item(invented):
    [source], _ = inspect_files(fileset.parse({"z": [str(invented)]}), Cut())
    return next(source.chunks(100))


def test_the_same_has_the_same_address_and_anything_else_another(item, invented):
    base = recipe(Cut(1))
    others = [
        (recipe(Cut(2)), item),
        ({**base, "ptmiss": ["0.0.0", ""]}, item),
        ({**base, "packages": {}}, item),
        (base, replace(item, entrystop=99)),
        (base, replace(item, dataset="y")),
        (base, replace(item, usermeta={"era": "2018"})),
        (base, replace(item, treename="Other")),
        (base, replace(item, fileuuid=bytes(16))),
    ]
    assert address(recipe(Cut(1)), replace(item)) == address(base, item)
    found = {address(*other) for other in others} | {address(base, item)}
    assert len(found) == len(others) + 1
    os.utime(invented, ns=(1, 1))
    assert address(base, item) not in found


@pytest.mark.slow
def test_the_address_is_the_same_in_another_process():
    code = (
        "import json; from ptmiss.runs.addresses import recipe; from ptmiss.estimators import make_estimators; "
        "from ptmiss.processors.boson import Zmumu; "
        "print(json.dumps(recipe(Zmumu(make_estimators(['pf', 'stored.MET'])))))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    printed = subprocess.check_output([sys.executable, "-W", "ignore", "-c", code], env=environment, text=True)
    assert json.loads(printed) == json.loads(json.dumps(recipe(Zmumu(make_estimators(["pf", "stored.MET"])))))


def test_a_file_that_a_parameter_names_counts_by_its_content(tmp_path):
    path = tmp_path / "corrections.json"
    path.write_text("{}")
    before = describe({"corrections": path})
    assert before == describe({"corrections": str(path)})
    path.write_text("{} ")
    assert describe({"corrections": path}) != before
    path.unlink()
    assert describe(path) == str(path)  # no file any more


def test_a_model_counts_by_its_content(weights, tmp_path):
    def of(path):
        return recipe(Zmumu(make_estimators(["net"], {"net": path})))

    one = of(weights)
    (tmp_path / "moved").mkdir()
    moved = weights.rename(tmp_path / "moved" / weights.name)
    assert changes(one, of(moved)) == []
    save_model(random_model(seed=1), moved, "random")
    assert changes(one, of(moved)) == ["parameters"]


@dataclass(frozen=True)
class Window:
    low: float
    high: float = 3.0


class Plain:
    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        ("a", "b"),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"a": 2}),
        (np.zeros(3), np.ones(3)),
        (np.zeros(3), np.zeros(3, np.float32)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (Window(1), Window(2)),
        (Plain([1]), Plain([2])),
        (lambda x: x + 1, lambda x: x + 2),
        (Cut, Plain),
        (1, True),
    ],
)
def test_parameters_of_any_kind(one, other):
    assert json.dumps(describe(one)) != json.dumps(describe(other))
    assert json.dumps(describe(one)) == json.dumps(describe(one))


def test_a_set_has_no_order():
    assert describe({"b", "a"}) == describe({"a", "b"}) == ["a", "b"]


@pytest.mark.slow
def test_a_processor_of_a_notebook_has_an_address():
    code = """
from coffea.processor import ProcessorABC
from ptmiss.runs.addresses import recipe
class Mine(ProcessorABC):
    def process(self, events): return {}
    def postprocess(self, accumulator): return accumulator
print(recipe(Mine())["processor"][0], *recipe(Mine())["processor"][1])
"""
    printed = subprocess.check_output(
        [sys.executable, "-W", "ignore", "-c", code], text=True
    )  # no file, as in a notebook
    assert printed.split() == ["Mine", "__main__"]


def test_the_sources_of_ptmiss_count_as_a_whole():
    assert recipe(Zmumu(make_estimators(["pf"])))["processor"] == ["Zmumu", {}]
    assert len(addresses.package_digest()) == 64


def test_a_linked_folder_counts_as_one_that_was_copied(tmp_path):
    wing, package, installed = (tmp_path / name for name in ("wing", "package", "installed"))
    for folder in (wing, package):
        folder.mkdir()
        (folder / "__init__.py").write_text("a = 1\n")
    (package / "wing").symlink_to("../wing")
    shutil.copytree(package, installed)
    assert addresses.folder_digest(package) == addresses.folder_digest(installed)
    (wing / "__init__.py").write_text("a = 2\n")
    assert addresses.folder_digest(package) != addresses.folder_digest(installed)


QUIET = {
    "click",
    "jinja2",
    "markdown-it-py",
    "matplotlib",
    "mplhep",
    "psutil",
    "pydantic",
    "pyyaml",
    "rich",
    "threadpoolctl",
    "uhi",
}
"""Dependencies that draw, talk, check or store, and change no number; the others are among those that compute."""
STORES = {"fsspec", "safetensors"}


def test_every_dependency_is_known_to_compute_or_not_to():
    needed = [Requirement(each) for each in requires("ptmiss")]
    base = {each.name for each in needed if each.marker is None}
    assert base - QUIET - STORES == set(PACKAGES) & base
    assert {"torch", "fastjet"} <= set(PACKAGES)


@pytest.fixture(scope="module")
def code():
    """The code that a processor runs, found once."""
    return dependencies.of(Cut())


@pytest.fixture
def before(code, monkeypatch):
    """The recipe of a processor, whose code is not looked for again."""
    monkeypatch.setattr(addresses.dependencies, "of", lambda processor: code)
    return recipe(Cut())


@pytest.mark.parametrize("package", PACKAGES)
def test_another_version_of_what_computes_is_another_address(package, before, monkeypatch):
    real = provenance.version
    monkeypatch.setattr(provenance, "version", lambda name: "0.0" if name == package else real(name))
    assert changes(before, recipe(Cut())) == ["packages"]


@pytest.mark.parametrize("package", sorted(QUIET))
def test_another_version_of_what_draws_or_talks_is_not(package, before, monkeypatch):
    real = provenance.version
    monkeypatch.setattr(provenance, "version", lambda name: "0.0" if name == package else real(name))
    assert changes(before, recipe(Cut())) == []


def test_another_python_is_another_address(before, monkeypatch):
    monkeypatch.setattr(addresses.platform, "python_version_tuple", lambda: ("3", "99", "0"))
    assert changes(before, recipe(Cut())) == ["python"]
