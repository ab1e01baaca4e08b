"""Files that travel with what needs them, to workers that may not see the disk they are on."""

from __future__ import annotations

import atexit
import hashlib
import tempfile
from functools import lru_cache
from pathlib import Path


def packed(path: str) -> tuple[str, bytes]:
    """A file's name and content, to be pickled."""
    return path, Path(path).read_bytes()


def unpacked(path: str, content: bytes) -> str:
    """Where a file is in this process: its own place if it is there, else a temporary one."""
    return path if _is_there(path, hashlib.sha256(content).digest()) else _temporary(Path(path).name, content)


@lru_cache
def _is_there(path: str, digest: bytes) -> bool:
    try:
        return hashlib.sha256(Path(path).read_bytes()).digest() == digest
    except OSError:
        return False


@lru_cache
def _temporary(name: str, content: bytes) -> str:
    directory = tempfile.TemporaryDirectory(prefix="ptmiss-")
    atexit.register(directory.cleanup)
    path = Path(directory.name) / name
    path.write_bytes(content)
    return str(path)
