"""What changes the code that a processor runs, and so the address of its chunks; and what does not."""

import os
import sys
from textwrap import dedent

import pytest

from ptmiss.errors import OptionError
from ptmiss.processors.boson import Zmumu
from ptmiss.runs import dependencies, runner
from ptmiss.runs.addresses import recipe

PROCESSOR = """
class Mine(ProcessorABC):
    def __init__(self, select=None):
        self.select = select

    def process(self, events):
        return {}

    def postprocess(self, accumulator):
        return accumulator
"""
OWN = {
    "mine.py": f"""
from coffea.processor import ProcessorABC
import box.deep as deep
import middle
from constants import PT
{PROCESSOR}
    def late(self):
        from lazy import LATE
        return LATE
""",
    "constants.py": "PT = 25\n",
    "middle.py": "from edges import EDGE\n",
    "edges.py": "EDGE = 1\n",
    "lazy.py": "LATE = 1\n",
    "box/__init__.py": "",
    "box/deep.py": "from . import side\nfrom .below.floor import F\n",
    "box/side.py": "S = 1\n",
    "box/below/__init__.py": "",
    "box/below/floor.py": "F = 1\n",
    "box/other.py": "",
    "other.py": "",
    "README.txt": "",
}
INSTALLED = {
    "shop/__init__.py": "",
    "shop/goods.py": f"""
from coffea.processor import ProcessorABC
import tools
from .prices import PRICE
{PROCESSOR}
""",
    "shop/prices.py": "PRICE = 25\n",
    "shop/other.py": "",
    "shop-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n",
    "shop-1.0.dist-info/top_level.txt": "shop\n",
    "tools.py": "T = 1\n",
    "tools-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tools\nVersion: 2.0\n",
    "tools-2.0.dist-info/top_level.txt": "tools\n",
    "alien.py": "A = 1\n",
    "alien-3.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: alien\nVersion: 3.0\n",
    "alien-3.0.dist-info/top_level.txt": "alien\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of modules on Python's path; what was imported from it is forgotten."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # which knows whole seconds only
    yield tmp_path
    forget(tmp_path)


def forget(folder):
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def code(folder):
    """What the recipe says of the code of mine.py, as a new process would say it."""
    forget(folder)
    made = recipe(runner.find_processor(str(folder / "mine.py"))())
    return made["processor"], made["packages"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("constants.py", "PT = 40\n"),  # from constants import PT
        ("middle.py", "from edges import EDGE as E\n"),
        ("edges.py", "EDGE = 2\n"),  # imported by what is imported
        ("lazy.py", "LATE = 2\n"),  # imported in a function
        ("box/__init__.py", "B = 1\n"),  # the package around an imported module
        ("box/deep.py", OWN["box/deep.py"] + "D = 1\n"),
        ("box/side.py", "S = 2\n"),  # from . import side
        ("box/below/floor.py", "F = 2\n"),  # from .below.floor import F
        ("mine.py", OWN["mine.py"] + "# a comment counts\n"),
    ],
)
def test_own_code_that_changed(folder, name, text):
    write(folder, OWN)
    before = code(folder)
    write(folder, {name: text})
    assert code(folder) != before


@pytest.mark.parametrize("name", ["other.py", "box/other.py", "README.txt"])
def test_what_no_processor_needs_may_change(folder, name):
    write(folder, OWN)
    before = code(folder)
    write(folder, {name: "X = 1\n"})
    os.utime(folder / "constants.py", (1, 1))
    assert code(folder) == before


@pytest.fixture
def described(folder):
    """The same folder with packages that have metadata."""
    write(folder, INSTALLED)
    dependencies._distributions.cache_clear()
    yield folder
    dependencies._distributions.cache_clear()


@pytest.fixture
def installed(described, monkeypatch):
    """The same folder as a place for installed packages."""
    places = dependencies._installed()
    monkeypatch.setattr(dependencies, "_installed", lambda: {described, *places})
    return described


def shop(folder):
    forget(folder)
    from shop.goods import Mine

    made = recipe(Mine())
    return made["processor"], made["packages"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("shop/goods.py", INSTALLED["shop/goods.py"] + "X = 1\n"),
        ("shop/prices.py", "PRICE = 40\n"),
        ("shop-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: shop\nVersion: 1.1\n"),
        ("tools-2.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tools\nVersion: 2.1\n"),
    ],
)
def test_an_installed_processor_that_changed(installed, name, text):
    before = shop(installed)
    assert before[1].items() >= {"shop": "1.0", "tools": "2.0"}.items()
    write(installed, {name: text})
    assert shop(installed) != before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("shop/other.py", "X = 1\n"),
        ("tools.py", "T = 2\n"),  # installed, and not the processor's own: by its version
        ("alien-3.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: alien\nVersion: 3.1\n"),
    ],
)
def test_what_an_installed_processor_does_not_need_may_change(installed, name, text):
    before = shop(installed)
    write(installed, {name: text})
    assert shop(installed) == before


def test_an_editable_install_counts_by_its_sources(described):
    before = shop(described)  # known to the metadata, at no place for installed packages
    assert set(before[0][1]) == {"shop", "shop.goods", "shop.prices", "tools"}
    write(described, {"tools.py": "T = 2\n"})
    assert shop(described) != before


def test_an_estimator_of_the_users_own_counts_by_its_code(folder):
    estimator = """
        from constants import PT
        from ptmiss.estimators import WeightedSum

        class Own(WeightedSum):
            pass
    """
    write(folder, {"own.py": dedent(estimator), "constants.py": "PT = 25\n"})

    def sources():
        forget(folder)
        import own

        return dependencies.of(Zmumu([own.Own("pf")])).sources

    before = sources()
    assert set(before) == {"own", "constants"}
    write(folder, {"constants.py": "PT = 40\n"})
    assert sources()["constants"] != before["constants"]


def test_a_function_that_a_parameter_holds_counts_by_its_code(folder):
    write(folder, OWN | {"mine.py": f"from coffea.processor import ProcessorABC\n{PROCESSOR}"})
    write(folder, {"cuts.py": "def select(x):\n    return x > 25\n"})

    def sources():
        forget(folder)
        import cuts

        return dependencies.of(runner.find_processor(str(folder / "mine.py"))(cuts.select)).sources

    before = sources()
    assert set(before) == {"ptmiss_user_mine", "cuts"}
    write(folder, {"cuts.py": "def select(x):\n    return x > 40\n"})
    assert sources() != before


def test_a_module_that_changed_since_it_was_imported_is_an_error(folder):
    write(folder, OWN)
    cls = runner.find_processor(str(folder / "mine.py"))
    dependencies.of(cls())
    write(folder, {"edges.py": "EDGE = 2\n"})
    with pytest.raises(OptionError, match=r"edges\.py was changed after this process imported it: import it again, or"):
        dependencies.of(cls())
    forget(folder)
    dependencies.of(runner.find_processor(str(folder / "mine.py"))())
