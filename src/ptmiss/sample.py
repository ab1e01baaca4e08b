"""The embedded sample: simulated CMS-like events and recoil tables that come with the package.

``events(name)`` is a NanoAOD-style file of a few events with all PF candidates. ``recoil(name)`` is a recoil table of
many selected events. No event is in two of them. README.md beside the files describes them, and
:mod:`ptmiss.data.production` makes them. This is CMS-like simulation, never CMS.
"""

from __future__ import annotations

from pathlib import Path

from ptmiss.errors import UnknownName

DIRECTORY = Path(__file__).parent / "data"


def events(name: str) -> Path:
    """The event file of an embedded sample."""
    return _path(name, "root")


def recoil(name: str) -> Path:
    """The recoil table of an embedded sample."""
    return _path(name, "parquet")


def golden_json() -> Path:
    """The certified luminosity sections of the pseudo-data."""
    return DIRECTORY / "golden.json"


def _path(name: str, suffix: str) -> Path:
    path = DIRECTORY / f"{name}.{suffix}"
    if not path.is_file():
        raise UnknownName("embedded sample", name, (p.stem for p in DIRECTORY.glob(f"*.{suffix}")))
    return path
