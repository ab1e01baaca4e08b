"""How a result was made, kept beside it: command, versions, inputs."""

from __future__ import annotations

import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ptmiss.version import __version__

PACKAGES = (
    "awkward",
    "awkward-cpp",
    "boost-histogram",
    "coffea",
    "correctionlib",
    "fastjet",
    "hist",
    "iminuit",
    "llvmlite",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "torch",
    "uproot",
    "vector",
)
"""What computes, or reads what is computed with."""


def provenance(**details: Any) -> dict[str, Any]:
    """A manifest for JSON: command, time and versions, and the details of this result."""
    command = [Path(sys.argv[0]).name, *sys.argv[1:]]
    return {
        "ptmiss": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(command),
        "python": platform.python_version(),
        "versions": versions(),
        **details,
    }


def versions() -> dict[str, str]:
    """Versions of the packages that a result depends on, as far as they are installed."""
    return {package: found for package in PACKAGES if (found := _version(package))}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
