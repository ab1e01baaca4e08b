"""Columnar missing transverse momentum and hadronic recoil at hadron colliders.

``ptmiss.load_model(path)`` gives a network that runs on your own arrays; everything else is in the modules:
``candidates``, ``estimators``, ``recoil``, ``histograms``, ``resolution``, ``table``, ``runner``, and the wings
``ptmiss.processors`` and ``ptmiss.models``.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_model"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: ``ptmiss --help`` must not wait for numpy."""
    if name == "load_model":
        from ptmiss.networks.registry import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
