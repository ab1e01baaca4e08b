"""Models that are not in the package: in folders by name and version, and behind URLs with their hash.

``PTMISS_MODELS`` lists folders, with ``:`` between them, each with ``NAME/VERSION/model.safetensors`` and cards beside
the weights. ``NAME`` alone is the latest version, ``NAME@1`` the latest 1, ``NAME@1.2.0`` that one.

A URL ends with ``#sha256=…``, the hash of the file. What was fetched is kept in a cache by its hash, and is checked
whenever it is read. A ``file://`` URL works too.
"""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from pathlib import Path

from ptmiss.errors import FileError, OptionError, WeightsError
from ptmiss.files import digest, write_atomically
from ptmiss.networks.card import is_version, numbers

FOLDERS = "PTMISS_MODELS"
WEIGHTS = "model.safetensors"
SCHEMES = ("https", "http", "file")
LARGEST = 2**30  # bytes
TIMEOUT = 60  # s without an answer
HASH = re.compile(r"#sha256=([0-9a-f]{64})$")


def split(name: str) -> tuple[str, str]:
    """Name and version of ``NAME@VERSION``; no version without one."""
    plain, sign, version = name.partition("@")
    if sign and not is_version(version):
        raise OptionError(f"model {name!r}: expected a version such as 1, 1.2 or 1.2.0 after the @")
    return plain, version


def find(name: str, version: str = "") -> Path | None:
    """The weights file of the latest version of a model that begins so; None if no folder has the model.

    FileError if there are only other versions.
    """
    there = versions(name)
    if not there:
        return None
    fitting = [numbers(v) for v in there if not version or numbers(v)[: len(numbers(version))] == numbers(version)]
    if not fitting:
        raise FileError(f"no version {version} of model {name!r}; there: {', '.join(there)}")
    return there[".".join(map(str, max(fitting)))]


def versions(name: str) -> dict[str, Path]:
    """The weights file of each version of a model, the oldest first; of one in two folders that of the first."""
    found: dict[str, Path] = {}
    for folder in filter(None, os.environ.get(FOLDERS, "").split(os.pathsep)):
        for path in Path(folder).glob(f"{name}/*/{WEIGHTS}"):
            if is_version(path.parent.name):
                found.setdefault(path.parent.name, path)
    return dict(sorted(found.items(), key=lambda one: numbers(one[0])))


def names() -> list[str]:
    """The models of all folders."""
    folders = filter(None, os.environ.get(FOLDERS, "").split(os.pathsep))
    return sorted({path.parents[1].name for folder in folders for path in Path(folder).glob(f"*/*/{WEIGHTS}")})


def is_url(text: str) -> bool:
    """Whether a text is a URL."""
    return "://" in text


def fetch(url: str) -> Path:
    """The weights file behind a URL, from the cache if it was fetched before.

    OptionError without a hash or with a scheme that is not known; FileError if it cannot be fetched; WeightsError if it
    has another hash.
    """
    wanted, scheme = HASH.search(url), url.partition("://")[0]
    if scheme not in SCHEMES:
        raise OptionError(f"{url}: expected a URL of {', '.join(SCHEMES)}")
    if wanted is None:
        raise OptionError(f"{url}: expected the hash of the file at the end, {url.partition('#')[0]}#sha256=…")
    path = cache() / wanted[1] / WEIGHTS
    if path.is_file() and digest(path) == wanted[1]:
        return path
    content = download(url.partition("#")[0])
    if (found := digest(content)) != wanted[1]:
        raise WeightsError(f"{url}: the file's SHA-256 is {found[:12]}…, the URL states {wanted[1][:12]}…")
    write_atomically(path, content)
    return path


def download(url: str) -> bytes:
    """The content behind a URL."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            content: bytes = answer.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise FileError(f"cannot fetch {url}: {reason}") from error
    if len(content) > LARGEST:
        raise FileError(f"{url} has more than {LARGEST} bytes: that is no weights file")
    return content


def cache() -> Path:
    """The folder of what was fetched."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ptmiss" / "models"
