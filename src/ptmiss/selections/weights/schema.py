"""The sections of a selection that name weights, checked key by key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator

from ptmiss.errors import OptionError, hint
from ptmiss.files import userfiles

from .base import Weight
from .branches import FormulaWeight, Prefiring, Sign
from .corrections import Correction, Pileup
from .theory import Pdf, Scale, Shower

AnyWeight = Annotated[
    Pileup | Correction | Scale | Pdf | Shower | Prefiring | Sign | FormulaWeight, Discriminator("kind")
]
WAYS = ("Up", "Down", "_up", "_down")
KINDS: Mapping[str, type[Weight]] = {
    "pileup": Pileup,
    "correction": Correction,
    "scale": Scale,
    "pdf": Pdf,
    "shower": Shower,
    "prefiring": Prefiring,
    "sign": Sign,
    "formula": FormulaWeight,
}


def weight(name: str, section: Any) -> Weight:
    """A weight from its section; ValueError in one line, as pydantic expects it."""
    if isinstance(section, Weight):
        return section
    if not name.isidentifier() or name.endswith(WAYS):
        raise ValueError(
            f"a weight called {name!r}: expected letters and digits, without Up, Down, _up or _down at the end"
        )
    kind = str(section.get("kind", "")) if isinstance(section, Mapping) else ""
    if kind not in KINDS:
        raise ValueError(f"{name}.kind: unknown kind {kind!r}{hint(kind, KINDS)}; known: {', '.join(KINDS)}")
    try:
        return userfiles.validate(KINDS[kind], section, f"{name}.", OptionError)
    except OptionError as error:
        raise ValueError(str(error)) from None


def in_folder(sections: Any, folder: Path) -> Any:
    """Sections whose files are taken from a folder, that of the selection."""
    if not isinstance(sections, Mapping):
        return sections
    files = {name: each["file"] for name, each in sections.items() if isinstance(each, Mapping) and "file" in each}
    here = {name: {**sections[name], "file": str(folder / file)} for name, file in files.items() if _is_text(file)}
    return {**sections, **here}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
