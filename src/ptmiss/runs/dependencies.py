"""The code that a processor runs: the user's modules by their sources, installed packages by their versions.

It begins with every class and function that travels to a worker with the processor, estimators of the user's own among
them. From there it follows import statements, those in functions too. An installed package that the processor or an
estimator is in counts by its version and by its sources. The standard library counts by Python's version, ptmiss by all
of its sources; see ``addresses``.

Not known are modules that are imported by a name made at run time, and files that a module reads by itself.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions, version
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import cloudpickle
import numpy as np
from coffea.processor import ProcessorABC

from ptmiss.errors import OptionError
from ptmiss.estimators import Estimator
from ptmiss.files import digest

OWN_WAY = {"ptmiss", "coffea"}  # packages that count by themselves
NOTEBOOK = "__main__"

_loaded: dict[str, tuple[ModuleSpec | None, str]] = {}  # what each module was loaded from, and its source then


class Dependencies(NamedTuple):
    """SHA-256 of each module's source, and version of each installed package, by name."""

    sources: dict[str, str]
    packages: dict[str, str]


def of(processor: ProcessorABC) -> Dependencies:
    """What a processor's results depend on in code.

    Raises OptionError if a module was changed after it was imported: its new source would stand for what ran before.
    """
    travels = _Travels(processor)
    waiting = sorted(travels.modules)
    seen, sources, packages = set(OWN_WAY), dict[str, str](), dict[str, str]()
    while waiting:
        name = waiting.pop()
        if name in seen or _top(name) in OWN_WAY | sys.stdlib_module_names:
            continue
        seen.add(name)
        file = _file(name)
        if installed := _distribution(name, file):
            packages[installed] = version(installed)
        if file and (not installed or _top(name) in travels.tops):
            sources[name] = _source(name, file)
            waiting += [*_imported(name, file), *_held_names(name)]
    if NOTEBOOK in seen and NOTEBOOK not in sources:
        sources[NOTEBOOK] = digest(cloudpickle.dumps(processor))  # another in each session
    return Dependencies(dict(sorted(sources.items())), dict(sorted(packages.items())))


def archive(code: Dependencies) -> bytes:
    """The user's modules as a zip file to import from; empty if there are none.

    Without installed packages, which count by their versions, and what is in no file of Python.
    """
    files = {name: file for name in code.sources if name != NOTEBOOK and (file := _file(name))}
    own = {name: file for name, file in files.items() if file.suffix == ".py" and not _distribution(name, file)}
    content = BytesIO()
    with ZipFile(content, "w", ZIP_DEFLATED) as made:
        for name, file in own.items():
            made.writestr(ZipInfo(_place(name, file)), file.read_bytes())
    return content.getvalue() if own else b""


def _place(name: str, file: Path) -> str:
    return f"{name.replace('.', '/')}{'/__init__' if file.name == '__init__.py' else ''}.py"


def names(archive: bytes) -> list[str]:
    """The names of the modules in an archive."""
    with ZipFile(BytesIO(archive)) as found:
        return [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in found.namelist()]


class _Travels(cloudpickle.Pickler):
    """Notes what travels to a worker with a processor.

    These are the modules of all classes and functions, and the packages of the processor's and its estimators' classes.
    """

    def __init__(self, processor: ProcessorABC) -> None:
        super().__init__(BytesIO())
        self.modules: set[str] = set()
        self.tops: set[str] = set()
        self.dump(processor)

    def reducer_override(self, obj: Any) -> Any:
        """Look at an object on its way."""
        cls = obj if isinstance(obj, type) else type(obj)
        bases = {base.__module__ for base in cls.__mro__}
        self.modules |= bases | {obj.__name__ if isinstance(obj, ModuleType) else str(getattr(obj, "__module__", ""))}
        if issubclass(cls, ProcessorABC | Estimator):
            self.tops |= {_top(name) for name in bases}
        return super().reducer_override(obj)


def _imported(name: str, file: Path) -> Iterator[str]:
    """Modules that a module's import statements name, and the packages around them."""
    if file.suffix != ".py":
        return
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package) if package else base
            for alias in node.names:
                yield from _with_parents(f"{base}.{alias.name}")


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[: i + 1]) for i in range(len(parts)))


def _held_names(name: str) -> Iterator[str]:
    """Modules of what a loaded module holds, however it came there."""
    for value in list(vars(sys.modules[name]).values()) if name in sys.modules else ():
        held = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(held, str):
            yield held


def _file(name: str) -> Path | None:
    """The file of a module, loaded or not; None if there is none."""
    module = sys.modules.get(name)
    if module is not None:
        file = Path(getattr(module, "__file__", None) or "")
        return file if file.is_file() else None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None


def _source(name: str, file: Path) -> str:
    """SHA-256 of a module's source, which is still that of what was loaded."""
    now = digest(file)
    module = sys.modules.get(name)
    if module is None:
        return now
    spec, before = _loaded.get(name, (None, now))
    if spec is module.__spec__ and before != now:
        raise OptionError(f"{file} was changed after this process imported it: import it again, or start a new process")
    _loaded[name] = module.__spec__, now
    return now


def _distribution(name: str, file: Path | None) -> str | None:
    """The installed package that a module belongs to; None of an editable one, which counts by its sources."""
    if file is not None and not any(file.is_relative_to(place) for place in _installed()):
        return None
    return next(iter(_distributions().get(_top(name), ())), None)


def _top(name: str) -> str:
    return name.partition(".")[0]


@lru_cache(maxsize=1)
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


@lru_cache(maxsize=1)
def _installed() -> set[Path]:
    packages = {Path(str(package.__file__)).parents[1] for package in (np, cloudpickle)}
    return packages | {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
