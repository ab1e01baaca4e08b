"""The package's docstrings as Markdown: roles to code, tables by spaces kept as they are, ``name: what`` to lists."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:func|class|meth|mod|data|attr):`~?([^`]+)`")
COLUMNS = re.compile(r"\S {2,}\S|^[├└│]|^\w+ = ")
NAMED = re.compile(r"^([A-Za-z_]\w*(?:(?:, | and )[A-Za-z_]\w*)*): (.*)")
INLINE = re.compile(r"(?<=[;.] )([a-z_]\w*(?:, [a-z_]\w*)*): ")


def paragraph(text: str, named: bool) -> str:
    """A paragraph as Markdown; named: whether lines of the form ``name: what`` may begin in it."""
    lines = text.splitlines()
    if any(COLUMNS.search(line) for line in lines) and not text.startswith("```"):
        return f"```text\n{text}\n```"
    if not named or not any(NAMED.match(line) for line in lines):
        return text
    out: list[str] = []
    for line in lines:
        if found := NAMED.match(line):
            out += ["", f"* `{found[1]}`: {INLINE.sub(lambda m: f'`{m[1]}`: ', found[2])}"]
        else:
            out.append(f"  {line}" if out and not out[-1].startswith(("```", " ")) else line)
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
