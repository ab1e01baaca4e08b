"""Columnar missing transverse momentum and hadronic recoil at hadron colliders.

The names here are what a notebook needs; each is imported when it is first used:

* ``skim``, ``run``, ``resolution``, ``compare``, ``calibrate``, ``report``, ``simulate``: the verbs of the command line
* ``make_estimators``, ``evaluate``, ``Estimator``: pTmiss of events, in a processor of your own
* ``load_model``: a network that runs on your own arrays; ``load_corrections``: a calibration that does
* ``read_table``, ``RecoilTable``: one row an event; ``recoil``: the module of u∥, u⊥ and mT
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ptmiss.version import __version__

if TYPE_CHECKING:
    from ptmiss import recoil
    from ptmiss.corrections import load as load_corrections
    from ptmiss.estimators import Estimator, evaluate, make_estimators
    from ptmiss.networks.registry import load_model
    from ptmiss.table import RecoilTable
    from ptmiss.table import read as read_table
    from ptmiss.verbs import calibrate, compare, report, resolution, run, simulate, skim

__all__ = [
    "Estimator",
    "RecoilTable",
    "__version__",
    "calibrate",
    "compare",
    "evaluate",
    "load_corrections",
    "load_model",
    "make_estimators",
    "read_table",
    "recoil",
    "report",
    "resolution",
    "run",
    "simulate",
    "skim",
]

_HOMES = {
    "Estimator": "estimators",
    "RecoilTable": "table",
    "evaluate": "estimators",
    "load_corrections": "corrections:load",
    "load_model": "networks.registry",
    "make_estimators": "estimators",
    "read_table": "table:read",
    "recoil": "recoil:",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: ``ptmiss --help`` must not wait for numpy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, colon, there = _HOMES.get(name, "verbs").partition(":")
    module = import_module(f"ptmiss.{home}")
    return getattr(module, there or name) if there or not colon else module


def __dir__() -> list[str]:
    return __all__
