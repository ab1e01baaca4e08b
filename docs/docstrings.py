"""What autodoc asks of each object: its docstring, plain or in Google's style, and its signature as it was written."""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any

from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util.inspect import stringify_annotation, stringify_signature

GOOGLE = Config(napoleon_use_ivar=True, napoleon_use_rtype=False)  # an attribute documented twice is an error
NAMED = re.compile(r"^([a-z_]\w*(?:(?:, | and )[a-z_]\w*)*): (.*)")
INLINE = re.compile(r"(?<=[;.] )([a-z_]\w*(?:, [a-z_]\w*)*): ")
NAME = re.compile(r"(?<![\w.'\"])[A-Za-z_]\w*")


def restructure(text: str) -> str:
    """A docstring in which paragraphs ``name: what`` after the first, and Google's sections, are lists."""
    first, *others = text.split("\n\n")
    plain = "\n\n".join([first, *(as_list(other) if NAMED.match(other) else other for other in others)])
    return "\n".join(GoogleDocstring(plain, GOOGLE).lines())


def as_list(paragraph: str) -> str:
    """Lines of the form ``name: what`` as a list."""
    out = []
    for line in paragraph.splitlines():
        if found := NAMED.match(line):
            out.append(f"* ``{found[1]}``: {INLINE.sub(lambda name: f'``{name[1]}``: ', found[2])}")
        else:
            out.append(f"  {line}")
    return "\n".join(out)


def link(annotation: Any, names: dict[str, Any]) -> str:
    """An annotation as in the source (``Vector``, not its definition), with full names of this package's classes."""

    def full(name: re.Match) -> str:
        meant = names.get(name[0])
        ours = isinstance(meant, type) and meant.__module__.startswith("ptmiss.")
        return f"~{meant.__module__}.{meant.__qualname__}" if ours else name[0]

    return annotation if annotation is inspect.Parameter.empty else NAME.sub(full, stringify_annotation(annotation))


def docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring in place; a module's begins with a heading."""
    heading = [name, "-" * len(name), ""] if what == "module" else []
    lines[:] = [*heading, *restructure("\n".join(lines)).splitlines()]


def signature(app: Any, what: str, name: str, obj: Any, options: Any, *_: Any) -> tuple[str, str] | None:
    """Arguments and what is returned; None leaves both to autodoc."""
    if what not in ("function", "method", "class") or not obj.__module__.startswith("ptmiss."):
        return None
    if getattr(obj, "_is_protocol", False):
        return "", ""
    written, names = inspect.signature(obj), vars(sys.modules[obj.__module__])
    arguments = [
        argument.replace(annotation=link(argument.annotation, names))
        for argument in written.parameters.values()
        if argument.name != "self"
    ]
    shown = stringify_signature(written.replace(parameters=arguments), show_return_annotation=False)
    return shown, "" if what == "class" else link(written.return_annotation, names)


def skip(app: Any, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out what Python and pydantic say themselves of fields."""
    made = (inspect.getdoc(obj) or "").startswith("Alias for field number") or name == "model_config"
    return True if made else None


def setup(app: Any) -> dict[str, bool]:
    """Napoleon is no extension here: it would take what is before a colon for the type of a constant."""
    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True}
