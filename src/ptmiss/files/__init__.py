"""Files, however large: written whole or not at all, locked, cached by their content; and how each was made.

* ``storage``: paths, atomic writing, locks, digests, files that travel with an object to another machine
* ``userfiles``: small files that users write, in TOML or JSON, checked against a schema with every mistake named
* ``parquet``: files of parquet that are one table; ``provenance``: how a result was made, kept in it
"""

from .storage import (
    AnyPath,
    as_path,
    cached_by_file,
    check_file,
    digest,
    holder,
    lock,
    portable,
    remove_abandoned,
    replacing,
    unportable,
    write_atomically,
)

__all__ = [
    "AnyPath",
    "as_path",
    "cached_by_file",
    "check_file",
    "digest",
    "holder",
    "lock",
    "portable",
    "remove_abandoned",
    "replacing",
    "unportable",
    "write_atomically",
]
