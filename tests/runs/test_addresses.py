import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace

import numpy as np
import pytest
from coffea.processor import ProcessorABC

from ptmiss.estimators import make_estimators
from ptmiss.networks.registry import save_model
from ptmiss.processors.zmumu import Zmumu
from ptmiss.runs import addresses, fileset, runner
from ptmiss.runs.addresses import address, changes, described, recipe
from ptmiss.runs.inputs import inspect_files

from ..conftest import random_model


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


def test_the_address_is_the_same_in_another_process():
    code = (
        "import json; from ptmiss.runs.addresses import recipe; from ptmiss.estimators import make_estimators; "
        "from ptmiss.processors.zmumu import Zmumu; print(json.dumps(recipe(Zmumu(make_estimators(['pf', 'stored.MET'])))))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    printed = subprocess.check_output([sys.executable, "-W", "ignore", "-c", code], env=environment, text=True)
    assert json.loads(printed) == json.loads(json.dumps(recipe(Zmumu(make_estimators(["pf", "stored.MET"])))))


def test_a_file_that_a_parameter_names_counts_by_its_content(tmp_path):
    path = tmp_path / "corrections.json"
    path.write_text("{}")
    before = described({"corrections": path})
    assert before == described({"corrections": str(path)})
    path.write_text("{} ")
    assert described({"corrections": path}) != before
    path.unlink()
    assert described(path) == str(path)  # no file any more


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
    assert json.dumps(described(one)) != json.dumps(described(other))
    assert json.dumps(described(one)) == json.dumps(described(one))


def test_a_set_has_no_order():
    assert described({"b", "a"}) == described({"a", "b"}) == ["a", "b"]


def write(path, text):
    path.write_text(textwrap.dedent(text))
    return path


def test_the_code_of_a_processor_is_its_file_and_what_that_imports(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path / "cuts_of_mine.py", "CUT = 1\ndef cut():\n    return CUT\n")
    mine = write(
        tmp_path / "mine.py",
        """
        import numpy as np
        from coffea.processor import ProcessorABC
        from cuts_of_mine import cut

        class Mine(ProcessorABC):
            def process(self, events):
                return {"n": cut()}

            def postprocess(self, accumulator):
                return accumulator
        """,
    )
    found = addresses.sources(runner.find_processor(str(mine)))
    assert set(found) == {"ptmiss_user_mine", "cuts_of_mine"}
    write(tmp_path / "cuts_of_mine.py", "CUT = 2\ndef cut():\n    return CUT\n")
    changed = addresses.sources(runner.find_processor(str(mine)))
    assert [name for name in found if found[name] != changed[name]] == ["cuts_of_mine"]
    del sys.modules["cuts_of_mine"]


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
    assert addresses.sources(Zmumu) == {}
    assert len(addresses.package_digest()) == 64
