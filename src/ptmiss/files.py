"""Files written whole or not at all, held for one process, or taken along to workers on other disks."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from ptmiss.errors import FileError, OptionError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; it takes the name on success and is removed on failure."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a file for this process; OptionError says who holds it already. The system lets go when a process dies."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise OptionError(f"{what} is in use by {file.read().strip() or 'another process'}") from None
        except OSError:
            pass  # a file system without locks
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def holder(path: Path) -> str | None:
    """Who holds a file that :func:`locked` made, if anyone does."""
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return path.read_text().strip()
    except OSError:
        return None
    return None


def portable(path: str) -> tuple[str, bytes]:
    """A file's name and content, to be pickled."""
    return path, Path(path).read_bytes()


def unportable(path: str, content: bytes) -> str:
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
