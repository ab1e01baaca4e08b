"""Cards of models, which are Markdown that others wrote, as HTML."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.token import Token

LOWER = 2  # levels: a card's own headings are below those of the page


def card(text: str) -> str:
    """Markdown as HTML: no HTML of its own, no pictures, no links, and headings below those of the page."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink"])
    tokens = reader.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + LOWER, 6)}"
    out: str = reader.renderer.render(steps(tokens), reader.options, {})
    return out


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
