"""Cards of models, which are Markdown that others wrote, as HTML."""

from __future__ import annotations

import json
from contextlib import suppress

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ptmiss.reports.words import readable

LOWER = 2  # levels: a card's own headings are below those of the page


def card(text: str) -> str:
    """Markdown as HTML: no HTML of its own, no pictures, no links, and headings below those of the page."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink"])
    tokens = reader.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + LOWER, 6)}"
        for part in token.children or ():
            say(part)
    out: str = reader.renderer.render(steps(tokens), reader.options, {})
    return out


def say(part: Token) -> None:
    """Values in braces, as a card has them for programs, in words."""
    if part.type == "code_inline" and part.content.startswith("{"):
        with suppress(json.JSONDecodeError):
            part.type, part.content = "text", readable(json.loads(part.content))


def steps(tokens: list[Token]) -> list[Token]:
    """Tokens whose headings go down by one level at a time, as readers of screens need it."""
    last = LOWER
    for token in tokens:
        if token.type == "heading_open":
            last = min(int(token.tag[1:]), last + 1)
            token.tag = f"h{last}"
        elif token.type == "heading_close":
            token.tag = f"h{last}"
    return tokens
