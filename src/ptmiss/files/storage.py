"""Files that are written whole or not at all, locked for one process, or sent along to workers on other disks."""

from __future__ import annotations

import atexit
import fcntl
import glob
import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from ptmiss.errors import FileError, OptionError

AnyPath = str | os.PathLike[str]
Place = TypeVar("Place", str, Path, AnyPath)
Rest = ParamSpec("Rest")
Result = TypeVar("Result")


def as_path(given: AnyPath) -> Path:
    """A path from a string or from any path; OptionError for what is neither."""
    try:
        return Path(given)
    except TypeError:
        raise OptionError(f"expected a path, not {given!r} ({type(given).__name__})") from None


def check_file(given: AnyPath, endings: Sequence[str], force: bool = False, option: str = "--output") -> Path:
    """The path of a file to be written, before the work.

    OptionError if it has another ending, is a directory, or is there already, unless ``force`` allows to replace it.
    """
    path = as_path(given)
    if path.suffix not in endings:
        raise OptionError(f"{option} {path}: expected a {' or '.join(endings)} file")
    if path.is_dir():
        raise OptionError(f"{option} {path} is a directory, expected a file")
    if path.exists() and not force:
        raise OptionError(f"{option} {path} is there already (--force replaces it)")
    return path


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


def remove_abandoned(path: Path) -> None:
    """Remove temporary files and directories that a killed process left for ``path``; no other may write it now."""
    pattern = f".{glob.escape(path.name)}.????????{path.suffix}"
    for temporary in (found for folder in (path.parent, path) for found in folder.glob(pattern)):
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_atomically(path: AnyPath, content: bytes | str) -> None:
    """Write a file whole or not at all."""
    with replacing(as_path(path)) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def digest(content: bytes | Path) -> str:
    """SHA-256 of a file, or of some bytes."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def lock(path: Path, what: str) -> Iterator[None]:
    """Lock a file for this process until the end of the block.

    OptionError names the process that holds it already. The system releases the lock when a process dies.
    """
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
    """The process that has a file :func:`locked <lock>`, if one has."""
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return path.read_text().strip()
    except OSError:
        return None
    return None


def cached_by_file(function: Callable[Concatenate[Place, Rest], Result]) -> Callable[Concatenate[Place, Rest], Result]:
    """Cache a function of a file until the file's size, time of change or inode is another.

    The name alone is not enough: a notebook or a long-lived worker may find new content under an old name.
    """

    @lru_cache(maxsize=16)
    def cached(path: Place, _stamp: tuple[int, int, int] | None, /, *rest: Rest.args, **named: Rest.kwargs) -> Result:
        return function(path, *rest, **named)

    @wraps(function)
    def call(path: Place, /, *rest: Rest.args, **named: Rest.kwargs) -> Result:
        return cached(path, _stamp(path), *rest, **named)  # type: ignore[arg-type]

    call.cache_clear = cached.cache_clear  # type: ignore[attr-defined]
    return call


def _stamp(path: AnyPath) -> tuple[int, int, int] | None:
    """Size, time of change and inode of a file; None if there is no such file."""
    try:
        status = as_path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def portable(path: str) -> tuple[str, bytes]:
    """A file's name and content, ready to be pickled."""
    return path, Path(path).read_bytes()


def unportable(path: str, content: bytes) -> str:
    """The path of a file in this process: its own if the content is there, else that of a temporary copy."""
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
