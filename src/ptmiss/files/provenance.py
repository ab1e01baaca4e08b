"""How a result was made, kept beside it: command, versions, inputs."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Mapping
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
SAMPLES = {"mc": "simulation", "data": "data", "pseudo": "pseudo-data"}


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
    return {package: found for package in PACKAGES if (found := version_of(package))}


def version_of(package: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def samples(made: Mapping[str, Any]) -> str:
    """What the events of a table or a run are, in words, as far as how it was made says it."""
    kinds = [_kind(about.get("metadata", {})) for about in dict(made.get("datasets") or {}).values()]
    if profile := dict(made.get("sample") or {}).get("profile"):
        kinds.append("pseudo" if profile == "data" else profile)
    return " and ".join(SAMPLES[one] for one in dict.fromkeys(kinds) if one in SAMPLES)


def _kind(metadata: Mapping[str, Any]) -> str:
    """A dataset's key in :data:`SAMPLES`."""
    return "pseudo" if metadata.get("pseudo_data") else str(metadata.get("kind"))
