"""The package's docstrings as Markdown: roles to code, tables by spaces kept as they are, ``name: what`` to lists."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:func|class|meth|mod|data|attr):`~?([^`]+)`")
DRAWN = re.compile(r"\S {2,}\S|^[├└│]")
CODE = re.compile(r"^\w+ = ")
NAMED = re.compile(r"^([A-Za-z_]\w*(?:(?:, | and )[A-Za-z_]\w*)*): (.*)")
INLINE = re.compile(r"(?<=[;.] )([a-z_]\w*(?:, [a-z_]\w*)*): ")


def paragraph(text: str, named: bool) -> str:
    """A paragraph as Markdown; named: whether lines of the form ``name: what`` may begin in it."""
    lines = text.splitlines()
    if text.startswith("``") and any(DRAWN.search(line) for line in lines):
        return definitions(lines)
    if any(DRAWN.search(line) for line in lines) or all(CODE.match(line) for line in lines):
        return f"```text\n{text}\n```"
    return named_items(lines) if named and any(NAMED.match(line) for line in lines) else text


def definitions(lines: list[str]) -> str:
    """Lines that each begin with a name in code and go on indented, as a list."""
    joined = [("\n* " if line.startswith("``") else "") + re.sub(r" {2,}", " ", line.strip()) for line in lines]
    return " ".join(joined).strip()


def named_items(lines: list[str]) -> str:
    """Lines of the form ``name: what`` as a list."""
    out: list[str] = []
    for line in lines:
        if found := NAMED.match(line):
            out += ["", f"* `{found[1]}`: {INLINE.sub(lambda m: f'`{m[1]}`: ', found[2])}"]
        else:
            out.append(f"  {line}" if any(part.startswith("* ") for part in out) else line)
    return "\n".join(out).strip("\n")


def markdown(text: str) -> str:
    """A docstring as Markdown."""
    first, *others = ROLE.sub(r"`\1`", text).split("\n\n")
    return "\n\n".join([paragraph(first, False), *(paragraph(other, True) for other in others)])


class Docstrings(griffe.Extension):
    """Rewrites every docstring once it was read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
