"""How a result came to be, kept with it: command, versions, inputs."""

from __future__ import annotations

import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ptmiss.version import __version__

PACKAGES = ("awkward", "coffea", "hist", "numpy", "pyarrow", "scipy", "uproot")


def provenance(**details: Any) -> dict[str, Any]:
    """A manifest that JSON can hold, with the details of this result."""
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
    """Versions of the packages that a result depends on."""
    return {package: version(package) for package in PACKAGES}
