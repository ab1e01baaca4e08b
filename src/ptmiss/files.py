"""Files written whole or not at all, held for one process, or taken along to workers on other disks."""

from __future__ import annotations

import atexit
import fcntl
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from typing import TypeVar

from ptmiss.errors import FileError, OptionError

Place = TypeVar("Place", str, Path, str | Path)
Result = TypeVar("Result")


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


def cached_by_file(function: Callable[[Place], Result]) -> Callable[[Place], Result]:
    """Cache a function of one file for as long as the file stays as it is, by its size, time of change and inode.

    A notebook or a long-lived worker meets other content under the name that it knows.
    """

    @lru_cache(maxsize=16)
    def cached(path: Place, _stamp: tuple[int, int, int] | None) -> Result:
        return function(path)

    @wraps(function)
    def call(path: Place) -> Result:
        return cached(path, _stamp(path))

    call.cache_clear = cached.cache_clear  # type: ignore[attr-defined]
    return call


def _stamp(path: str | Path) -> tuple[int, int, int] | None:
    """What changes when a file does; None where there is no file."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def portable(path: str) -> tuple[str, bytes]:
    """A file's name and content, to be pickled."""
    return path, Path(path).read_bytes()


def unportable(path: str, content: bytes) -> str:
    """Where a file is in this process: its own place if it is there, else a temporary one."""
    return path if _content(path) == content else _temporary(Path(path).name, content)


@cached_by_file
def _content(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


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
