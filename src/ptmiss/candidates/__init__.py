"""Particle-flow candidates of events as flat columns and offsets, with uniform names and categories.

* ``reading``: out of a file, derived where a file lacks a column, repaired, or a clear line why not
* ``puppi``: PUPPI weights, for files and for particle flow that have none
"""

from .reading import (
    BRANCHES,
    CATEGORIES,
    COLLECTIONS,
    LATENTS,
    NO_TRACK,
    OF_NANOAOD,
    PART,
    VOCABULARY,
    Candidates,
    charge_of,
    clean,
    collection,
    from_pv,
    good_vertices,
    inputs,
    puppi_weights,
    read,
    require,
    suffix_of,
)

__all__ = [
    "BRANCHES",
    "CATEGORIES",
    "COLLECTIONS",
    "LATENTS",
    "NO_TRACK",
    "OF_NANOAOD",
    "PART",
    "VOCABULARY",
    "Candidates",
    "charge_of",
    "clean",
    "collection",
    "from_pv",
    "good_vertices",
    "inputs",
    "puppi_weights",
    "read",
    "require",
    "suffix_of",
]
