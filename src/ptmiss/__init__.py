"""Columnar missing transverse momentum and hadronic recoil at hadron colliders.

These are the names that a notebook needs. Each is imported when it is first used:

* ``skim``, ``run``, ``resolution``, ``compare``, ``calibrate``, ``convert``, ``explain``, ``profile``, ``report``,
  ``simulate``, ``templates``: the verbs of the command line
* ``make_estimators``, ``evaluate``, ``Estimator``: pTmiss of events, for a processor of your own
* ``load_model``, ``load_corrections``: a network and a calibration, to apply to arrays of your own
* ``load_published``: corrections of the recoil and of XY that others publish
* ``load_selection``: what makes an event, by name or of a file
* ``read_table``, ``RecoilTable``: one row per event; ``open_table``: the same, read some rows at a time
* ``recoil``: the module of u∥, u⊥ and mT
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ptmiss.version import __version__

if TYPE_CHECKING:
    from ptmiss import recoil
    from ptmiss.corrections import load as load_corrections
    from ptmiss.corrections.published import load as load_published
    from ptmiss.estimators import Estimator, evaluate, make_estimators
    from ptmiss.networks.registry import load_model
    from ptmiss.selections import load_selection
    from ptmiss.table import RecoilTable, open_table
    from ptmiss.table import read as read_table
    from ptmiss.verbs import (
        calibrate,
        compare,
        convert,
        explain,
        profile,
        report,
        resolution,
        run,
        simulate,
        skim,
        templates,
    )

__all__ = [
    "Estimator",
    "RecoilTable",
    "__version__",
    "calibrate",
    "compare",
    "convert",
    "evaluate",
    "explain",
    "load_corrections",
    "load_model",
    "load_published",
    "load_selection",
    "make_estimators",
    "open_table",
    "profile",
    "read_table",
    "recoil",
    "report",
    "resolution",
    "run",
    "simulate",
    "skim",
    "templates",
]

_HOMES = {
    "Estimator": "estimators",
    "RecoilTable": "table",
    "evaluate": "estimators",
    "load_corrections": "corrections:load",
    "load_model": "networks.registry",
    "load_published": "corrections.published:load",
    "load_selection": "selections",
    "make_estimators": "estimators",
    "open_table": "table",
    "read_table": "table:read",
    "recoil": "recoil:",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, so that ``ptmiss --help`` need not wait for numpy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, colon, there = _HOMES.get(name, "verbs").partition(":")
    module = import_module(f"ptmiss.{home}")
    return getattr(module, there or name) if there or not colon else module


def __dir__() -> list[str]:
    return __all__
